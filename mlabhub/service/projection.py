"""What the ledger says, in memory, indexed for decisions.

Guarantees: it is changed only by records that are committed next (or thrown away and rebuilt when the commit fails), by
one writer at a time; whoever reads it between two awaits reads one consistent state.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from mlabhub.core.admission import Holding, Holdings
from mlabhub.ledger import (
    AuditEntry,
    ClosedAccount,
    Contents,
    IdleWarning,
    Keeping,
    KnownId,
    Nudge,
    QueueEntry,
    QuotaChange,
    ReclaimNotice,
    Record,
    Reservation,
    Shelved,
    StoredAnswer,
    WouldStop,
)

REMEMBER_S = 48 * 3600.0
"""How long a released launch and a stored answer are kept at hand for a late repetition of their request."""


_UNSEEN = StoredAnswer | KnownId | AuditEntry | IdleWarning | Keeping | WouldStop | Shelved | ClosedAccount
"""What no round of the queue sees."""


class Projection:
    """The active reservations and what hangs on them. ``numbers`` are all that users and groups were given.

    ``queue`` are the active entries by launch, ``notices`` those in force and ``nudges`` the last one by the holder's
    launch; ``quota_changes`` are all, and another mapping after each change. ``warnings`` of idleness that are active,
    ``keepings`` and open ``would_stops`` are by launch, ``shelved`` by user and server.

    For the rounds of the queue there are numbers that are others: ``version`` after every change that a round could
    see, ``queued`` after each of ``queue``, ``freed`` after everything that left more room, ``stir`` after everything
    that a round has to follow.
    """

    _versions = itertools.count(1)

    def __init__(self, contents: Contents):
        self.version = self.freed = self.stir = self.queued = next(self._versions)
        self.holdings = Holdings()
        self._launches: dict[str, Reservation] = {}
        self._servers: dict[tuple[str, str], str] = {}
        self._users: dict[str, set[str]] = {}
        self._spent: dict[str, float] = dict(contents.spent)
        self._answers: dict[tuple[str, str], StoredAnswer] = {}
        self._ids: dict[tuple[str, str], int] = {}
        self._id_owners: dict[tuple[str, int], str] = {}
        self.numbers: set[int] = set()
        self.queue: dict[str, QueueEntry] = {}
        self.notices: dict[str, ReclaimNotice] = {}
        self.quota_changes: Mapping[str, QuotaChange] = {}
        self.nudges: dict[str, Nudge] = {}
        self.warnings: dict[str, IdleWarning] = {}
        self.keepings: dict[str, tuple[Keeping, ...]] = {}
        self.would_stops: dict[str, WouldStop] = {}
        self.shelved: dict[tuple[str, str], Shelved] = {}
        self.closed: dict[str, ClosedAccount] = {}
        self._queued: dict[tuple[str, str], str] = {}
        everything: tuple[Record, ...] = (
            *contents.reservations,
            *contents.answers,
            *contents.ids,
            *contents.entries,
            *contents.notices,
            *contents.quota_changes,
            *contents.nudges,
            *contents.warnings,
            *contents.keepings,
            *contents.would_stops,
            *contents.shelved,
            *contents.closed,
        )
        for record in everything:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Take over a record."""
        if not isinstance(record, _UNSEEN):
            self.version = next(self._versions)
        if isinstance(record, QueueEntry | ReclaimNotice | QuotaChange) or self._is_awaited(record):
            self.stir = self.version
        if isinstance(record, Reservation):
            self._apply_reservation(record)
        elif isinstance(record, StoredAnswer):
            self._answers[record.actor, record.key] = record
        elif isinstance(record, KnownId):
            self._ids[record.kind, record.name] = record.number
            self._id_owners[record.kind, record.number] = record.name
            self.numbers.add(record.number)
        elif isinstance(record, QueueEntry):
            self._apply_entry(record)
        elif isinstance(record, ReclaimNotice):
            if record.state == "given":
                self.notices[record.launch_id] = record
            else:
                self.notices.pop(record.launch_id, None)
        elif isinstance(record, QuotaChange):
            self.quota_changes = {**self.quota_changes, record.change_id: record}
        elif isinstance(record, Nudge):
            self.nudges[record.launch_id] = record
        elif isinstance(record, ClosedAccount):
            if record.active:
                self.closed[record.user] = record
            else:
                self.closed.pop(record.user, None)
        else:
            self._apply_idleness(record)

    def launch(self, launch_id: str) -> Reservation | None:
        """Return an active reservation by its launch."""
        return self._launches.get(launch_id)

    def of_server(self, user: str, server: str) -> Reservation | None:
        """Return the active reservation of a server."""
        launch_id = self._servers.get((user, server))
        return None if launch_id is None else self._launches[launch_id]

    def of_user(self, user: str) -> tuple[Reservation, ...]:
        """Return a user's active reservations, oldest first."""
        return tuple(sorted((self._launches[one] for one in self._users.get(user, ())), key=lambda one: one.created))

    def entry_of_server(self, user: str, server: str) -> QueueEntry | None:
        """Return the active entry of the queue for a server."""
        launch_id = self._queued.get((user, server))
        return None if launch_id is None else self.queue[launch_id]

    def is_spent(self, launch_id: str) -> bool:
        """Return whether that launch was released lately, so that nothing may start under it again."""
        return launch_id in self._spent

    def answer(self, actor: str, key: str) -> StoredAnswer | None:
        """Return what was answered to a request with this ``Idempotency-Key``."""
        return self._answers.get((actor, key))

    def known_id(self, kind: str, name: str) -> int | None:
        """Return the number that was given to a user or group."""
        return self._ids.get((kind, name))

    def id_owner(self, kind: str, number: int) -> str | None:
        """Return which user or group has that number."""
        return self._id_owners.get((kind, number))

    def forget(self, before: float) -> None:
        """Drop the answers and released launches older than that time."""
        self._spent = {one: at for one, at in self._spent.items() if at >= before}
        self._answers = {key: answer for key, answer in self._answers.items() if answer.created >= before}
        self.nudges = {key: nudge for key, nudge in self.nudges.items() if nudge.at >= before}

    def __iter__(self) -> Iterator[Reservation]:
        return iter(self._launches.values())

    def __len__(self) -> int:
        return len(self._launches)

    def _is_awaited(self, record: Record) -> bool:
        return isinstance(record, Reservation) and record.launch_id in self.queue

    def _apply_idleness(self, record: Record) -> None:
        if isinstance(record, IdleWarning):
            if record.active:
                self.warnings[record.launch_id] = record
            else:
                self.warnings.pop(record.launch_id, None)
        elif isinstance(record, Keeping):
            before = (one for one in self.keepings.get(record.launch_id, ()) if one.at != record.at)
            self.keepings[record.launch_id] = (*before, record)
        elif isinstance(record, WouldStop):
            if record.again is None and record.ended is None:
                self.would_stops[record.launch_id] = record
            else:
                self.would_stops.pop(record.launch_id, None)
        elif isinstance(record, Shelved):
            if record.active:
                self.shelved[record.user, record.server] = record
            else:
                self.shelved.pop((record.user, record.server), None)
        else:
            assert isinstance(record, AuditEntry)  # it decides nothing and is not kept in memory

    def _apply_entry(self, entry: QueueEntry) -> None:
        self.queued = self.version
        if entry.active:
            self.queue[entry.launch_id] = entry
            self._queued[entry.user, entry.server] = entry.launch_id
            return
        self.queue.pop(entry.launch_id, None)
        if self._queued.get((entry.user, entry.server)) == entry.launch_id:
            del self._queued[entry.user, entry.server]

    def _apply_reservation(self, one: Reservation) -> None:
        if one.active:
            self._follow(one)
            self.holdings.add(make_holding(one))
            self._launches[one.launch_id] = one
            self._servers[one.user, one.server] = one.launch_id
            self._users.setdefault(one.user, set()).add(one.launch_id)
            return
        self.holdings.remove(one.launch_id)
        self.keepings.pop(one.launch_id, None)
        self.freed = self.stir = self.version
        self._spent[one.launch_id] = one.released if one.released is not None else one.changed
        if self._launches.pop(one.launch_id, None) is None:
            return
        if self._servers.get((one.user, one.server)) == one.launch_id:
            del self._servers[one.user, one.server]
        others = self._users[one.user]
        others.discard(one.launch_id)
        if not others:
            del self._users[one.user]

    def _follow(self, one: Reservation) -> None:
        """Let a launch hold what it holds now on the node where the cluster put it."""
        known = self.holdings.get(one.launch_id)
        if known is not None and (known.node, known.gpus) != (one.node or None, one.gpus):
            self.holdings.remove(one.launch_id)
            self.freed = self.stir = self.version


def make_holding(one: Reservation) -> Holding:
    """Return what a reservation holds, as admission counts it."""
    return Holding(
        user=one.user,
        server=one.server,
        launch_id=one.launch_id,
        group=one.group,
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        gpu_type=one.gpu_type,
        gpus=one.gpus,
        node=one.node or None,
        state=one.state,
    )
