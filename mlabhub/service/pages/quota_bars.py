"""What a person and their groups hold of what they may, as bars and in words: used, borrowed, guaranteed, limit.

Guarantees: pure; a bar says what its sentence says; only sums are told, never who holds them; where there is no limit
it says so, and the bar ends with what is guaranteed or held.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.units import GPU_PREFIX
from mlabhub.i18n import N_, Translator, join_sentences
from mlabhub.service.pages.payer import group_sentence, own_text, told_resources
from mlabhub.service.views import CatalogView, UsageView

WIDTH = 1000


@dataclass(frozen=True)
class Meter:
    """A resource as a bar: from the left what is one's own of what is held, then what is borrowed, and where the
    guarantee ends (0: none). ``full``: there is a limit, and it is reached.

    Lengths are of `WIDTH`, which stands for the limit, or for the most of the others where there is none.
    """

    own: int
    borrowed: int
    guaranteed: int
    full: bool
    width: int = WIDTH


@dataclass(frozen=True)
class Bar:
    """One resource with its sentence."""

    said: str
    meter: Meter


@dataclass(frozen=True)
class Bars:
    """The bars of a person or a group."""

    name: str
    bars: list[Bar]


def make_bars(view: CatalogView, other: str | None, t: Translator) -> list[Bars]:
    """Return those of the person, then those of each group."""
    present = view.gpu_types
    own = view.user_usage
    title = t(N_("{user} alone"), user=other) if other else t(N_("You alone"))
    mine = [_bar(own, one, own_text(own, one, t), t) for one in told_resources(own, present)]
    groups = [
        Bars(
            usage.name,
            [
                _bar(usage, one, group_sentence(usage, one, t), t)
                for one in told_resources(usage, present, always_servers=False)
            ],
        )
        for usage in view.group_usage
    ]
    return [Bars(title, mine), *(one for one in groups if one.bars)]


def lends(usage: UsageView, resource: str) -> bool:
    """Whether it is said of a resource how much of it is borrowed.

    Of GPUs in all that would say again, by other numbers, what is said of those whose type is guaranteed.
    """
    return resource in usage.guaranteed or not any(one.startswith(GPU_PREFIX) for one in usage.guaranteed)


def make_meter(usage: UsageView, resource: str) -> Meter:
    """Return the bar of one resource."""
    used, guaranteed = usage.used.get(resource, 0.0), usage.guaranteed.get(resource, 0.0)
    limit = usage.limit.get(resource)
    whole = max(used, guaranteed, limit or 0.0) or 1.0
    borrowed = min(used, usage.borrowed.get(resource, 0.0)) if lends(usage, resource) else 0.0
    own, lent, until = (round(WIDTH * part / whole) for part in (used - borrowed, borrowed, guaranteed))
    return Meter(own, lent, until, full=limit is not None and used >= limit)


def _bar(usage: UsageView, resource: str, said: str, t: Translator) -> Bar:
    limit = usage.limit.get(resource)
    if limit is not None and usage.used.get(resource, 0.0) > limit:
        said = join_sentences([said, t(N_("That is more than the limit, which was lowered since."))])
    return Bar(said, make_meter(usage, resource))
