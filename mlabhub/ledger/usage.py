"""Usage that is kept: GPU time by day, user, group and profile, for as long as the ledger is.

Guarantees, kept by one contract suite over all implementations: a window is added as a whole or not at all, and only
behind the one that was added last, so that nothing counts twice after a crash, nor with two who add; what is asked of
it never waits for a writer. Calls block.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlabhub.core.usage.sums import Held, Key, Sums, Waited
from mlabhub.ledger import tables
from mlabhub.ledger.memory import MemoryLedger
from mlabhub.ledger.queue_tables import queue
from mlabhub.ledger.records import QueueEntry
from mlabhub.ledger.sql import SqlLedger
from mlabhub.ledger.usage_tables import EVERYBODY, capacity, progress, sums

By = Literal["user", "group", "profile", "day"]
PARTS = Sums._fields
WHAT = "usage"


@dataclass(frozen=True)
class Scope:
    """Of whom sums are asked: of everybody, or of one user's own, of what some groups pay for, or of both."""

    user: str | None = None
    groups: frozenset[str] | None = None

    @property
    def everybody(self) -> bool:
        """Whether nothing is left out."""
        return self.user is None and self.groups is None


class There(NamedTuple):
    """The GPUs that there were, in milliseconds of one GPU, in as many milliseconds as it was ``known``."""

    gpus: int = 0
    known: int = 0


class UsageStore(Protocol):
    """What keeps usage."""

    def until(self) -> float | None:
        """Return up to when windows were added, None: there is none yet."""

    def begin(self) -> float | None:
        """Return when the first launch was asked for or reserved, None: there is none yet."""

    def held(self, since: float, until: float) -> tuple[Held, ...]:
        """Return the launches with GPUs of which something is in a window."""

    def waited(self, since: float, until: float) -> tuple[Waited, ...]:
        """Return the launches with GPUs that were in the queue in a window."""

    def add(
        self, since: float | None, until: float, added: Mapping[Key, Sums], there: Mapping[str, There] | None = None
    ) -> bool:
        """Add a window's sums; False, and nothing was added, if the last one did not end at ``since`` (None: no last).

        ``there`` is by day. Raises `LedgerUnavailable`.
        """

    def totals(self, by: By, first: str, last: str, scope: Scope = Scope()) -> dict[str, Sums]:
        """Return sums from the day ``first`` to ``last``, both included, by name or day."""

    def there(self, first: str, last: str) -> dict[str, There]:
        """Return which GPUs there were on these days."""


class MemoryUsage:
    """Usage in memory, of a ledger in memory: for tests."""

    def __init__(self, ledger: MemoryLedger):
        self._ledger = ledger
        self._until: float | None = None
        self._sums: dict[Key, Sums] = {}
        self._there: dict[str, There] = {}

    def until(self) -> float | None:
        """Return up to when windows were added."""
        return self._until

    def begin(self) -> float | None:
        """Return when the first launch was asked for or reserved."""
        reserved = (one.created for one in self._ledger._reservations.values())
        asked = (one.created for one in self._ledger._entries.values())
        return min((*reserved, *asked), default=None)

    def held(self, since: float, until: float) -> tuple[Held, ...]:
        """Return the launches with GPUs of which something is in a window."""
        return tuple(
            Held(one.launch_id, one.user, one.group, one.profile, len(one.gpus), one.created, one.released)
            for one in self._ledger._reservations.values()
            if one.gpus and one.created < until and (one.released is None or one.released >= since)
        )

    def waited(self, since: float, until: float) -> tuple[Waited, ...]:
        """Return the launches with GPUs that were in the queue in a window."""
        entries = [one for one in self._ledger._entries.values() if one.gpus and one.created < until]
        waits = (Waited(one.user, one.group, one.profile, one.gpus, one.created, _end_of(one)) for one in entries)
        return tuple(one for one in waits if one.end is None or one.end >= since)

    def add(
        self, since: float | None, until: float, added: Mapping[Key, Sums], there: Mapping[str, There] | None = None
    ) -> bool:
        """Add a window's sums."""
        if since != self._until:
            return False
        self._until = until
        for key, one in added.items():
            self._sums[key] = self._sums.get(key, Sums()).plus(one)
        for day, more in (there or {}).items():
            before = self._there.get(day, There())
            self._there[day] = There(before.gpus + more.gpus, before.known + more.known)
        return True

    def totals(self, by: By, first: str, last: str, scope: Scope = Scope()) -> dict[str, Sums]:
        """Return sums by name or day."""
        found: dict[str, Sums] = {}
        for key, one in self._sums.items():
            in_group = scope.groups is not None and key.group in scope.groups
            if first <= key.day <= last and (scope.everybody or key.user == scope.user or in_group):
                name = getattr(key, by)
                found[name] = found.get(name, Sums()).plus(one)
        return found

    def there(self, first: str, last: str) -> dict[str, There]:
        """Return which GPUs there were on these days."""
        return {day: one for day, one in self._there.items() if first <= day <= last}


class SqlUsage:
    """Usage in the ledger's database."""

    def __init__(self, ledger: SqlLedger):
        self._engine = ledger._engine
        self._faults = ledger._faults
        self._insert = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert

    def until(self) -> float | None:
        """Return up to when windows were added."""
        with self._faults(), self._engine.connect() as connection:
            return connection.execute(sa.select(progress.c.until).where(progress.c.what == WHAT)).scalar()

    def begin(self) -> float | None:
        """Return when the first launch was asked for or reserved."""
        with self._faults(), self._engine.connect() as connection:
            firsts = [
                connection.execute(sa.select(sa.func.min(table.c.created))).scalar()
                for table in (tables.reservations, queue)
            ]
        return min((one for one in firsts if one is not None), default=None)

    def held(self, since: float, until: float) -> tuple[Held, ...]:
        """Return the launches with GPUs of which something is in a window; there are indexes for those of late."""
        of = tables.reservations.c
        columns = of.launch_id, of.user, of.group, of.profile, of.gpus, of.created, of.released
        parts = [of.state != "released", of.released >= since]
        found: dict[str, Held] = {}
        with self._faults(), self._engine.connect() as connection:
            for part in parts:
                rows = connection.execute(sa.select(*columns).where(part, of.created < until))
                found |= {row[0]: Held(*row[:4], len(row[4]), *row[5:]) for row in rows if row[4]}
        return tuple(found.values())

    def waited(self, since: float, until: float) -> tuple[Waited, ...]:
        """Return the launches with GPUs that were in the queue in a window."""
        of = queue.c
        end = sa.case((of.state == "waiting", None), else_=sa.func.coalesce(of.started, of.changed))
        query = sa.select(of.user, of.group, of.profile, of.gpus, of.created, end).where(
            of.gpus > 0, of.created < until, sa.or_(of.state == "waiting", of.started >= since, of.changed >= since)
        )
        with self._faults(), self._engine.connect() as connection:
            waits = [Waited(*row) for row in connection.execute(query)]
        return tuple(one for one in waits if one.end is None or one.end >= since)

    def add(
        self, since: float | None, until: float, added: Mapping[Key, Sums], there: Mapping[str, There] | None = None
    ) -> bool:
        """Add a window's sums, in one transaction with up to when they are."""
        days = [{"day": day, "gpus": one.gpus, "known": one.known} for day, one in (there or {}).items()]
        with self._faults(), self._engine.begin() as connection:
            if not self._advance(connection, since, until):
                return False
            self._plus(connection, sums, _rows(added), PARTS)
            self._plus(connection, capacity, days, There._fields)
        return True

    def totals(self, by: By, first: str, last: str, scope: Scope = Scope()) -> dict[str, Sums]:
        """Return sums by name or day: of all users together from few rows, one by one in the order of the key."""
        of = sums.c
        name = of[by]
        query = sa.select(name, *(sa.func.sum(of[part]) for part in PARTS)).where(of.day >= first, of.day <= last)
        query = query.where(_of_users(scope) if by == "user" else _of_all(scope)).group_by(name)
        with self._faults(), self._engine.connect() as connection:
            return {row[0]: Sums(*map(int, row[1:])) for row in connection.execute(query)}

    def there(self, first: str, last: str) -> dict[str, There]:
        """Return which GPUs there were on these days."""
        query = sa.select(capacity).where(capacity.c.day >= first, capacity.c.day <= last)
        with self._faults(), self._engine.connect() as connection:
            return {row.day: There(row.gpus, row.known) for row in connection.execute(query)}

    def _advance(self, connection: sa.Connection, since: float | None, until: float) -> bool:
        """Say up to when sums are, if they were up to ``since``."""
        if since is None:
            first = self._insert(progress).values(what=WHAT, until=until).on_conflict_do_nothing()
            return connection.execute(first.returning(progress.c.what)).first() is not None
        there = (progress.c.what == WHAT, progress.c.until == since)
        return connection.execute(sa.update(progress).where(*there).values(until=until)).rowcount == 1

    def _plus(
        self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], parts: Sequence[str]
    ) -> None:
        if rows:
            statement = self._insert(table)
            more = {part: table.c[part] + statement.excluded[part] for part in parts}
            keys = [column.name for column in table.primary_key.columns]
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=more), rows)


def _of_all(scope: Scope) -> sa.ColumnElement[bool]:
    """Choose the rows of what a scope has, people not told apart where there is more than one."""
    of = sums.c
    if scope.everybody:
        return of.user == EVERYBODY
    if scope.user is None:
        return sa.and_(of.user == EVERYBODY, of.group.in_(scope.groups or ()))
    return _of_users(scope)


def _of_users(scope: Scope) -> sa.ColumnElement[bool]:
    """Choose the rows of single users."""
    of = sums.c
    if scope.everybody:
        return of.user > EVERYBODY
    parts = []
    if scope.user is not None:
        parts.append(of.user == scope.user)
    if scope.groups is not None:
        parts.append(sa.and_(of.user > EVERYBODY, of.group.in_(scope.groups)))
    return sa.or_(*parts)


def _rows(added: Mapping[Key, Sums]) -> list[dict[str, Any]]:
    """Return a row for each user's sums, and those of all users together."""
    everything = dict(added)
    together: dict[Key, Sums] = defaultdict(Sums)
    for key, one in added.items():
        everybody = key._replace(user=EVERYBODY)
        together[everybody] = together[everybody].plus(one)
    everything.update(together)
    return [{**key._asdict(), **one._asdict()} for key, one in sorted(everything.items())]


def _end_of(entry: QueueEntry) -> float | None:
    if entry.state == "waiting":
        return None
    return entry.changed if entry.started is None else entry.started
