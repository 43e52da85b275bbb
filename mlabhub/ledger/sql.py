"""The ledger in an SQL database: what SQLite and PostgreSQL have in common.

Guarantees: one transaction a commit; what a database says becomes one sentence for a person.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from mlabhub.ledger import audit_search, idle_tables, people_tables, queue_tables, tables
from mlabhub.ledger.audit import AUDIT_WINDOW, AuditFilter, AuditPage
from mlabhub.ledger.base import MOST_LATEST, LedgerConflict, LedgerUnavailable, one_per_server
from mlabhub.ledger.idle_records import OVER
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
)
from mlabhub.messages import Message

compact_json = partial(json.dumps, separators=(",", ":"))
Sentence = Callable[[BaseException], Message]


class SqlLedger:
    """The ledger behind an SQLAlchemy engine; ``sentence`` says what the database's errors mean."""

    def __init__(self, engine: sa.Engine, sentence: Sentence):
        self._engine = engine
        self._sentence = sentence
        put = partial(_Put, engine.dialect.name)
        self._puts = {
            Reservation: put(tables.reservations, tables.reservation_row, replaces=("launch_id",)),
            StoredAnswer: put(tables.answers, tables.answer_row, replaces=("actor", "key")),
            KnownId: put(tables.ids, tables.id_row, replaces=("kind", "name")),
            AuditEntry: put(tables.audit, tables.audit_row),
            QueueEntry: put(queue_tables.queue, queue_tables.entry_row, replaces=("launch_id",)),
            ReclaimNotice: put(queue_tables.notices, queue_tables.plain_row, replaces=("launch_id",)),
            QuotaChange: put(queue_tables.quota_changes, queue_tables.plain_row, replaces=("change_id",)),
            Nudge: put(queue_tables.nudges, queue_tables.plain_row, replaces=("launch_id",)),
            IdleWarning: put(idle_tables.warnings, idle_tables.plain_row, replaces=("launch_id",)),
            Keeping: put(idle_tables.keepings, idle_tables.plain_row, replaces=("launch_id", "at")),
            WouldStop: put(idle_tables.would_stops, idle_tables.told_row, replaces=("launch_id", "at")),
            Shelved: put(idle_tables.shelved, idle_tables.told_row, replaces=("user", "server")),
            ClosedAccount: put(people_tables.closed_accounts, people_tables.closed_row, replaces=("user",)),
        }

    def load(self, since: float) -> Contents:
        """Return all that is active, and the answers and released launches since that time."""
        held, answers = tables.reservations.c, tables.answers
        with self._faults(), self._loading() as connection:
            rows = connection.execute(sa.select(tables.reservations).where(held.state != "released")).mappings()
            reservations = tuple(tables.reservation_of(row) for row in rows)
            spent = connection.execute(sa.select(held.launch_id, held.released).where(held.released >= since))
            recent = connection.execute(sa.select(answers).where(answers.c.created >= since)).mappings()
            queue, notices, changes, nudges = _queue_parts(connection, since)
            return Contents(
                reservations=reservations,
                spent={row.launch_id: row.released for row in spent},
                answers=tuple(StoredAnswer(**row) for row in recent),
                ids=tuple(KnownId(**row) for row in connection.execute(sa.select(tables.ids)).mappings()),
                entries=queue,
                notices=notices,
                quota_changes=changes,
                nudges=nudges,
                **_idle_parts(connection),
                closed=people_tables.read_closed(connection),
            )

    def commit(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none of them."""
        records = tuple(records)
        with self._faults(), self._writing() as connection:
            for kind, put in self._puts.items():
                put(connection, [record for record in records if isinstance(record, kind)])

    def check(self) -> None:
        """Do nothing: nobody else writes while the service has its lock."""

    def reservation(self, launch_id: str) -> Reservation | None:
        """Return a launch, however old."""
        query = sa.select(tables.reservations).where(tables.reservations.c.launch_id == launch_id)
        with self._reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else tables.reservation_of(row)

    def latest(self, user: str) -> tuple[Reservation, ...]:
        """Return the last admitted launch of each of a user's servers, newest first."""
        return one_per_server(self.recent(user))

    def recent(self, user: str) -> tuple[Reservation, ...]:
        """Return a user's last admitted launches, newest first; the audit has an index by user.

        It has one by act, too, over all who were ever admitted, which SQLite would take: hence the expression.
        """
        admitted = (tables.audit.c.user == user) & (tables.audit.c.act.concat("") == "admit")
        query = (
            sa.select(tables.reservations)
            .join(tables.audit, tables.audit.c.launch_id == tables.reservations.c.launch_id)
            .where(admitted)
            .order_by(tables.audit.c.number.desc())
            .limit(MOST_LATEST)
        )
        with self._reading() as connection:
            rows = connection.execute(query).mappings()
            return tuple(tables.reservation_of(row) for row in rows)

    def audit(self, *, limit: int, before: int | None = None, user: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the newest entries first."""
        return self.search_audit(AuditFilter(user=user or ""), limit=limit, before=before).entries

    def search_audit(
        self, wanted: AuditFilter, *, limit: int, before: int | None = None, window: int = AUDIT_WINDOW
    ) -> AuditPage:
        """Return the newest entries that are wanted."""
        with self._reading() as connection:
            return audit_search.search(connection, wanted, limit=limit, before=before, window=window)

    def entry(self, launch_id: str) -> QueueEntry | None:
        """Return an entry of the queue, however old."""
        query = sa.select(queue_tables.queue).where(queue_tables.queue.c.launch_id == launch_id)
        with self._reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else queue_tables.entry_of(row)

    def told_starts(self, since: float) -> tuple[ToldStart, ...]:
        """Return what those were told whose turn came after that time; there is an index by that."""
        of = queue_tables.queue.c
        told = of.told_earliest, of.told_latest, of.started, of.reckoned_earliest, of.reckoned_latest
        columns = of.launch_id, of.created, *told
        query = sa.select(*columns).where(of.started >= since).order_by(of.started)
        with self._reading() as connection:
            return tuple(ToldStart(*row) for row in connection.execute(query))

    def past_runs(self, since: float) -> tuple[PastRun, ...]:
        """Return the launches that ran and ended after that time; there is an index by that."""
        of, told = tables.reservations.c, queue_tables.notices.c
        columns = of.launch_id, of.user, of.group, of.profile, of.gpu_type, of.gpus, of.cpu, of.memory_gib
        reclaimed = sa.and_(told.state == "done", told.entry != "", of.released >= told.deadline)
        query = (
            sa.select(*columns, of.held, of.released, sa.func.coalesce(reclaimed, False))
            .join_from(tables.reservations, queue_tables.notices, of.launch_id == told.launch_id, isouter=True)
            .where(of.released >= since, of.held.is_not(None))
            .order_by(of.released)
        )
        with self._reading() as connection:
            rows = connection.execute(query)
            return tuple(PastRun(*row[:5], len(row[5]), *row[6:10], bool(row[10])) for row in rows)

    def held_at(self, at: float) -> tuple[HeldThen, ...]:
        """Return the launches that had begun at a moment, and were released after it; there is an index by that."""
        of = tables.reservations.c
        query = sa.select(*(of[one.name] for one in fields(HeldThen))).where(of.released > at, of.created <= at)
        with self._reading() as connection:
            found = connection.execute(query).mappings()
            return tuple(HeldThen(**{**row, "gpus": tuple(row["gpus"])}) for row in found)

    def would_stops(self, since: float) -> tuple[WouldStop, ...]:
        """Return what dry runs would have stopped after that time; there is an index by that."""
        table = idle_tables.would_stops
        query = sa.select(table).where(table.c.at >= since).order_by(table.c.at)
        with self._reading() as connection:
            return tuple(idle_tables.would_stop_of(row) for row in connection.execute(query).mappings())

    def keepings(self, since: float) -> tuple[Keeping, ...]:
        """Return what was asked to be kept after that time; there is an index by that."""
        table = idle_tables.keepings
        query = sa.select(table).where(table.c.at >= since).order_by(table.c.at)
        with self._reading() as connection:
            return tuple(Keeping(**row) for row in connection.execute(query).mappings())

    def forget_answers(self, before: float) -> None:
        """Drop the stored answers that are older than that time."""
        with self._faults(), self._engine.begin() as connection:
            connection.execute(sa.delete(tables.answers).where(tables.answers.c.created < before))

    def close(self) -> None:
        """Close the files."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with self._faults(), self._engine.connect() as connection:
            yield connection

    def _loading(self) -> AbstractContextManager[sa.Connection]:
        """Return the connection that `load` reads on."""
        return self._engine.begin()

    def _writing(self) -> AbstractContextManager[sa.Connection]:
        """Return the connection that `commit` writes on, in a transaction."""
        return self._engine.begin()

    def _faults(self) -> AbstractContextManager[None]:
        return faults_in_words(self._sentence)


@contextmanager
def faults_in_words(sentence: Sentence) -> Iterator[None]:
    """Raise what a database says as `LedgerUnavailable` with a sentence, or as `LedgerConflict`."""
    try:
        yield
    except sa.exc.IntegrityError as error:
        raise LedgerConflict(str(error.orig)) from error
    except sa.exc.SQLAlchemyError as error:
        words = sentence(getattr(error, "orig", None) or error)
        raise LedgerUnavailable(words, log_text=f"{words} [{error}]") from error


def _queue_parts(
    connection: sa.Connection, since: float
) -> tuple[tuple[QueueEntry, ...], tuple[ReclaimNotice, ...], tuple[QuotaChange, ...], tuple[Nudge, ...]]:
    def rows(table: sa.Table, *where: sa.ColumnElement[bool]) -> Iterable[sa.RowMapping]:
        return connection.execute(sa.select(table).where(*where)).mappings()

    queue, notices, nudges = queue_tables.queue, queue_tables.notices, queue_tables.nudges
    return (
        tuple(queue_tables.entry_of(row) for row in rows(queue, queue.c.state.in_(("waiting", "started")))),
        tuple(ReclaimNotice(**row) for row in rows(notices, notices.c.state == "given")),
        tuple(QuotaChange(**row) for row in rows(queue_tables.quota_changes)),
        tuple(Nudge(**row) for row in rows(nudges, nudges.c.at >= since)),
    )


def _idle_parts(connection: sa.Connection) -> dict[str, Any]:
    def rows(table: sa.Table, *where: sa.ColumnElement[bool]) -> Iterable[sa.RowMapping]:
        return connection.execute(sa.select(table).where(*where)).mappings()

    warnings, keepings, would, shelved = (
        idle_tables.warnings,
        idle_tables.keepings,
        idle_tables.would_stops,
        idle_tables.shelved,
    )
    held = sa.select(tables.reservations.c.launch_id).where(tables.reservations.c.state != "released")
    return {
        "warnings": tuple(IdleWarning(**row) for row in rows(warnings, warnings.c.state.in_(("given", "stopping")))),
        "keepings": tuple(Keeping(**row) for row in rows(keepings, keepings.c.launch_id.in_(held))),
        "would_stops": tuple(
            idle_tables.would_stop_of(row) for row in rows(would, would.c.again.is_(None), would.c.ended.is_(None))
        ),
        "shelved": tuple(idle_tables.shelved_of(row) for row in rows(shelved, shelved.c.state.not_in(OVER))),
    }


class _Put:
    """Insert records, or replace those of the same key; statements are built once, for they are run all the time."""

    def __init__(
        self, dialect: str, table: sa.Table, row: Callable[[Any], dict[str, Any]], replaces: tuple[str, ...] = ()
    ):
        statement = postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)
        if replaces:
            others = {name: statement.excluded[name] for name in table.c.keys() if name not in replaces}  # noqa: SIM118
            statement = statement.on_conflict_do_update(index_elements=list(replaces), set_=others)
        self._statement = statement
        self._row = row

    def __call__(self, connection: sa.Connection, records: list[Any]) -> None:
        if records and isinstance(records[0], Reservation | QueueEntry):
            # Only the last word on each launch, and what is over first: a batch may free a name and give it away again.
            records = sorted({one.launch_id: one for one in records}.values(), key=lambda one: one.active)
        elif records and isinstance(records[0], ReclaimNotice | Nudge | IdleWarning):
            records = list({one.launch_id: one for one in records}.values())
        elif records and isinstance(records[0], Keeping | WouldStop):
            records = list({(one.launch_id, one.at): one for one in records}.values())
        elif records and isinstance(records[0], Shelved):
            records = list({(one.user, one.server): one for one in records}.values())
        elif records and isinstance(records[0], ClosedAccount):
            records = list({one.user: one for one in records}.values())
        if records:
            connection.execute(self._statement, [self._row(record) for record in records])
