"""What the ledger remembers, as values.

    Reservation   a launch: what it was given, and how far it came
    AuditEntry    who did what, when, and what was decided
    StoredAnswer  the answer to a request that carried an ``Idempotency-Key``
    KnownId       a user's or group's number, so that files on the NAS keep their owner

A reservation goes ``pending -> held -> stopping -> released``, or is ``unknown``: something runs that hub and ledger do
not agree about. All but ``released`` are active: they count, and hold their GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlabhub.core.tools import WORKBENCH, Kind
from mlabhub.messages import Message

State = Literal["pending", "held", "stopping", "released", "unknown"]
Origin = Literal["launch", "spawner", "adopted"]
IdKind = Literal["user", "group"]


@dataclass(frozen=True)
class Reservation:
    """One launch of one server. Times are seconds since the epoch, None for what has not happened.

    ``options`` are the asker's user_options without the launch_id, ``plan`` is what the backend is told to make of
    them (None for a server that was found and adopted). ``ready`` is when the hub was first seen to serve it,
    ``changed`` when the state last changed. ``failure`` is why it did not start, or ended by
    itself. ``notes`` are what its owner is to know as long as it runs.
    """

    launch_id: str
    user: str
    server: str
    state: State
    created: float
    changed: float
    deadline: float
    origin: Origin = "launch"
    actor: str = ""
    display_name: str = ""
    group: str | None = None
    profile: str = ""
    image: str = ""
    gpu_type: str | None = None
    gpus: tuple[str, ...] = ()
    node: str = ""
    cpu: float = 0.0
    memory_gib: float = 0.0
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    plan: dict[str, Any] | None = field(default=None, hash=False)
    redeemed: float | None = None
    held: float | None = None
    ready: float | None = None
    released: float | None = None
    failure: Message | None = None
    notes: tuple[Message, ...] = ()
    kind: Kind = WORKBENCH

    @property
    def active(self) -> bool:
        """Return whether it counts and holds its GPUs."""
        return self.state != "released"


@dataclass(frozen=True)
class AuditEntry:
    """One line of the audit trail. ``number`` is given by the ledger and grows with time."""

    at: float
    actor: str
    act: str
    message: Message
    user: str = ""
    server: str = ""
    launch_id: str = ""
    number: int | None = None


@dataclass(frozen=True)
class StoredAnswer:
    """What was answered to ``actor`` under ``key``; ``fingerprint`` tells whether it was the same request."""

    actor: str
    key: str
    fingerprint: str
    status: int
    body: dict[str, Any] = field(hash=False)
    created: float

    @property
    def final(self) -> bool:
        """Return whether a repetition gets it again; what failed on our side may be tried anew under the same key."""
        return self.status < 500


@dataclass(frozen=True)
class KnownId:
    """The number of a user or a group."""

    kind: IdKind
    name: str
    number: int


Record = Reservation | AuditEntry | StoredAnswer | KnownId


@dataclass(frozen=True)
class Contents:
    """What a service needs to know when it starts: everything active, and what a late repetition may refer to.

    ``spent`` are the launches that were released lately, with the time of it.
    """

    reservations: tuple[Reservation, ...]
    spent: Mapping[str, float]
    answers: tuple[StoredAnswer, ...]
    ids: tuple[KnownId, ...]
