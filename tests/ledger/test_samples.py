"""What every store of samples keeps, over all implementations."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.readings import Sample
from mlabhub.core.sample_history import COARSE_FOR_S, DAY_S, FINE_FOR_S, DaySums
from mlabhub.ledger import LedgerUnavailable, MemorySamples, SampleStore, SqlSamples, open_sqlite
from mlabhub.ledger.sample_tables import chunks, ticks
from mlabhub.replay.idle.reader import read_samples
from tests.ledger.test_contract import contract_database, reservation

__all__ = ["contract_database"]

HOUR = 3600.0
MONDAY = 20_000 * DAY_S


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SampleStore]:
    """Return an empty store."""
    if request.param == "memory":
        yield MemorySamples()
        return
    is_sqlite = request.param == "sqlite"
    ledger = open_sqlite(tmp_path / "l.sqlite") if is_sqlite else request.getfixturevalue("contract_database")()
    yield SqlSamples(ledger)
    ledger.close()


def sample(t: float, server: str = "alice/", util: float | None = 0.0, launch_id: str = "") -> Sample:
    """Return one of a server with two GPUs, of which one is not measured."""
    more = {"last_activity": t - 5.0, "kernels_busy": 1}
    return Sample(t, server, launch_id or f"L-{server}", 2, (util, None), (7e9, None), 0.25, more=more)


def play(store: SampleStore, begin: float, hours: float, util: float = 0.0) -> None:
    """Add a sample of two servers each minute."""
    for minute in range(1, int(hours * 60) + 1):
        t = begin + 60.0 * minute
        store.add(t, [sample(t, util=util), sample(t, "bob/lab", util)])


def times(store: SampleStore, server: str = "alice/", since: float = 0.0, until: float = 1e12) -> list[float]:
    """Return when there are samples of a server."""
    return [one.t for one in store.of_server(server, since, until)]


def test_ticks_as_they_came(store: SampleStore) -> None:
    store.add(MONDAY + 60, [sample(MONDAY + 60), sample(MONDAY + 60, 'o"{}\u00fc\u4e2d/x', None)])
    store.add(MONDAY, [])
    store.add(MONDAY + 120, [sample(MONDAY + 120, util=97.5)])
    assert store.of_server("alice/", 0.0, 1e12) == (sample(MONDAY + 60), sample(MONDAY + 120, util=97.5))
    assert times(store, since=MONDAY + 60, until=MONDAY + 120) == [MONDAY + 60]
    assert times(store, "nobody/") == []
    [first, second, third] = store.export(0.0, 1e12)
    assert json.loads(first) == {
        "t": MONDAY + 60,
        "server": "alice/",
        "gpus": 2,
        "gpu_util": [0.0, None],
        "gpu_mem_used": [7e9, None],
        "cpu_cores": 0.25,
        "last_activity": MONDAY + 55,
        "kernels_busy": 1,
    }
    assert [json.loads(second)["server"], json.loads(third)["t"]] == ['o"{}\u00fc\u4e2d/x', MONDAY + 120]


def test_a_tick_again_replaces_it(store: SampleStore) -> None:
    store.add(MONDAY, [sample(MONDAY), sample(MONDAY, "bob/lab")])
    store.add(MONDAY, [sample(MONDAY, util=5.0)])
    assert store.of_server("alice/", 0.0, 1e12) == (sample(MONDAY, util=5.0),)
    assert times(store, "bob/lab") == []


def test_whole_hours_are_the_same_however_they_are_kept(store: SampleStore) -> None:
    play(store, MONDAY, 2.5)
    before, lines = store.of_server("bob/lab", 0.0, 1e12), list(store.export(0.0, 1e12))
    assert (len(before), len(lines)) == (150, 300)
    store.tidy(MONDAY + 2.5 * HOUR)
    store.tidy(MONDAY + 2.5 * HOUR)
    assert store.of_server("bob/lab", 0.0, 1e12) == before
    assert list(store.export(0.0, 1e12)) == lines
    part = (MONDAY + HOUR, MONDAY + HOUR + 120)
    assert times(store, "alice/", *part) == [MONDAY + HOUR, MONDAY + HOUR + 60]
    assert len(list(store.export(*part))) == 4


@pytest.mark.parametrize("tidied", [False, True], ids=["ticks", "hours"])
def test_all_in_pieces_each_launch_by_time(store: SampleStore, tidied: bool) -> None:
    play(store, MONDAY, 2.5)
    if tidied:
        store.tidy(MONDAY + 2.5 * HOUR)
    pieces = [list(piece) for piece in store.pieces(MONDAY + HOUR, MONDAY + 2 * HOUR)]
    found = [one for piece in pieces for one in piece]
    assert len(found) == 120
    for server in ("alice/", "bob/lab"):
        of_server = [one for one in found if one.server == server]
        assert of_server == list(store.of_server(server, MONDAY + HOUR, MONDAY + 2 * HOUR))
    assert max(map(len, pieces)) <= 120
    assert list(store.pieces(MONDAY + DAY_S, MONDAY + 2 * DAY_S)) == []


def test_what_is_exported_can_be_replayed(store: SampleStore) -> None:
    play(store, MONDAY, 2.5)
    store.tidy(MONDAY + FINE_FOR_S + HOUR)
    recording = read_samples(line.encode() for line in store.export(0.0, 1e12))
    assert [one.server for one in recording.launches] == ["alice/", "bob/lab"]
    assert (len(recording.rows), recording.notes) == (len(list(store.export(0.0, 1e12))), ())


def test_two_launches_of_one_name(store: SampleStore) -> None:
    store.add(MONDAY + 60, [sample(MONDAY + 60, launch_id="L1")])
    store.add(MONDAY + 120, [sample(MONDAY + 120, launch_id="L2")])
    store.tidy(MONDAY + DAY_S)
    assert [one.launch_id for one in store.of_server("alice/", 0.0, 1e12)] == ["L1", "L2"]


def test_late_ticks_after_a_clock_stepped_back(store: SampleStore) -> None:
    play(store, MONDAY, 1)
    store.tidy(MONDAY + 2 * HOUR)
    store.add(MONDAY + 90, [sample(MONDAY + 90)])
    store.tidy(MONDAY + 2 * HOUR)
    assert times(store) == sorted([MONDAY + 60.0 * minute for minute in range(1, 61)] + [MONDAY + 90])


def test_after_two_days_each_five_minutes(store: SampleStore) -> None:
    play(store, MONDAY, 2)
    for _ in range(2):
        store.tidy(MONDAY + FINE_FOR_S + HOUR)
    found = store.of_server("alice/", 0.0, 1e12)
    assert [one.t for one in found[:13]] == [MONDAY + 300.0 * step for step in range(1, 13)] + [MONDAY + HOUR + 60]
    assert (len(found), found[0].gpu_util, found[0].cpu_cores) == (72, (0.0, None), 0.25)
    assert found[0].more == {"last_activity": MONDAY + 295, "kernels_busy": 1}


def test_after_thirty_days_sums(store: SampleStore) -> None:
    play(store, MONDAY, 1)
    play(store, MONDAY + DAY_S - HOUR, 2, util=50.0)
    assert store.days(0.0, 1e12) == ()
    for hours in (1.0, 24.5, 24.5, 48.0):
        store.tidy(MONDAY + COARSE_FOR_S + hours * HOUR)
    monday = DaySums("alice/", MONDAY, gpu_s=4 * HOUR, known_s=2 * HOUR, used_s=HOUR, core_s=HOUR / 2)
    tuesday = DaySums("alice/", MONDAY + DAY_S, gpu_s=2 * HOUR, known_s=HOUR, used_s=HOUR, core_s=HOUR / 4)
    alices = [replace(monday, cores_known_s=2 * HOUR), replace(tuesday, cores_known_s=HOUR)]
    assert [one for one in store.days(0.0, 1e12) if one.server == "alice/"] == alices
    assert len(store.days(0.0, MONDAY + DAY_S)) == 2
    assert list(store.export(0.0, 1e12)) == []


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    ledger = open_sqlite(tmp_path / "l.sqlite")
    store = SqlSamples(ledger)
    with ledger._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    random = [replace(sample(MONDAY), launch_id=os.urandom(2000).hex()) for _ in range(20)]
    with pytest.raises(LedgerUnavailable, match="disk is full"):
        store.add(MONDAY, random)
    assert times(store) == []
    ledger.close()


@pytest.mark.parametrize("old", [False, True], ids=["put together", "summed up"])
def test_an_hour_of_many_servers_while_the_ledger_is_written(tmp_path: Path, old: bool) -> None:
    servers = 300
    ledger = open_sqlite(tmp_path / "l.sqlite")
    store = SqlSamples(ledger)
    for minute in range(1, 61):
        t = MONDAY + 60.0 * minute
        store.add(t, [sample(t, f"u{number}/", float(number % 7)) for number in range(servers)])
    with ThreadPoolExecutor(1) as pool:
        tidying = pool.submit(store.tidy, MONDAY + COARSE_FOR_S + HOUR if old else MONDAY + 2 * HOUR)
        commits = 0
        while not tidying.done():
            ledger.commit([reservation(f"L{commits}", server=f"s{commits}")])  # it is not locked out
            commits += 1
            time.sleep(0.01)  # SQLite lets nobody else in between commits that never pause
        tidying.result()
    assert commits > 5
    if old:
        assert len(store.days(0.0, 1e12)) == servers
        ledger.close()
        return
    with ledger._engine.connect() as connection:
        assert connection.execute(ticks.select()).first() is None
        assert len(connection.execute(chunks.select()).all()) == servers
    assert len(times(store, "u7/")) == 60
    ledger.close()
