"""What every ledger can do.

Guarantees of every implementation, kept by one contract suite over all of them: `commit` is all or nothing, and what it
returned from survives the process and the machine (the memory ledger: the process excepted); there is never more than
one active reservation of a server, nor more than one active entry of the queue; reading never waits for a writer;
`commit` adds to what the last `load` returned, or fails: nobody else can have written in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from mlabhub.errors import Unavailable
from mlabhub.ledger.audit import AUDIT_WINDOW, AuditFilter, AuditPage
from mlabhub.ledger.records import (
    AuditEntry,
    Contents,
    HeldThen,
    Keeping,
    PastRun,
    QueueEntry,
    Record,
    Reservation,
    ToldStart,
    WouldStop,
)

MOST_LATEST = 100
"""How many launches back `Ledger.latest` looks."""


class LedgerUnavailable(Unavailable):
    """The ledger cannot be written or read; nothing was changed."""

    code = "ledger_unavailable"


class LedgerConflict(Exception):
    """A commit would have left two active reservations of one server; nothing of it was kept."""


class Ledger(Protocol):
    """Calls block; the service makes them in a thread; `load`, `commit` and `check` from one thread at a time."""

    def load(self, since: float) -> Contents:
        """Return all that is active, and the answers and released launches since that time."""

    def commit(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none of them: reservations, answers and ids replace those of the same key.

        Raises `LedgerUnavailable` with the reason in words, or `LedgerConflict`.
        """

    def check(self) -> None:
        """Raise `LedgerUnavailable` if what was loaded may not be all there is any more: it has to be loaded again."""

    def reservation(self, launch_id: str) -> Reservation | None:
        """Return a launch, however old."""

    def recent(self, user: str) -> tuple[Reservation, ...]:
        """Return a user's last `MOST_LATEST` admitted launches, newest first."""

    def latest(self, user: str) -> tuple[Reservation, ...]:
        """Return the last admitted launch of each of a user's servers (of the last `MOST_LATEST`), newest first."""

    def audit(self, *, limit: int, before: int | None = None, user: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the newest entries first; ``before`` is the number of the last one already seen."""

    def search_audit(
        self, wanted: AuditFilter, *, limit: int, before: int | None = None, window: int = AUDIT_WINDOW
    ) -> AuditPage:
        """Return the newest entries that are wanted; not more than ``window`` of the audit are looked through."""

    def entry(self, launch_id: str) -> QueueEntry | None:
        """Return an entry of the queue, however old."""

    def told_starts(self, since: float) -> tuple[ToldStart, ...]:
        """Return what those were told whose turn came in the queue after that time, first first."""

    def past_runs(self, since: float) -> tuple[PastRun, ...]:
        """Return the launches that ran and ended after that time, those that ended first first."""

    def held_at(self, at: float) -> tuple[HeldThen, ...]:
        """Return the launches that had begun at a moment, and were released after it."""

    def would_stops(self, since: float) -> tuple[WouldStop, ...]:
        """Return what dry runs would have stopped after that time, first first."""

    def keepings(self, since: float) -> tuple[Keeping, ...]:
        """Return what was asked to be kept after that time, first first."""

    def forget_answers(self, before: float) -> None:
        """Drop the stored answers that are older than that time."""

    def close(self) -> None:
        """Close the files."""


def one_per_server(launches: Iterable[Reservation]) -> tuple[Reservation, ...]:
    """Return the first launch of each server, in the order given."""
    first: dict[str, Reservation] = {}
    for one in launches:
        first.setdefault(one.server, one)
    return tuple(first.values())
