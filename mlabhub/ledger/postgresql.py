"""The ledger in PostgreSQL: one connection writes, and holds the lock that makes this service the only one.

Guarantees: a commit that returned is durable (``synchronous_commit``); one that raised left nothing, or is found by the
next `load`, which a lost connection makes necessary. The lock is an advisory lock of the very session that writes, so
that nobody else can write while it is held: what was loaded is all there is until that session ends, and then `commit`
refuses until `load` has a new session with the lock. No other machine's service can get in between unnoticed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.pool import ConnectionPoolEntry

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import tables
from mlabhub.ledger.address import Address
from mlabhub.ledger.base import LedgerUnavailable
from mlabhub.ledger.migrate import migrate
from mlabhub.ledger.postgresql_faults import LOST, PASSING, sentence
from mlabhub.ledger.sql import SqlLedger, compact_json
from mlabhub.messages import N_, Message

log = logging.getLogger(__name__)
LOCK = 0x6D6C6162_68756200
"""The advisory lock's number, in every database: "mlabhub" in ASCII."""

WAIT_FOR_SERVER_S = 20.0
WAIT_FOR_LOCK_S = 3.0
"""How long a session that has just lost its client may take to end."""
HANGS_AFTER_S = 20.0
"""How long an answer is waited for: longer than the server itself lets a statement take."""

SESSION = {
    "statement_timeout": "10s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "30s",
    # A machine that died without a word keeps the lock for 25 s at most.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
CONNECTION = {
    "connect_timeout": "5",
    "target_session_attrs": "read-write",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') IN ('off', 'local')"
)
_TAKE = sa.text("SELECT pg_try_advisory_lock(:lock)").bindparams(lock=LOCK)
HOLDER = sa.text(
    "SELECT application_name, client_addr::text, backend_start FROM pg_locks JOIN pg_stat_activity USING (pid) "
    "WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = :high AND objid = :low "
    "AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
).bindparams(high=LOCK >> 32, low=LOCK & 0xFFFFFFFF)


def open_postgresql(address: Address, name: str, wait_s: float = WAIT_FOR_SERVER_S) -> PostgresLedger:
    """Open the ledger, take its lock and bring it to this version's schema.

    ``name`` says to others who holds it. Waits for a server that is being started. Raises `LedgerUnavailable`, also if
    another service has the lock, or `InvalidConfiguration` for a newer schema.
    """
    ledger = PostgresLedger(make_engine(address, name), address.place)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            ledger.open()
        except LedgerUnavailable as error:
            if error.message.template not in PASSING or time.monotonic() >= deadline:
                ledger.close()
                raise
            log.warning("%s", error)
            time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
        except InvalidConfiguration:
            ledger.close()
            raise
        else:
            return ledger


def make_engine(address: Address, name: str) -> sa.Engine:
    """Return the connections to an address; the password is read anew for each."""
    query = {key: value for key, value in address.url.query.items() if key != "options"}
    wanted = " ".join(f"-c {key}={value}" for key, value in SESSION.items())
    more = address.url.query.get("options", "")
    arguments: dict[str, Any] = {
        **CONNECTION,
        "application_name": name[:63],
        "options": f"{wanted} {more if isinstance(more, str) else ' '.join(more)}".strip(),
    }
    engine = sa.create_engine(
        address.url.set(query=query),
        connect_args={key: value for key, value in arguments.items() if key not in query},
        json_serializer=compact_json,
        pool_pre_ping=True,
        pool_timeout=5,
        hide_parameters=True,
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> Any:
        password = address.password()
        if password is not None:
            parameters["password"] = password
        return _Impatient.connect(**parameters)

    sa.event.listen(engine, "connect", _make_durable)
    return engine


class _Impatient(psycopg.Connection[Any]):
    """A connection that is given up when its server hangs; `patient` lets a migration take its time."""

    patient = False

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, HANGS_AFTER_S if timeout is None and not self.patient else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.close()  # it still waits for an answer, and nobody can tell which question that will be for
            raise


class LedgerTaken(LedgerUnavailable):
    """Another service has the ledger's lock."""

    code = "ledger_taken"


class PostgresLedger(SqlLedger):
    """The ledger behind one session that has its lock, and others that only read."""

    def __init__(self, engine: sa.Engine, place: str):
        super().__init__(engine, partial(sentence, place))
        self._place = place
        self._session: sa.Connection | None = None
        self._loaded = False
        self._turn = threading.RLock()

    def open(self) -> None:
        """Take the lock and migrate. Raises `LedgerUnavailable` or `InvalidConfiguration`."""
        with self._turn, self._faults():
            session = self._renewed()
            connection = session.connection.dbapi_connection
            assert isinstance(connection, _Impatient)
            connection.patient = True
            migrate(session)
            connection.patient = False
            self._loaded = True

    def check(self) -> None:
        """Ask whether the session is still there, and with it the lock."""
        with self._faults(), self._writing() as session:
            session.exec_driver_sql("SELECT 1")

    def take_over(self, source: SqlLedger) -> bool:
        """Take all that another ledger has, in one transaction, if this one has nothing yet. Return whether it did."""
        everything = tables.metadata.sorted_tables
        with source._reading() as old, self._faults(), self._writing() as new:
            if any(new.execute(sa.select(table).limit(1)).first() for table in everything):
                return False
            for table in everything:
                rows = [dict(row) for row in old.execute(sa.select(table)).mappings()]
                if rows:
                    new.execute(table.insert(), rows)
            new.exec_driver_sql(
                "SELECT setval(pg_get_serial_sequence('audit', 'number'), max(number)) FROM audit HAVING count(*) > 0"
            )
        return True

    def close(self) -> None:
        """Give the lock back and close all connections."""
        with self._turn:
            self._drop()
            super().close()

    @contextmanager
    def _loading(self) -> Iterator[sa.Connection]:
        with self._turn:
            session = self._renewed()
            with self._watched(session), session.begin():
                yield session
            self._loaded = True

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._turn:
            if self._session is None or not self._loaded:
                raise LedgerUnavailable(Message.of(LOST, place=self._place, reason="it is made again"))
            with self._watched(self._session), self._session.begin():
                yield self._session

    @contextmanager
    def _watched(self, session: sa.Connection) -> Iterator[None]:
        """Let a session go that is broken: SQLAlchemy would go on with another one, which has no lock."""
        try:
            yield
        except BaseException:
            if session.invalidated or session.closed:
                log.error("The session that has the ledger's lock has ended; nothing is decided without it")
                self._drop()
            raise

    def _renewed(self) -> sa.Connection:
        """Return the session that has the lock: the one there is if it still answers, else a new one."""
        if self._session is not None:
            try:
                with self._session.begin():
                    self._session.exec_driver_sql("SELECT 1")
                return self._session
            except sa.exc.SQLAlchemyError:
                self._drop()
        session = self._engine.connect()
        try:
            session.detach()  # never back into the pool with the lock
            self._take(session)
        except BaseException:
            _close(session)
            raise
        self._session = session
        return session

    def _take(self, session: sa.Connection) -> None:
        deadline = time.monotonic() + WAIT_FOR_LOCK_S
        while True:
            with session.begin():
                if session.execute(_TAKE).scalar():
                    return
                holder = session.execute(HOLDER).one_or_none()
            if time.monotonic() >= deadline:
                raise LedgerTaken(_taken(self._place, holder))
            time.sleep(0.1)

    def _drop(self) -> None:
        session, self._session, self._loaded = self._session, None, False
        if session is not None:
            _close(session)


def _close(session: sa.Connection) -> None:
    """Close a detached connection for good, which SQLAlchemy leaves to the garbage collector."""
    if not session.closed:
        raw = None if session.invalidated else session.connection.dbapi_connection
        session.close()
        if raw is not None:
            raw.close()


def _make_durable(connection: Any, _entry: ConnectionPoolEntry) -> None:
    connection.execute(_DURABLE)
    connection.commit()


def _taken(place: str, holder: Any) -> Message:
    who = ""
    if holder is not None and holder[2] is not None:  # another role's session is not for everybody to see
        who = f"{holder[0]}, {holder[1] or 'this machine'}, {holder[2]:%Y-%m-%d %H:%M}"
    return Message.of(
        N_(
            "Another service uses the ledger in PostgreSQL at {place} ({who}); nothing was started. "
            "Stop that one first; there can be only one."
        ),
        place=place,
        who=who or "?",
    )
