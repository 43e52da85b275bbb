"""What only a ledger on a disk can do, or fail at."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import LedgerUnavailable, open_sqlite, tables
from tests.ledger.test_contract import reservation


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a folder with ? and %" / "ledger.sqlite"


@pytest.fixture(autouse=True)
def _folder(file: Path) -> None:
    file.parent.mkdir()


def test_it_is_durable_write_ahead_and_private(file: Path) -> None:
    ledger = open_sqlite(file)
    ledger.commit([reservation()])
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
    assert {stat.S_IMODE(one.stat().st_mode) for one in file.parent.iterdir()} == {0o600}
    ledger.close()
    again = open_sqlite(file)
    assert again.load(0.0).reservations == (reservation(),)
    again.close()


def test_the_migrations_lead_to_the_tables(file: Path) -> None:
    open_sqlite(file).close()
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(file)))
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    engine.dispose()


def test_a_ledger_of_a_newer_version_is_refused(file: Path) -> None:
    open_sqlite(file).close()
    _execute(file, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InvalidConfiguration, match=r"newer version of mlabhub \(schema 9999\)"):
        open_sqlite(file)


def test_a_damaged_file_is_refused_with_the_way_out(file: Path) -> None:
    file.write_bytes(b"this is no database, but it is long enough to be looked at" * 100)
    with pytest.raises(InvalidConfiguration, match="put it aside and start again"):
        open_sqlite(file)


def test_a_file_that_is_a_folder_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(InvalidConfiguration, match="cannot be opened"):
        open_sqlite(file)


def test_a_full_disk_is_named_and_leaves_nothing(file: Path) -> None:
    ledger = open_sqlite(file)
    ledger.commit([reservation()])
    fill(ledger)
    with pytest.raises(LedgerUnavailable, match="disk is full"):
        ledger.commit([reservation("L2", user="bob", plan={"long": "x" * 100_000})])
    assert [one.launch_id for one in ledger.load(0.0).reservations] == ["L1"]
    ledger.close()


def test_a_locked_file_is_named(file: Path) -> None:
    ledger = open_sqlite(file)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="locked by another program"):
        ledger.commit([reservation()])
    other.execute("ROLLBACK")
    other.close()
    ledger.commit([reservation()])
    ledger.close()


def test_any_other_fault_is_a_sentence_too(file: Path) -> None:
    ledger = open_sqlite(file)
    _execute(file, "DROP TABLE reservations")
    with pytest.raises(LedgerUnavailable, match="no such table: reservations"):
        ledger.load(0.0)
    ledger.close()


KILLED = """
import sys
from collections.abc import Callable
from pathlib import Path
from dataclasses import replace
from mlabhub.ledger import open_sqlite
from tests.ledger.test_contract import reservation
ledger = open_sqlite(Path(sys.argv[1]))
for n in range(100_000):
    ledger.commit([reservation(f"{n}-{half}", user=f"{n}-{half}") for half in "ab"])
    print(n, flush=True)
"""


def test_kill_9_loses_nothing_that_was_committed_and_leaves_no_half(file: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, cwd=os.getcwd())
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(30)]
    process.send_signal(signal.SIGKILL)
    seen += [int(line) for line in process.stdout.read().split()]
    process.wait()
    process.stdout.close()
    ledger = open_sqlite(file)
    kept = {one.launch_id for one in ledger.load(0.0).reservations}
    ledger.close()
    assert {f"{n}-{half}" for n in seen for half in "ab"} <= kept
    assert {name.replace("a", "b") for name in kept if name.endswith("a")} == {n for n in kept if n.endswith("b")}


def fill(ledger: object) -> Callable[[], None]:
    """Let the ledger's file grow no more, so that SQLite finds its disk full; return what ends that."""
    engine: sa.Engine = ledger._engine  # type: ignore[attr-defined]

    @sa.event.listens_for(engine, "begin")
    def stop_growing(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages if full else 2**30}")

    full = True

    def free() -> None:
        nonlocal full
        full = False

    return free


def _execute(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    connection.execute(statement)
    connection.commit()
    connection.close()
