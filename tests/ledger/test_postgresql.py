"""What only a ledger in PostgreSQL can do, or fail at: each of the server's mishaps is a sentence, and passes by."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import (
    Address,
    LedgerConflict,
    LedgerTaken,
    LedgerUnavailable,
    PostgresLedger,
    open_postgresql,
    parse_address,
    postgresql,
)
from tests.installation import free_port
from tests.ledger.postgres import ROLE, PostgresServer
from tests.ledger.test_contract import reservation
from tests.ledger.test_migrations import entry

DATABASE = "own"


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "WAIT_FOR_LOCK_S", 0.2)


@pytest.fixture
def address(postgres: PostgresServer) -> Iterator[Address]:
    yield postgres.make_database(DATABASE)
    postgres.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def ledger(address: Address) -> Iterator[PostgresLedger]:
    one = open_postgresql(address, "mlabhub 0123abcd on n1")
    yield one
    one.close()


@pytest.fixture(scope="module")
def _stoppable() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture
def own_server(_stoppable: PostgresServer) -> PostgresServer:
    """A server that may be stopped."""
    _stoppable.stop()
    _stoppable.start()
    return _stoppable


def launches(ledger: PostgresLedger) -> list[str]:
    """Return the active launches."""
    return sorted(one.launch_id for one in ledger.load(0.0).reservations)


def recover(ledger: PostgresLedger) -> None:
    """Do as the service does after a fault: read, then write."""
    known = launches(ledger)
    ledger.commit([reservation("L9", user="late")])
    assert launches(ledger) == sorted({*known, "L9"})


# --- durable, private, one at a time


def test_it_is_durable_also_where_the_server_is_not(postgres: PostgresServer, address: Address) -> None:
    postgres.sql(f"ALTER ROLE {ROLE} SET synchronous_commit = off")
    try:
        ledger = open_postgresql(address, "tests")
        for connect in (ledger._writing, ledger._reading):
            with connect() as connection:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
        ledger.close()
    finally:
        postgres.sql(f"ALTER ROLE {ROLE} RESET synchronous_commit")


def test_a_second_service_is_refused_and_told_whose_it_is(ledger: PostgresLedger, address: Address) -> None:
    with pytest.raises(LedgerTaken, match=r"Another service uses the ledger .*\(mlabhub 0123abcd on n1, this machine"):
        open_postgresql(address, "mlabhub other")
    ledger.commit([reservation()])
    ledger.close()
    second = open_postgresql(address, "mlabhub other")
    assert launches(second) == ["L1"]
    second.close()


def test_who_lost_the_lock_does_not_write_before_it_has_it_again(
    postgres: PostgresServer, ledger: PostgresLedger, address: Address
) -> None:
    ledger.commit([reservation()])
    postgres.end_sessions(DATABASE)
    second = open_postgresql(address, "mlabhub second")
    second.commit([reservation("L2", user="bob")])
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="was lost"):
            ledger.commit([reservation("L3", user="carol")])
        with pytest.raises(LedgerUnavailable, match="was lost"):
            ledger.check()
        with pytest.raises(LedgerTaken, match="mlabhub second"):
            ledger.load(0.0)
    second.close()
    with pytest.raises(LedgerUnavailable, match="was lost"):
        ledger.commit([reservation("L3", user="carol")])  # it has to read first what the other one wrote
    assert launches(ledger) == ["L1", "L2"]
    recover(ledger)


def test_reading_needs_no_lock_and_outlives_the_sessions(postgres: PostgresServer, ledger: PostgresLedger) -> None:
    ledger.commit([reservation()])
    assert ledger.reservation("L1") is not None
    postgres.end_sessions(DATABASE)
    assert ledger.reservation("L1") is not None
    assert ledger.audit(limit=1) == ()


def test_check_notices_a_lost_session(postgres: PostgresServer, ledger: PostgresLedger) -> None:
    ledger.check()
    postgres.end_sessions(DATABASE)
    with pytest.raises(LedgerUnavailable, match="was lost"):
        ledger.check()
    recover(ledger)
    ledger.check()


# --- mishaps of a server


def test_a_server_that_restarts_in_mid_commit(own_server: PostgresServer) -> None:
    ledger = open_postgresql(own_server.make_database(DATABASE), "tests")
    ledger.commit([reservation()])
    with ledger._writing() as connection:
        with pytest.raises(sa.exc.OperationalError):  # noqa: PT012 - the server goes while the transaction is open
            connection.exec_driver_sql("UPDATE reservations SET node = 'lost'")
            own_server.stop()
            connection.exec_driver_sql("SELECT 1")
        ledger._drop()
        connection.close()
    with pytest.raises(LedgerUnavailable, match="was lost"):
        ledger.commit([reservation("L2", user="bob")])
    with pytest.raises(LedgerUnavailable, match="does not answer"):
        ledger.load(0.0)
    with pytest.raises(LedgerUnavailable, match=r"does not answer|was lost"):
        ledger.reservation("L1")
    own_server.start()
    assert ledger.load(0.0).reservations == (reservation(),)
    recover(ledger)
    ledger.close()


def test_a_server_that_can_only_be_read(own_server: PostgresServer) -> None:
    address = own_server.make_database(DATABASE)
    ledger = open_postgresql(address, "tests")
    ledger.commit([reservation()])
    own_server.sql(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    own_server.end_sessions(DATABASE)
    with pytest.raises(LedgerUnavailable, match="was lost"):
        ledger.commit([reservation("L2", user="bob")])
    with pytest.raises(LedgerUnavailable, match=r"can only be read.*primary server"):
        ledger.load(0.0)
    own_server.sql(f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")
    recover(ledger)
    ledger.close()


def test_a_transaction_that_turned_read_only(ledger: PostgresLedger) -> None:
    with ledger._writing() as connection:
        connection.exec_driver_sql("SET SESSION default_transaction_read_only = on")
    with pytest.raises(LedgerUnavailable, match="can only be read"):
        ledger.commit([reservation()])
    with ledger._writing() as connection:
        connection.exec_driver_sql("SET SESSION default_transaction_read_only = off")
    recover(ledger)


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ("53100", "disk .* is full .*Free some space"),
        ("53300", "no connection left"),
        ("40001", "locked by another program"),
        ("40P01", "locked by another program"),
        ("58030", "cannot be used .*server's log"),
        ("57P01", "was lost"),
        ("25006", "can only be read"),
    ],
)
def test_the_servers_own_words(ledger: PostgresLedger, state: str, match: str) -> None:
    """The server raises them by itself here, in the middle of a commit: one cannot fill its disk in a test."""
    ledger.commit([reservation()])
    with ledger._writing() as connection:
        connection.exec_driver_sql(
            f"""CREATE FUNCTION mishap() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '{state}'; END $$"""
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER mishap BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION mishap()"
        )
    with pytest.raises(LedgerUnavailable, match=match) as caught:
        ledger.commit([reservation("L2", user="bob"), entry()])
    assert "nothing was started" in str(caught.value)
    assert launches(ledger) == ["L1"]
    recover(ledger)


def test_a_full_disk() -> None:
    """The server's own file functions are those of a full disk while a file is there."""
    server = PostgresServer(preload=Path(__file__).parent / "full_disk.c")
    try:
        ledger = open_postgresql(server.make_database(DATABASE), "tests")
        ledger.commit([reservation()])
        (server.folder / "flag").touch()
        with pytest.raises(LedgerUnavailable, match=r"disk of the ledger's PostgreSQL .* is full .*Free some space"):
            ledger.commit([reservation(f"M{n}", user=f"u{n}", display_name=str(n) * 2000) for n in range(256)])
        assert launches(ledger) == ["L1"]
        (server.folder / "flag").unlink()
        recover(ledger)
        ledger.close()
    finally:
        server.close()


def test_a_table_that_somebody_locks(postgres: PostgresServer, ledger: PostgresLedger) -> None:
    with psycopg.connect(host=str(postgres.folder), dbname=DATABASE, user="postgres") as other:
        other.execute("LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LedgerUnavailable, match="locked by another program"):
            ledger.commit([reservation()])
    recover(ledger)


def test_a_statement_that_takes_too_long(ledger: PostgresLedger) -> None:
    with ledger._writing() as connection:
        connection.exec_driver_sql("SET SESSION statement_timeout = '20ms'")
    with ledger._reading() as other:
        other.exec_driver_sql("LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(LedgerUnavailable, match="took too long"):
            ledger.commit([reservation()])
    recover(ledger)


def test_a_server_that_is_stopped_by_a_debugger_or_hangs(
    postgres: PostgresServer, ledger: PostgresLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing answers, and the connection stands: the client gives up by itself."""
    monkeypatch.setattr(postgresql, "HANGS_AFTER_S", 0.3)
    pid = ledger._session.exec_driver_sql("SELECT pg_backend_pid()").scalar()  # type: ignore[union-attr]
    ledger._session.rollback()  # type: ignore[union-attr]
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(LedgerUnavailable, match="took too long"):
            ledger.commit([reservation()])
    finally:
        os.kill(pid, signal.SIGCONT)
    monkeypatch.setattr(postgresql, "HANGS_AFTER_S", 20.0)
    time.sleep(0.1)
    recover(ledger)


def test_a_value_that_does_not_fit_harms_nothing_else(ledger: PostgresLedger) -> None:
    chaos = "".join(chr(0x4E00 + (n * n * 7919 + n) % 0x5000) for n in range(10_000))
    with pytest.raises(LedgerUnavailable, match=r"cannot be used .*index"):
        ledger.commit([reservation(user=chaos)])
    recover(ledger)


# --- what is wrong from the beginning


def test_faults_of_the_first_connection(postgres: PostgresServer, address: Address, tmp_path: Path) -> None:
    folder = str(postgres.folder)
    cases = {
        f"postgresql://nobody-we-know@/{DATABASE}?host={folder}": "refuses the ledger's login .*does not exist",
        f"postgresql://{ROLE}@/no-such?host={folder}": "has no such database",
        f"postgresql://{ROLE}@127.0.0.1:{free_port()}/x": "does not answer .*Connection refused",
        f"postgresql://{ROLE}@no-such-host.invalid/x": "does not answer",
        f"postgresql://{ROLE}@/x?host={tmp_path}": "does not answer .*No such file",
    }
    for url, match in cases.items():
        with pytest.raises(LedgerUnavailable, match=match):
            open_postgresql(parse_address(url), "tests", wait_s=0)


def test_it_waits_for_a_server_that_starts(own_server: PostgresServer) -> None:
    address = own_server.make_database(DATABASE)
    own_server.stop()
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_postgresql, address, "tests")
        time.sleep(0.3)
        own_server.start()
        opening.result(20).close()


def test_too_many_connections(postgres: PostgresServer, address: Address) -> None:
    postgres.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    try:
        with pytest.raises(LedgerUnavailable, match="has no connection left"):
            open_postgresql(address, "tests", wait_s=0)
    finally:
        postgres.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


def test_a_role_that_may_not_make_tables(postgres: PostgresServer, address: Address) -> None:
    postgres.sql(f"ALTER DATABASE {DATABASE} OWNER TO postgres")
    with pytest.raises(LedgerUnavailable, match=r"may not do that .*permission denied.*ALTER DATABASE"):
        open_postgresql(address, "tests", wait_s=0)


def test_a_ledger_of_a_newer_version_is_refused_and_let_go(postgres: PostgresServer, address: Address) -> None:
    open_postgresql(address, "tests").close()
    postgres.sql("UPDATE alembic_version SET version_num = '9999'", DATABASE)
    for _ in range(2):
        with pytest.raises(InvalidConfiguration, match=r"newer version of mlabhub \(schema 9999\)"):
            open_postgresql(address, "tests", wait_s=0)


def test_the_password_comes_from_a_file_and_is_in_no_message(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        server.make_database(DATABASE)
        server.sql(f"ALTER ROLE {ROLE} PASSWORD 'right-one'")
        (server.data / "pg_hba.conf").write_text("local all postgres trust\nlocal all all scram-sha-256\n")
        server.sql("SELECT pg_reload_conf()")
        file = tmp_path / "password"
        file.touch(mode=0o600)
        for password, match in (("wrong-one", "refuses the ledger's login .*password"), ("right-one", "")):
            file.write_text(f"{password}\n")
            address = parse_address(server.url(DATABASE), file)
            if match:
                with pytest.raises(LedgerUnavailable, match=match) as caught:
                    open_postgresql(address, "tests", wait_s=0)
                assert password not in f"{caught.value} {caught.value.log_text} {address!r}"
            else:
                open_postgresql(address, "tests").close()
        with pytest.raises(LedgerUnavailable, match=r"refuses the ledger's login .*no password supplied"):
            open_postgresql(parse_address(server.url(DATABASE)), "tests", wait_s=0)
    finally:
        server.close()


# --- the plug is pulled

KILLED = """
import sys
from pathlib import Path
from mlabhub.ledger import LedgerUnavailable, open_postgresql, parse_address
from tests.ledger.test_contract import reservation
from tests.ledger.test_migrations import entry
ledger = open_postgresql(parse_address(sys.argv[1]), "tests")
try:
    for n in range(100_000):
        ledger.commit([reservation(f"{n}-{half}", user=f"{n}-{half}") for half in "ab"])
        print(n, flush=True)
except LedgerUnavailable as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.long
@pytest.mark.parametrize("round_", range(3))
def test_kill_9_of_the_server_loses_nothing_that_was_committed_and_leaves_no_half(round_: int) -> None:
    server = PostgresServer({"fsync": "on", "synchronous_commit": "off"})
    try:
        address = server.make_database(DATABASE)
        argv = [sys.executable, "-c", KILLED, server.url(DATABASE)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        seen = [int(process.stdout.readline()) for _ in range(50 + 37 * round_)]
        server.stop(signal.SIGKILL)
        rest, said = process.communicate(timeout=30)
        seen += [int(line) for line in rest.split()]
        assert b"was lost" in said
        server.start()
        ledger = open_postgresql(address, "tests")
        kept = {one.launch_id for one in ledger.load(0.0).reservations}
        ledger.close()
        assert {f"{n}-{half}" for n in seen for half in "ab"} <= kept
        assert {name.replace("a", "b") for name in kept if name.endswith("a")} == {n for n in kept if n.endswith("b")}
        assert len(kept) <= 2 * len(seen) + 2
    finally:
        server.close()


def test_two_active_reservations_are_a_conflict(ledger: PostgresLedger) -> None:
    ledger.commit([reservation("L1")])
    with pytest.raises(LedgerConflict):
        ledger.commit([reservation("L2")])
    recover(ledger)


def test_a_holder_that_may_not_be_seen_is_said_to_be_unknown() -> None:
    hidden = ("<insufficient privilege>", None, None)  # as pg_stat_activity shows another role's session
    assert "(?)" in str(postgresql._taken("db/mlabhub", hidden))
