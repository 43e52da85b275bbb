"""What the members of some groups see of a catalogue, worked out once for all who are in the same groups.

Guarantees: the same as asking `visible_profiles`, `default_choice`, `opening_image` and `bounded_by` each time; a
catalogue never changes, so what was remembered of one stays true of it, and another catalogue has memories of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mlabhub.core.bounds import Bounds, bounded_within, bounds_of
from mlabhub.core.capacity import Capacity
from mlabhub.core.profiles import (
    Catalog,
    DefaultChoice,
    Profile,
    default_choice,
    opening_image,
    visible_profiles,
)
from mlabhub.core.tools import TENSORBOARD, WORKBENCH

REMEMBERED = 512
"""Different combinations of groups; each costs a few kB with hundreds of profiles."""


@dataclass(frozen=True)
class Sight:
    """The profiles that may be used, those of them that the machines have, and what a form opens on.

    ``images`` are the images that a form opens on, by profile. Of profiles for a TensorBoard alone, which no form
    offers, ``tensorboard`` is the first.
    """

    usable: Mapping[str, Profile]
    present: tuple[Profile, ...]
    default: DefaultChoice | None
    tensorboard: Profile | None
    images: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _Same:
    """A catalogue, compared by being the very one: comparing its content would take longer than the work."""

    catalog: Catalog

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.catalog is other.catalog

    def __hash__(self) -> int:
        return id(self.catalog)


def see(catalog: Catalog, groups: Sequence[str], present: Collection[str] | None = None) -> Sight:
    """Return what a member of ``groups`` sees; ``present`` are the GPU types that there are, None if not known.

    Where nothing of what one may use is present, the form opens on what would be.
    """
    return _see(_Same(catalog), tuple(groups), None if present is None else tuple(present))


def offered_profiles(catalog: Catalog, groups: Sequence[str], capacity: Capacity) -> tuple[Profile, ...]:
    """Return the profiles that a page offers, with amounts that a machine has.

    Numbers of GPUs that are listed one by one stay: a page tells that no machine has so many.
    """
    bounded = _bounded(_Same(catalog), bounds_of(capacity))
    return tuple(bounded[profile.slug] for profile in see(catalog, groups, capacity.gpu_types).present)


@lru_cache(REMEMBERED)
def _see(same: _Same, groups: tuple[str, ...], types: tuple[str, ...] | None) -> Sight:
    catalog = same.catalog
    usable = visible_profiles(catalog, groups)
    workbenches = tuple(profile for profile in usable if profile.kind == WORKBENCH)
    present = tuple(one for one in visible_profiles(catalog, groups, types) if one.kind == WORKBENCH)
    default = default_choice(catalog, groups, present or workbenches)
    return Sight(
        usable={profile.slug: profile for profile in usable},
        present=present,
        default=default,
        tensorboard=next((profile for profile in usable if profile.kind == TENSORBOARD), None),
        images={profile.slug: opening_image(catalog, groups, profile, default) for profile in usable},
    )


@lru_cache(8)
def _bounded(same: _Same, bounds: Bounds | None) -> Mapping[str, Profile]:
    return {profile.slug: _offer(profile, bounds) for profile in same.catalog.profiles}


def _offer(profile: Profile, bounds: Bounds | None) -> Profile:
    bounded = bounded_within(profile, bounds)
    return bounded.model_copy(update={"gpus": profile.gpus}) if profile.gpus.choices else bounded
