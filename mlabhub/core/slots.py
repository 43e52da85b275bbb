"""GPUs of a cluster's node: the cluster decides which of them a server gets, so they are slots that only count.

Guarantees: a slot's id tells node, resource and number, and no two slots share one; text that is no slot's id is told
from it. Slots of one node and resource are as good as each other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import count
from typing import NamedTuple

_SLOT = re.compile(r"([^/]+)/([^/]+/[^/]+)/([0-9]{1,6})")


class Slot(NamedTuple):
    """The GPU of that number among a node's GPUs of one extended resource, such as ``nvidia.com/gpu``."""

    node: str
    resource: str
    number: int

    @property
    def uuid(self) -> str:
        """The id under which it is listed and held: ``node1/nvidia.com/gpu/0``."""
        return f"{self.node}/{self.resource}/{self.number}"


def split_slot(uuid: str) -> Slot | None:
    """Return the slot of that id; None if it is none's."""
    match = _SLOT.fullmatch(uuid)
    return None if match is None else Slot(match[1], match[2], int(match[3]))


def free_slots(node: str, resource: str, held: Collection[str], first: int = 0) -> Iterator[str]:
    """Yield ids of slots that nobody holds, lowest number first, without end: a node never runs out of numbers."""
    return (uuid for uuid in (Slot(node, resource, number).uuid for number in count(first)) if uuid not in held)
