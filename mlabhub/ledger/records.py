"""What the ledger remembers, as values.

    Reservation   a launch: what it was given, and how far it came
    AuditEntry    who did what, when, and what was decided
    StoredAnswer  the answer to a request that carried an ``Idempotency-Key``
    KnownId       a user's or group's number, so that files on the NAS keep their owner
    QueueEntry    a launch that waits for its turn, under the launch_id that it starts with
    ReclaimNotice a borrower was told to give back, until when and for whom
    QuotaChange   a quota that was changed at run time, for a while or for good
    Nudge         a holder was asked to give back, as somebody waits
    IdleWarning   a person was warned that their server is stopped for idleness, and when that reached them
    Keeping       somebody asked that an idle server be kept for a while
    WouldStop     a server that a dry run of a policy of idleness would have stopped
    Shelved       a server whose GPUs were given back while its work is kept
    ClosedAccount an account that was closed, and until when its files are kept

A reservation goes ``pending -> held -> stopping -> released``, or is ``unknown``: something runs that hub and ledger do
not agree about. All but ``released`` are active: they count, and hold their GPUs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mlabhub.core.closed_accounts import ClosedAccount as ClosedAccount
from mlabhub.core.quota_changes import QuotaChange as QuotaChange
from mlabhub.core.quota_changes import QuotaPart as QuotaPart
from mlabhub.core.tools import WORKBENCH, Kind
from mlabhub.ledger.idle_records import IdleWarning as IdleWarning
from mlabhub.ledger.idle_records import Keeping as Keeping
from mlabhub.ledger.idle_records import Shelved as Shelved
from mlabhub.ledger.idle_records import WouldStop as WouldStop
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
    itself. ``notes`` are what its owner is to know as long as it runs. One that waited in the queue has ``since`` when,
    and how often it was taken back before (``reclaims``).
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
    since: float | None = None
    reclaims: int = 0

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


EntryState = Literal["waiting", "started", "claimed", "given_back", "left", "refused"]


@dataclass(frozen=True)
class QueueEntry:
    """A launch that waits. What it asks for is as in `Reservation`; ``gpu_type`` None is any type.

    ``waiting -> started`` when its turn came (then there is a reservation of the same ``launch_id``), ``-> claimed``
    when it was used; ``given_back`` if nobody used it until ``claim_by``. ``left``: its person left the queue.
    ``refused``: it cannot start any more, ``reason`` says why. One that was reclaimed waits again as a new entry:
    ``again_of`` is the launch that was reclaimed, ``since`` and ``reclaims`` go on counting. ``told_earliest`` and
    ``told_latest`` are the range that its person was told when they asked (None: nobody could tell),
    ``reckoned_...`` the same before it was corrected by how good forecasts had been; ``started`` is
    when its turn came. One whose start came to nothing without anybody's fault goes on waiting, ``attempts`` times by
    now.
    """

    launch_id: str
    user: str
    server: str
    state: EntryState
    since: float
    created: float
    changed: float
    actor: str = ""
    display_name: str = ""
    group: str | None = None
    profile: str = ""
    image: str = ""
    gpu_type: str | None = None
    gpus: int = 0
    gpu_ids: tuple[str, ...] | None = None
    cpu: float = 0.0
    memory_gib: float = 0.0
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    priority: int = 0
    reclaims: int = 0
    not_before: float = 0.0
    claim_by: float | None = None
    reason: Message | None = None
    again_of: str = ""
    told_earliest: float | None = None
    told_latest: float | None = None
    reckoned_earliest: float | None = None
    reckoned_latest: float | None = None
    started: float | None = None
    attempts: int = 0

    @property
    def active(self) -> bool:
        """Return whether it waits, or has to be claimed yet."""
        return self.state in ("waiting", "started")


NoticeState = Literal["given", "withdrawn", "done"]


@dataclass(frozen=True)
class ReclaimNotice:
    """The notice to the holder of ``launch_id``; ``entry`` is for whom. One launch has one at a time: the last.

    ``told`` is when a message about it was taken by the holder's mail server or chat; None if none was, or none is set
    up. The pages show a notice in any case.
    """

    launch_id: str
    at: float
    deadline: float
    entry: str
    state: NoticeState = "given"
    changed: float = 0.0
    told: float | None = None

    def took(self, ended: float) -> bool:
        """Whether what ended then was taken back by it: for somebody who waits, and when its time was over."""
        return self.state == "done" and bool(self.entry) and ended >= self.deadline


@dataclass(frozen=True)
class Nudge:
    """``user``, who holds ``launch_id``, was asked at ``at`` to give back what the waiting ``entry`` needs."""

    launch_id: str
    at: float
    entry: str
    user: str = ""


Record = (
    Reservation
    | AuditEntry
    | StoredAnswer
    | KnownId
    | QueueEntry
    | ReclaimNotice
    | QuotaChange
    | Nudge
    | IdleWarning
    | Keeping
    | WouldStop
    | Shelved
    | ClosedAccount
)


@dataclass(frozen=True)
class PastRun:
    """A launch that is over: what it held, from ``started`` until ``ended``.

    One that was ``reclaimed`` was taken back for others: it did not end by itself.
    """

    launch_id: str
    user: str
    group: str | None
    profile: str
    gpu_type: str | None
    gpus: int
    cpu: float
    memory_gib: float
    started: float
    ended: float
    reclaimed: bool = False


@dataclass(frozen=True)
class HeldThen:
    """What a launch that is over held from ``created`` until it was released."""

    launch_id: str
    user: str
    server: str
    display_name: str
    group: str | None
    profile: str
    gpu_type: str | None
    gpus: tuple[str, ...]
    node: str
    created: float


@dataclass(frozen=True)
class ToldStart:
    """A queued launch whose turn came: what its person had been told when they asked, and when it was."""

    launch_id: str
    asked: float
    earliest: float | None
    latest: float | None
    started: float
    reckoned_earliest: float | None = None
    reckoned_latest: float | None = None


def run_of(one: Reservation, notice: ReclaimNotice | None = None) -> PastRun | None:
    """Return what a launch that is over held; None for one that never ran. ``notice`` is the last that it had."""
    if one.held is None or one.released is None:
        return None
    return PastRun(
        launch_id=one.launch_id,
        user=one.user,
        group=one.group,
        profile=one.profile,
        gpu_type=one.gpu_type,
        gpus=len(one.gpus),
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        started=one.held,
        ended=one.released,
        reclaimed=notice is not None and notice.took(one.released),
    )


@dataclass(frozen=True)
class Contents:
    """What a service needs to know when it starts: everything active, and what a late repetition may refer to.

    ``spent`` are the launches that were released lately, with the time of it. ``warnings`` are those in force,
    ``keepings`` those of launches that are active, ``would_stops`` those that are open still, and ``shelved`` what can
    go back to its GPUs. ``closed`` are the accounts that are closed.
    """

    reservations: tuple[Reservation, ...]
    spent: Mapping[str, float]
    answers: tuple[StoredAnswer, ...]
    ids: tuple[KnownId, ...]
    entries: tuple[QueueEntry, ...] = ()
    notices: tuple[ReclaimNotice, ...] = ()
    quota_changes: tuple[QuotaChange, ...] = ()
    nudges: tuple[Nudge, ...] = ()
    warnings: tuple[IdleWarning, ...] = ()
    keepings: tuple[Keeping, ...] = ()
    would_stops: tuple[WouldStop, ...] = ()
    shelved: tuple[Shelved, ...] = ()
    closed: tuple[ClosedAccount, ...] = ()
