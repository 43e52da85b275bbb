"""The service over a ledger in PostgreSQL: the same answers, and what only a database of its own can do to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlabhub.catalog import load_catalog
from mlabhub.ledger import LedgerTaken, LedgerUnavailable, PostgresLedger, open_postgresql, postgresql, tables
from mlabhub.settings import Settings
from tests.ledger.postgres import PostgresServer
from tests.service.conftest import Running, make_settings, run_service
from tests.service.simulation import Simulation
from tests.service.test_api import (  # noqa: F401 - they run here over PostgreSQL
    test_a_refusal_is_repeated_under_its_key_and_an_outage_is_not,
    test_an_idempotency_key_gives_one_launch_and_one_answer,
    test_launches_are_redeemed_once_and_only_as_they_were_made,
    test_lists,
)
from tests.service.test_launch import (  # noqa: F401 - they run here over PostgreSQL
    test_a_hundred_at_once_for_eight_gpus,
    test_a_launch_is_admitted_started_watched_and_stopped,
)
from tests.service.test_reconciler import (  # noqa: F401 - they run here over PostgreSQL
    test_nothing_is_given_away_before_what_runs_was_counted,
    test_what_runs_wins_over_what_only_stands_in_the_ledger,
)

DATABASE = "service"


@pytest.fixture(autouse=True)
def _database(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(postgresql, "WAIT_FOR_LOCK_S", 0.3)
    postgres.make_database(DATABASE)
    yield
    postgres.sql(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def on_machine(name: str, folder: Path, postgres: PostgresServer, **values: Any) -> Settings:
    """Return an installation on a machine of its own, with the same ledger."""
    (folder / name).mkdir()
    return make_settings(folder / name, ledger_url=postgres.url(DATABASE), **values)


@pytest.fixture
async def running(tmp_path: Path, postgres: PostgresServer) -> AsyncIterator[Running]:
    async with run_service(on_machine("n1", tmp_path, postgres)) as one:
        yield one


async def launch(running: Running, name: str = "", **options: Any) -> httpx.Response:
    """Launch as alice."""
    return await running.call("POST", "api/v1/launches", json={"server_name": name, "user_options": options})


# --- two services


async def test_a_second_machines_service_is_refused(running: Running, tmp_path: Path, postgres: PostgresServer) -> None:
    with pytest.raises(LedgerTaken, match="Another service uses the ledger"):
        async with run_service(on_machine("n2", tmp_path, postgres)):
            pass
    assert (await launch(running)).status_code == 201


async def test_a_service_that_lost_its_lock_decides_nothing_until_it_has_it_again(
    running: Running, tmp_path: Path, postgres: PostgresServer
) -> None:
    assert (await launch(running, "one")).status_code == 201
    running.backend.run("01STRANGE", "alice", "gone", state="exited")  # its own reconciler would remove it
    postgres.end_sessions(DATABASE)
    async with run_service(on_machine("n2", tmp_path, postgres), running.hub, running.backend) as second:
        before = set(running.backend.running)
        report = await running.service.reconciler.round(repair=True)
        assert report.error is not None
        for _ in range(2):
            answer = await launch(running, "two", profile="gpu")
            assert answer.status_code == 503, answer.text
            assert "Another service uses the ledger" in answer.json()["error"]["message"]
        health = await running.http.get("health")
        assert (health.status_code, "Another service" in health.json()["ledger"]) == (503, True)
        assert set(running.backend.running) == before
        assert running.hub.starts == 1
        running.hub.spawn, running.hub.stop_takes = second.spawn, second.despawn
        second.tokens.models |= running.tokens.models
        assert (await launch(second, "three")).status_code == 201
    running.hub.spawn, running.hub.stop_takes = running.spawn, running.despawn
    report = await running.service.reconciler.round()
    assert report.error is None
    assert {one.server for one in running.projection} >= {"one", "three"}
    assert (await launch(running, "two")).status_code == 201
    await running.service.reconciler._housekeeping()
    assert (await running.http.get("health")).status_code == 200


async def test_a_restart_of_the_server_costs_one_answer_at_most(running: Running, postgres: PostgresServer) -> None:
    assert (await launch(running, "one")).status_code == 201
    postgres.end_sessions(DATABASE)
    answers = [await launch(running, "two") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [503, 201]
    assert "was lost" in answers[0].json()["error"]["message"]
    postgres.end_sessions(DATABASE)
    assert (await running.service.reconciler.round()).error is None  # it noticed, and read the ledger anew
    assert (await launch(running, "three")).status_code == 201


# --- restored from yesterday, by the database's own tools


async def test_yesterdays_dump_is_restored_while_todays_servers_run(tmp_path: Path, postgres: PostgresServer) -> None:
    settings, dump = on_machine("n1", tmp_path, postgres), tmp_path / "ledger.dump"
    async with run_service(settings) as today:
        assert (await launch(today, "yesterday", profile="gpu")).status_code == 201
        postgres.program("pg_dump", "--format=custom", f"--file={dump}", DATABASE)
        assert (await launch(today, "today", profile="gpu", gpus=2)).status_code == 201
    postgres.make_database(DATABASE)
    postgres.program("pg_restore", "--exit-on-error", f"--dbname={DATABASE}", str(dump))
    async with run_service(settings, today.hub, today.backend) as after:
        assert after.of_server("alice", "today") is None
        answer = await launch(after, "more", profile="gpu", gpus=4)
        assert answer.status_code == 201, answer.text
        used = [uuid for one in after.backend.running.values() for uuid in one.gpus]
        assert len(used) == len(set(used)) == 7  # what runs was counted before anything was given away
        options = {"server_name": "x", "user_options": {"profile": "gpu", "gpus": 2}, "queue": False}
        assert (await after.call("POST", "api/v1/launches", "carol", json=options)).status_code == 409
        await after.service.reconciler.round()
        counted = {one.server: (one.state, len(one.gpus)) for one in after.projection}
        assert counted == {"yesterday": ("held", 1), "today": ("held", 2), "more": ("held", 4)}


# --- histories from seeds


class FlakyPostgres(PostgresLedger):
    """A ledger in PostgreSQL whose disk is full now and then, and which is copied and put back."""

    full = False

    def commit(self, records: Any) -> None:
        if self.full:
            raise LedgerUnavailable("The ledger's disk is full")
        super().commit(records)

    def copy(self) -> dict[str, list[dict[str, Any]]]:
        """Return all rows but the audit."""
        with self._reading() as connection:
            return {
                table.name: [dict(row) for row in connection.execute(table.select()).mappings()]
                for table in (tables.reservations, tables.answers)
            }

    def put_back(self, rows: dict[str, list[dict[str, Any]]]) -> None:
        """Become what the copy was."""
        with self._writing() as connection:
            for table in (tables.reservations, tables.answers):
                connection.execute(table.delete())
                if rows[table.name]:
                    connection.execute(table.insert(), rows[table.name])


@dataclass
class PostgresSimulation(Simulation):
    """The same world over PostgreSQL, whose sessions end now and then as well."""

    ledger_in_postgres: FlakyPostgres | None = None
    server: PostgresServer | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        assert self.ledger_in_postgres is not None
        self.ledger: Any = self.ledger_in_postgres
        self.copied = self.ledger.copy()

    async def back_up(self) -> None:
        """Somebody copies the ledger."""
        self.copied = self.ledger.copy()

    async def restore(self) -> None:
        """Somebody puts the copy back."""
        await self.world.writer.stop()
        self.ledger.load(0.0)
        self.ledger.put_back(self.copied)
        await self.start_service()

    async def outage(self) -> None:
        """Something falls silent, or the database's sessions end."""
        await super().outage()
        assert self.server is not None
        if self.random.random() < 0.5:
            self.log.append("  sessions ended")
            self.server.end_sessions(DATABASE)


@pytest.mark.parametrize(
    ("seeds", "steps"),
    [pytest.param(range(3), 40, id="few"), pytest.param(range(100, 120), 120, id="many", marks=pytest.mark.long)],
)
async def test_histories_over_postgresql(tmp_path: Path, postgres: PostgresServer, seeds: range, steps: int) -> None:
    catalog = load_catalog(make_settings(tmp_path).config_dir)
    address = postgres.address(DATABASE)
    for seed in seeds:
        postgres.make_database(DATABASE)
        open_postgresql(address, "tests").close()
        ledger = FlakyPostgres(postgresql.make_engine(address, "tests"), address.place)
        try:
            ledger.open()
            await PostgresSimulation(catalog, seed, ledger_in_postgres=ledger, server=postgres).run(steps)
        finally:
            ledger.close()
