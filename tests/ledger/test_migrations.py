"""The way from every schema to every other, with data, on both databases; a migration that fails changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from mlabhub.ledger import AuditEntry, SqlLedger, open_postgresql, open_sqlite, tables
from mlabhub.ledger.migrate import SCRIPTS, known_revisions, make_config, migrate
from mlabhub.messages import Message
from tests.ledger.postgres import PostgresServer
from tests.ledger.test_contract import reservation

REVISIONS = known_revisions()
ROWS = 3
BAD = """
import sqlalchemy as sa
from alembic import op

revision = "9998"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("half", sa.Column("a", sa.Integer()))
    op.execute("UPDATE reservations SET node = 'half'")
    op.execute("SELECT nothing FROM nowhere")
"""


def entry() -> AuditEntry:
    """Return an audit entry."""
    return AuditEntry(1.0, "alice", "admit", Message("x"), user="alice")


def on_both(*revisions: str) -> list[Any]:
    """Return each revision on both databases. The way from old ones, which never change, is long on PostgreSQL."""
    new = {"base", *REVISIONS[-2:]}
    return [
        pytest.param(database, one, marks=[pytest.mark.long] if database == "postgresql" and one not in new else [])
        for database in ("sqlite", "postgresql")
        for one in revisions
    ]


@pytest.fixture(params=["sqlite", "postgresql"])
def open_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SqlLedger]]:
    """Return what opens the ledger of this test, always the same one, at this version's schema."""
    if request.param == "sqlite":
        yield lambda: open_sqlite(tmp_path / "ledger.sqlite")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    address = server.make_database("migrated")
    yield lambda: open_postgresql(address, "tests")
    server.sql("DROP DATABASE migrated WITH (FORCE)")


@pytest.fixture
def engine(open_ledger: Callable[[], SqlLedger]) -> Iterator[sa.Engine]:
    """Return the connections to a ledger of this version without data."""
    ledger = open_ledger()
    yield ledger._engine
    ledger.close()


def go(engine: sa.Engine, revision: str, scripts: Path = SCRIPTS) -> None:
    """Migrate to a schema, up or down."""
    with engine.begin() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        order = ("base", *known_revisions(scripts))
        up = order.index(revision) > order.index(current or "base")
        (command.upgrade if up else command.downgrade)(make_config(connection, scripts), revision)


def fill(engine: sa.Engine) -> None:
    """Put rows with something in every column into each table, whatever tables and columns there are."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(table.insert(), [_row(table, number) for number in range(1, ROWS + 1)])


def _row(table: sa.Table, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for column in table.c:
        if column.nullable and number == 1:
            row[column.name] = None
        elif isinstance(column.type, sa.JSON):
            row[column.name] = {"ä": [number, None, {"deep": "x" * number}]}
        elif isinstance(column.type, sa.LargeBinary):
            row[column.name] = bytes(range(256)) * number
        elif isinstance(column.type, sa.Integer):
            row[column.name] = number
        elif isinstance(column.type, sa.Float):
            row[column.name] = number + 0.5
        elif isinstance(column.type, sa.Boolean):
            row[column.name] = bool(number % 2)
        else:
            row[column.name] = f"{column.name} {number} Ü"
    return row


def read(engine: sa.Engine) -> dict[str, list[dict[str, Any]]]:
    """Return everything in the ledger by table."""
    metadata = sa.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        found = {
            table.name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
            for table in metadata.sorted_tables
        }
    del found["alembic_version"]
    return {
        name: sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=repr))
        for name, rows in found.items()
    }


def shared(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return of one ledger's content what another one's schema has too."""
    kept = {}
    for name in one.keys() & other.keys():
        columns = set(one[name][0]) & set(other[name][0])
        kept[name] = sorted(({key: row[key] for key in columns} for row in one[name]), key=repr)
    return kept


def schema(engine: sa.Engine) -> Any:
    """Return tables, columns and indexes."""
    look = sa.inspect(engine)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in look.get_columns(name)],
            sorted(
                (str(index["name"]), index["unique"], str(index["column_names"])) for index in look.get_indexes(name)
            ),
            look.get_pk_constraint(name)["constrained_columns"],
            sorted(str(one["column_names"]) for one in look.get_unique_constraints(name)),
        )
        for name in look.get_table_names()
    }


def test_the_migrations_lead_to_the_tables(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, tables.metadata) == []


@pytest.mark.parametrize(("open_ledger", "revision"), on_both(*REVISIONS), indirect=["open_ledger"])
def test_up_with_data_and_down_again_and_up_again(engine: sa.Engine, revision: str) -> None:
    head, newest = REVISIONS[-1], schema(engine)
    go(engine, "base")
    assert set(schema(engine)) == {"alembic_version"}
    go(engine, revision)
    fill(engine)
    before, old = read(engine), schema(engine)
    go(engine, head) if revision != head else None
    upgraded = read(engine)
    assert shared(before, upgraded) == shared(upgraded, before)
    assert {name: len(rows) for name, rows in upgraded.items() if name in before} == dict.fromkeys(before, ROWS)
    assert schema(engine) == newest
    go(engine, revision) if revision != head else None
    assert (read(engine), schema(engine)) == (before, old)


@pytest.mark.parametrize(("open_ledger", "revision"), on_both(*REVISIONS[:-1], "base"), indirect=["open_ledger"])
def test_down_with_data_of_today_and_up_again(engine: sa.Engine, revision: str) -> None:
    fill(engine)
    before, newest = read(engine), schema(engine)
    go(engine, revision)
    older = read(engine)
    assert shared(older, before) == shared(before, older)
    go(engine, REVISIONS[-1])
    assert schema(engine) == newest
    assert shared(older, read(engine)) == shared(read(engine), older)


def test_every_step_is_one_revision() -> None:
    assert REVISIONS
    assert list(pairwise(REVISIONS)) == sorted(pairwise(REVISIONS))


def test_what_was_written_before_is_read_after(open_ledger: Callable[[], SqlLedger]) -> None:
    ledger = open_ledger()
    ledger.commit([reservation(), entry()])
    ledger.close()
    again = open_ledger()
    assert again.load(0.0).reservations == (reservation(),)
    assert len(again.audit(limit=9)) == 1
    again.close()


def test_a_migration_that_fails_leaves_the_old_state(engine: sa.Engine, tmp_path: Path) -> None:
    fill(engine)
    before, old = read(engine), schema(engine)
    scripts = tmp_path / "with 100 % more"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "v9998_bad.py").write_text(BAD.replace("{head}", REVISIONS[-1]))
    with pytest.raises(sa.exc.DBAPIError, match="nowhere"):
        migrate(engine, scripts)
    assert (read(engine), schema(engine)) == (before, old)
    migrate(engine)
