"""A ledger that lives in memory: for tests and for trying rules out. It keeps the contract, durability excepted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace

from mlabhub.ledger.audit import AUDIT_WINDOW, AuditFilter, AuditPage
from mlabhub.ledger.base import MOST_LATEST, LedgerConflict, one_per_server
from mlabhub.ledger.records import (
    AuditEntry,
    ClosedAccount,
    Contents,
    HeldThen,
    IdleWarning,
    Keeping,
    KnownId,
    Nudge,
    PastRun,
    QueueEntry,
    QuotaChange,
    ReclaimNotice,
    Record,
    Reservation,
    Shelved,
    StoredAnswer,
    ToldStart,
    WouldStop,
    run_of,
)


class MemoryLedger:
    """Dictionaries behind the ledger's interface."""

    def __init__(self) -> None:
        self._reservations: dict[str, Reservation] = {}
        self._answers: dict[tuple[str, str], StoredAnswer] = {}
        self._ids: dict[tuple[str, str], KnownId] = {}
        self._audit: list[AuditEntry] = []
        self._entries: dict[str, QueueEntry] = {}
        self._notices: dict[str, ReclaimNotice] = {}
        self._changes: dict[str, QuotaChange] = {}
        self._nudges: dict[str, Nudge] = {}
        self._warnings: dict[str, IdleWarning] = {}
        self._keepings: dict[tuple[str, float], Keeping] = {}
        self._would_stops: dict[tuple[str, float], WouldStop] = {}
        self._shelved: dict[tuple[str, str], Shelved] = {}
        self._closed: dict[str, ClosedAccount] = {}

    def load(self, since: float) -> Contents:
        """Return all that is active, and the answers and released launches since that time."""
        everything = self._reservations.values()
        return Contents(
            reservations=tuple(one for one in everything if one.active),
            spent={one.launch_id: one.released for one in everything if one.released and one.released >= since},
            answers=tuple(answer for answer in self._answers.values() if answer.created >= since),
            ids=tuple(self._ids.values()),
            entries=tuple(entry for entry in self._entries.values() if entry.active),
            notices=tuple(notice for notice in self._notices.values() if notice.state == "given"),
            quota_changes=tuple(self._changes.values()),
            nudges=tuple(nudge for nudge in self._nudges.values() if nudge.at >= since),
            warnings=tuple(one for one in self._warnings.values() if one.active),
            keepings=tuple(one for one in self._keepings.values() if self._is_active(one.launch_id)),
            would_stops=tuple(one for one in self._would_stops.values() if one.again is None and one.ended is None),
            shelved=tuple(one for one in self._shelved.values() if one.active),
            closed=tuple(one for one in self._closed.values() if one.active),
        )

    def commit(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none of them."""
        records = tuple(records)
        reservations = dict(self._reservations)
        reservations.update((one.launch_id, one) for one in records if isinstance(one, Reservation))
        servers = [(one.user, one.server) for one in reservations.values() if one.active]
        if len(servers) != len(set(servers)):
            raise LedgerConflict("two active reservations of one server")
        entries = dict(self._entries)
        entries.update((one.launch_id, one) for one in records if isinstance(one, QueueEntry))
        servers = [(one.user, one.server) for one in entries.values() if one.active]
        if len(servers) != len(set(servers)):
            raise LedgerConflict("two active entries of one server")
        self._reservations, self._entries = reservations, entries
        for record in records:
            if isinstance(record, StoredAnswer):
                self._answers[record.actor, record.key] = record
            elif isinstance(record, KnownId):
                self._ids[record.kind, record.name] = record
            elif isinstance(record, AuditEntry):
                self._audit.append(replace(record, number=len(self._audit) + 1))
            elif isinstance(record, ReclaimNotice):
                self._notices[record.launch_id] = record
            elif isinstance(record, QuotaChange):
                self._changes[record.change_id] = record
            elif isinstance(record, Nudge):
                self._nudges[record.launch_id] = record
            elif isinstance(record, IdleWarning):
                self._warnings[record.launch_id] = record
            elif isinstance(record, Keeping):
                self._keepings[record.launch_id, record.at] = record
            elif isinstance(record, WouldStop):
                self._would_stops[record.launch_id, record.at] = record
            elif isinstance(record, Shelved):
                self._shelved[record.user, record.server] = record
            elif isinstance(record, ClosedAccount):
                self._closed[record.user] = record

    def _is_active(self, launch_id: str) -> bool:
        one = self._reservations.get(launch_id)
        return one is not None and one.active

    def check(self) -> None:
        """Nobody else writes."""

    def reservation(self, launch_id: str) -> Reservation | None:
        """Return a launch, however old."""
        return self._reservations.get(launch_id)

    def latest(self, user: str) -> tuple[Reservation, ...]:
        """Return the last admitted launch of each of a user's servers, newest first."""
        return one_per_server(self.recent(user))

    def recent(self, user: str) -> tuple[Reservation, ...]:
        """Return a user's last admitted launches, newest first."""
        admitted = [entry for entry in reversed(self._audit) if entry.user == user and entry.act == "admit"]
        launches = [self._reservations[entry.launch_id] for entry in admitted if entry.launch_id in self._reservations]
        return tuple(launches[:MOST_LATEST])

    def audit(self, *, limit: int, before: int | None = None, user: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the newest entries first."""
        entries = self._audit if before is None else self._audit[: max(before - 1, 0)]
        return tuple(entry for entry in reversed(entries) if user is None or entry.user == user)[:limit]

    def search_audit(
        self, wanted: AuditFilter, *, limit: int, before: int | None = None, window: int = AUDIT_WINDOW
    ) -> AuditPage:
        """Return the newest entries that are wanted."""
        name = next((name for name in ("user", "actor", "act") if getattr(wanted, name)), "")
        named = AuditFilter(**{name: getattr(wanted, name)} if name else {}, since=wanted.since, until=wanted.until)
        along = [one for one in self.audit(limit=len(self._audit), before=before) if named.matches(one)]
        looked_at = along[:window]
        found = tuple(one for one in looked_at if wanted.matches(one))
        if len(found) > limit:
            return AuditPage(found[:limit], found[limit - 1].number)
        end = looked_at[-1] if len(looked_at) == window else None
        return AuditPage(found) if end is None else AuditPage(found, end.number, end.at)

    def entry(self, launch_id: str) -> QueueEntry | None:
        """Return an entry of the queue, however old."""
        return self._entries.get(launch_id)

    def told_starts(self, since: float) -> tuple[ToldStart, ...]:
        """Return what those were told whose turn came after that time."""
        found = [
            ToldStart(
                *(one.launch_id, one.created, one.told_earliest, one.told_latest, one.started),
                *(one.reckoned_earliest, one.reckoned_latest),
            )
            for one in self._entries.values()
            if one.started is not None and one.started >= since
        ]
        return tuple(sorted(found, key=lambda one: one.started))

    def past_runs(self, since: float) -> tuple[PastRun, ...]:
        """Return the launches that ran and ended after that time."""
        ended = [one for one in self._reservations.values() if one.released is not None and one.released >= since]
        runs = [run for one in ended if (run := run_of(one, self._notices.get(one.launch_id))) is not None]
        return tuple(sorted(runs, key=lambda run: run.ended))

    def held_at(self, at: float) -> tuple[HeldThen, ...]:
        """Return the launches that had begun at a moment, and were released after it."""
        names = [one.name for one in fields(HeldThen)]
        over = (one for one in self._reservations.values() if one.released is not None and one.released > at)
        return tuple(HeldThen(**{name: getattr(one, name) for name in names}) for one in over if one.created <= at)

    def would_stops(self, since: float) -> tuple[WouldStop, ...]:
        """Return what dry runs would have stopped after that time."""
        return tuple(sorted((one for one in self._would_stops.values() if one.at >= since), key=lambda one: one.at))

    def keepings(self, since: float) -> tuple[Keeping, ...]:
        """Return what was asked to be kept after that time."""
        return tuple(sorted((one for one in self._keepings.values() if one.at >= since), key=lambda one: one.at))

    def forget_answers(self, before: float) -> None:
        """Drop the stored answers that are older than that time."""
        self._answers = {key: answer for key, answer in self._answers.items() if answer.created >= before}

    def close(self) -> None:
        """Nothing is open."""
