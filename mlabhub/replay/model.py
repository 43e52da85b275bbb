"""A recorded or made workload, and what a replay makes of it.

Guarantees: values alone; requests are in order of time, and each has an id of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlabhub.core.sharing.model import Ask
from mlabhub.core.units import to_micro

Kind = Literal["queued", "started", "ended", "notice", "reclaimed", "refused"]


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the workload's cluster; ``gpu_type`` is None where there is no GPU."""

    name: str
    gpu_type: str | None
    gpus: int
    cpu: float
    memory_gib: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as the first line of a workload has it."""
        return {
            "name": self.name,
            "gpu_type": self.gpu_type,
            "gpus": self.gpus,
            "cpu": self.cpu,
            "memory_gib": self.memory_gib,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """One line of a workload: who wants what at ``t``, and for how long it runs once it has started."""

    t: float
    id: str
    user: str
    group: str | None
    gpu_type: str | None
    gpus: int
    cpu: float
    memory_gib: float
    duration_s: float
    interactive: bool = False
    profile: str = ""
    priority: int = 0

    @property
    def ask(self) -> Ask:
        """What it takes, as the rules are told."""
        return Ask(
            self.gpus,
            self.gpu_type if self.gpus else None,
            to_micro(self.cpu),
            to_micro(self.memory_gib),
            self.profile,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as a line of a workload has it."""
        line: dict[str, Any] = {
            "t": self.t,
            "id": self.id,
            "user": self.user,
            "group": self.group,
            "gpu_type": self.gpu_type,
            "gpus": self.gpus,
            "cpu": self.cpu,
            "memory_gib": self.memory_gib,
            "duration_s": self.duration_s,
            "interactive": self.interactive,
        }
        if self.profile:
            line["profile"] = self.profile
        if self.priority:
            line["priority"] = self.priority
        return line


@dataclass(frozen=True)
class Workload:
    """A cluster and the requests that come to it; ``notes`` are what a reader had to say of it."""

    nodes: tuple[Node, ...]
    requests: tuple[Request, ...]
    notes: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """How many GPUs there are in all."""
        return sum(node.gpus for node in self.nodes)


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a request; ``node`` and ``reason`` are empty where there is none."""

    t: float
    id: str
    event: Kind
    node: str = ""
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as a line of the event list."""
        return {"t": self.t, "id": self.id, "event": self.event, "node": self.node or None, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a profile says of the servers that are started with it."""

    notice_s: float | None = None
    reclaimable: bool = True
    ends_when_reclaimed: bool = False
    longest_s: float | None = None


@dataclass(frozen=True)
class Outcome:
    """All that happened, in order; ``stranded`` are those that never started nor were refused: there must be none."""

    events: tuple[Event, ...]
    rounds: int
    withdrawn: int = 0
    stranded: tuple[str, ...] = ()
    notice_of: Mapping[str, float] = field(default_factory=dict)
