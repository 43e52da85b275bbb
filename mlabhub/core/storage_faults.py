"""Contradictions between the keys of ``storage.yaml``: folders that lie in one another.

Guarantees: pure; each fault is at the later of the two keys; nobody's private folder, and no group's, can be reached by
a second way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlabhub.core.paths import overlap
from mlabhub.core.schema import KeyFault
from mlabhub.messages import N_, Message

if TYPE_CHECKING:
    from mlabhub.core.storage import Storage

APART = N_("{one} and {other} lie in one another; give each a folder of its own")
RESERVED = ("user", "group")
At = tuple[str | int, ...]


@dataclass(frozen=True)
class _Area:
    """A pair of keys that belong together, and what they say."""

    at: At
    kind: str
    root: str | None
    target: str | None

    @property
    def pair(self) -> tuple[str, str | None, str | None]:
        return self.kind, self.root, self.target


def storage_faults(storage: Storage) -> list[KeyFault]:
    """Return what contradicts itself."""
    areas = list(_areas(storage))
    faults = [*_half_faults(areas), *_area_faults(areas)]
    faults += _share_faults(storage, areas)
    faults += _prefix_faults(storage, areas)
    return list(dict.fromkeys(faults))


def _areas(storage: Storage) -> Iterable[_Area]:
    yield _Area((), "user", storage.user_root, storage.user_target)
    yield _Area((), "share", storage.share_root, storage.share_target)
    for name, own in storage.groups.items():
        yield _Area(("groups", name), "user", own.user_root, own.user_target)
        yield _Area(("groups", name), "share", own.share_root, own.share_target)


def _half_faults(areas: Iterable[_Area]) -> Iterable[KeyFault]:
    """A group's root without a target of its own would hide the general one behind it."""
    for area in areas:
        if area.at and bool(area.root) != bool(area.target):
            absent, given = ("target", "root") if area.root else ("root", "target")
            message = Message.of(
                N_("needs {absent} beside it: both must differ from the general ones"),
                absent=f"{area.kind}_{absent}",
            )
            yield KeyFault((*area.at, f"{area.kind}_{given}"), message)


def _area_faults(areas: Iterable[_Area]) -> Iterable[KeyFault]:
    for earlier, later in itertools.combinations(areas, 2):
        if earlier.pair == later.pair:
            continue
        for what in ("root", "target"):
            one, other = getattr(later, what), getattr(earlier, what)
            if one and other and overlap(one, other):
                yield KeyFault((*later.at, f"{later.kind}_{what}"), _apart(one, other))


def _share_faults(storage: Storage, areas: list[_Area]) -> Iterable[KeyFault]:
    sources = [area.root for area in areas if area.root]
    targets = [area.target for area in areas if area.target]
    for slug, share in storage.shares.items():
        if slug in RESERVED:
            yield KeyFault(("shares", slug), Message(N_("is a reserved name; take another slug")))
        for key, value, others in (("source", share.source, sources), ("target", share.target, targets)):
            other = next((other for other in others if overlap(value, other)), None)
            if other is not None:
                yield KeyFault(("shares", slug, key), _apart(value, other))
            others.append(value)
        for key, names in (("groups", share.groups or ()), ("users", share.users or ())):
            if len(set(names)) != len(names):
                yield KeyFault(("shares", slug, key), Message(N_("lists one of them twice")))


def _prefix_faults(storage: Storage, areas: list[_Area]) -> Iterable[KeyFault]:
    for number, prefix in enumerate(storage.mount_prefixes):
        if prefix in storage.mount_prefixes[:number]:
            yield KeyFault(("mount_prefixes", number), Message(N_("lists one of them twice")))
        for area in areas:
            if area.target and overlap(prefix, area.target):
                yield KeyFault(("mount_prefixes", number), _apart(prefix, area.target))
                break


def _apart(one: str, other: str) -> Message:
    return Message.of(APART, one=one, other=other)
