"""What doctor says of the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.cli.doctor_ledger import look_at_ledger
from mlabhub.ledger import open_postgresql
from mlabhub.settings import Settings
from tests.ledger.postgres import PostgresServer
from tests.service.conftest import make_settings


@pytest.fixture
def settings(tmp_path: Path, postgres: PostgresServer) -> Settings:
    postgres.make_database("doctored")
    return make_settings(tmp_path, ledger_url=postgres.url("doctored"))


def test_a_file(tmp_path: Path) -> None:
    assert look_at_ledger(None, tmp_path).status == "ok"
    assert look_at_ledger(make_settings(tmp_path), tmp_path).found == f"SQLite in {tmp_path}"


def test_a_server_that_is_not_durable(settings: Settings) -> None:
    found = look_at_ledger(settings, settings.state_dir)
    assert (found.status, "fsync is off" in found.found) == ("missing", True)


def test_a_server_in_use(settings: Settings, postgres: PostgresServer) -> None:
    ledger = open_postgresql(postgres.address("doctored"), "mlabhub cafe0123 on n1")
    found = look_at_ledger(settings, settings.state_dir)
    ledger.check()
    ledger.close()
    assert found.found.startswith("PostgreSQL 1")
    assert "in use by mlabhub cafe0123 on n1" in found.found


def test_a_server_that_is_away(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"ledger_url": f"postgresql://mlabhub@/x?host={tmp_path}"})
    found = look_at_ledger(away, settings.state_dir)
    assert found.status == "missing"
    assert "does not answer" in found.fix
