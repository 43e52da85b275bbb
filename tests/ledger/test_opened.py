"""From a file to PostgreSQL: everything goes along once, and what is there already stays."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from mlabhub.ledger import KnownId, StoredAnswer, open_ledger, open_sqlite
from mlabhub.settings import Settings
from tests.ledger.postgres import PostgresServer
from tests.ledger.test_contract import AWKWARD, reservation
from tests.ledger.test_migrations import entry
from tests.service.conftest import make_settings


@pytest.fixture
def settings(tmp_path: Path, postgres: PostgresServer) -> Settings:
    postgres.make_database("moved")
    return make_settings(tmp_path, ledger_url=postgres.url("moved"))


def fill(settings: Settings, *launches: str) -> None:
    """Write the state folder's file."""
    with closing(open_sqlite(settings.ledger_file)) as ledger:
        ledger.commit([reservation(one, user=one) for one in launches])
        ledger.commit([entry(), entry(), KnownId("user", "alice", 200001)])
        ledger.commit([StoredAnswer("alice", AWKWARD["NUL"], "f", 201, {"a": AWKWARD["both"]}, 1.0)])
        ledger.commit([reservation("over", state="released", released=1.0, plan=None, display_name=AWKWARD["both"])])


def test_an_empty_ledger_gets_what_the_file_had(settings: Settings) -> None:
    fill(settings, "L1", "L2")
    with closing(open_sqlite(settings.ledger_file)) as old:
        before, over = old.load(0.0), old.reservation("over")
    for _ in range(2):
        with closing(open_ledger(settings)) as ledger:
            assert ledger.load(0.0) == before
            assert ledger.reservation("over") == over
            ledger.commit([entry()])
            assert [one.number for one in ledger.audit(limit=9)][-2:] == [2, 1]
    with closing(open_ledger(settings)) as ledger:
        assert [one.number for one in ledger.audit(limit=9)] == [4, 3, 2, 1]
    assert not settings.ledger_file.exists()
    assert settings.ledger_file.with_name("ledger.sqlite.moved").exists()


def test_a_ledger_that_has_something_stays_as_it_is(settings: Settings) -> None:
    with closing(open_ledger(settings)) as ledger:
        ledger.commit([reservation("mine")])
    fill(settings, "L1")
    with closing(open_ledger(settings)) as ledger:
        assert [one.launch_id for one in ledger.load(0.0).reservations] == ["mine"]
    assert settings.ledger_file.exists()


def test_a_file_of_nothing(settings: Settings) -> None:
    open_sqlite(settings.ledger_file).close()
    with closing(open_ledger(settings)) as ledger:
        ledger.commit([entry()])
        assert [one.number for one in ledger.audit(limit=9)] == [1]
