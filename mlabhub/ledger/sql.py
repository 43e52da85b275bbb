"""The ledger in SQLite: WAL, ``synchronous=FULL``, one transaction a commit.

Guarantees: a commit that returned is on the disk; one that raised left nothing; the file is readable by its owner only
and is migrated to this version's schema when it is opened (a file of a newer version is refused).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.pool import ConnectionPoolEntry

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import tables
from mlabhub.ledger.base import MOST_LATEST, LedgerConflict, LedgerUnavailable, one_per_server
from mlabhub.ledger.migrate import migrate
from mlabhub.ledger.records import AuditEntry, Contents, KnownId, Record, Reservation, StoredAnswer
from mlabhub.messages import N_, Message

_BUSY_MS = 2000
_compact = partial(json.dumps, separators=(",", ":"), ensure_ascii=False)


def open_sqlite(file: Path) -> SqlLedger:
    """Open the ledger in ``file``, made if it is not there. Raises `InvalidConfiguration` if it cannot be used."""
    try:
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)), json_serializer=_compact)
        sa.event.listen(engine, "connect", _prepare)
        sa.event.listen(engine, "begin", _begin)
        migrate(engine)
    except (OSError, sa.exc.DatabaseError) as error:
        raise InvalidConfiguration(
            Message.of(
                N_(
                    "The ledger {file} cannot be opened: {reason}. "
                    "Free the disk or mend its permissions; if the file is damaged, put it aside and start again: "
                    "running servers are found again."
                ),
                file=str(file),
                reason=str(getattr(error, "orig", None) or error),
            )
        ) from error
    return SqlLedger(engine, str(file))


class SqlLedger:
    """The ledger behind an SQLAlchemy engine. ``name`` is how people know it: the file."""

    def __init__(self, engine: sa.Engine, name: str):
        self._engine = engine
        self._name = name
        self._puts = {
            Reservation: _Put(tables.reservations, tables.reservation_row, replaces=("launch_id",)),
            StoredAnswer: _Put(tables.answers, tables.answer_row, replaces=("actor", "key")),
            KnownId: _Put(tables.ids, tables.id_row, replaces=("kind", "name")),
            AuditEntry: _Put(tables.audit, tables.audit_row),
        }

    def load(self, since: float) -> Contents:
        """Return all that is active, and the answers and released launches since that time."""
        held, answers = tables.reservations.c, tables.answers
        with self._reading() as connection:
            rows = connection.execute(sa.select(tables.reservations).where(held.state != "released")).mappings()
            reservations = tuple(tables.reservation_of(row) for row in rows)
            spent = connection.execute(sa.select(held.launch_id, held.released).where(held.released >= since))
            recent = connection.execute(sa.select(answers).where(answers.c.created >= since)).mappings()
            return Contents(
                reservations=reservations,
                spent={row.launch_id: row.released for row in spent},
                answers=tuple(StoredAnswer(**row) for row in recent),
                ids=tuple(KnownId(**row) for row in connection.execute(sa.select(tables.ids)).mappings()),
            )

    def commit(self, records: Iterable[Record]) -> None:
        """Keep all the records, or none of them."""
        records = tuple(records)
        with self._faults(), self._engine.begin() as connection:
            for kind, put in self._puts.items():
                put(connection, [record for record in records if isinstance(record, kind)])

    def reservation(self, launch_id: str) -> Reservation | None:
        """Return a launch, however old."""
        query = sa.select(tables.reservations).where(tables.reservations.c.launch_id == launch_id)
        with self._reading() as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else tables.reservation_of(row)

    def latest(self, user: str) -> tuple[Reservation, ...]:
        """Return the last admitted launch of each of a user's servers, newest first; the audit has an index by user."""
        admitted = (tables.audit.c.user == user) & (tables.audit.c.act == "admit")
        query = (
            sa.select(tables.reservations)
            .join(tables.audit, tables.audit.c.launch_id == tables.reservations.c.launch_id)
            .where(admitted)
            .order_by(tables.audit.c.number.desc())
            .limit(MOST_LATEST)
        )
        with self._reading() as connection:
            rows = connection.execute(query).mappings()
            return one_per_server([tables.reservation_of(row) for row in rows])

    def audit(self, *, limit: int, before: int | None = None, user: str | None = None) -> tuple[AuditEntry, ...]:
        """Return the newest entries first."""
        query = sa.select(tables.audit).order_by(tables.audit.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(tables.audit.c.number < before)
        if user is not None:
            query = query.where(tables.audit.c.user == user)
        with self._reading() as connection:
            return tuple(tables.audit_of(row) for row in connection.execute(query).mappings())

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

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.IntegrityError as error:
            raise LedgerConflict(str(error.orig)) from error
        except sa.exc.DBAPIError as error:
            raise LedgerUnavailable(_sentence(self._name, error.orig), log_text=f"{self._name}: {error}") from error


class _Put:
    """Insert records, or replace those of the same key; statements are built once, for they are run all the time."""

    def __init__(self, table: sa.Table, row: Callable[[Any], dict[str, Any]], replaces: tuple[str, ...] = ()):
        statement = insert(table)
        if replaces:
            others = {name: statement.excluded[name] for name in table.c.keys() if name not in replaces}  # noqa: SIM118
            statement = statement.on_conflict_do_update(index_elements=list(replaces), set_=others)
        self._statement = statement
        self._row = row

    def __call__(self, connection: sa.Connection, records: list[Any]) -> None:
        if records and isinstance(records[0], Reservation):
            # Only the last word on each launch, and releases first: one batch may free a name and give it away again.
            records = sorted({one.launch_id: one for one in records}.values(), key=lambda one: one.active)
        if records:
            connection.execute(self._statement, [self._row(record) for record in records])


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so (`_begin`), DDL included
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={_BUSY_MS}"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _sentence(name: str, error: BaseException | None) -> Message:
    reason = str(error)
    if "is full" in reason or "No space left" in reason:
        return Message.of(
            N_("The ledger's disk is full ({file}); nothing was started. Free some space, then try again."), file=name
        )
    if "locked" in reason or "busy" in reason:
        return Message.of(
            N_("The ledger {file} is locked by another program; nothing was started. Close that program, then retry."),
            file=name,
        )
    return Message.of(
        N_("The ledger {file} cannot be used ({reason}); nothing was started. Look at its disk, then try again."),
        file=name,
        reason=reason,
    )
