"""The history that forecasts stand on, what people are told of it, and how good it was."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from mlabhub.core.durations import LEAST, Curve, Kind
from mlabhub.ledger import (
    LedgerUnavailable,
    MemoryLedger,
    PastRun,
    QueueEntry,
    ReclaimNotice,
    Record,
    Reservation,
    ToldStart,
)
from mlabhub.messages import Message
from mlabhub.service import history as history_module
from mlabhub.service.forecasts import NOTHING_SEEN
from mlabhub.service.history import KEPT_S, History, accuracy_of
from mlabhub.service.projection import Projection
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running

NOW = 1e9
HOUR = 3600.0


def over(number: int, lasted: float, ended: float = NOW - HOUR, **values: Any) -> Reservation:
    """Return a launch with one GPU that is over."""
    usual: dict[str, Any] = {"user": "bob", "group": "vision", "profile": "gpu", "gpus": (f"g{number}",)}
    return Reservation(
        **{
            **usual,
            "launch_id": f"P{number}",
            "server": f"s{number}",
            "state": "released",
            "created": ended - lasted - 5,
            "changed": ended,
            "deadline": 0.0,
            "held": ended - lasted,
            "released": ended,
            **values,
        }
    )


class Away(MemoryLedger):
    """A ledger that may be away."""

    away = True

    def past_runs(self, since: float) -> tuple[PastRun, ...]:
        if self.away:
            raise LedgerUnavailable(Message("The disk is full."))
        return super().past_runs(since)


LIKE = Kind("bob", "vision", "gpu", True)


async def test_what_ended_is_read_once_and_forgotten_after_weeks() -> None:
    ledger, now = MemoryLedger(), [NOW]
    history = History(ledger, lambda: now[0])
    ledger.commit([over(n, HOUR) for n in range(20)])
    ledger.commit([over(99, HOUR, ended=NOW - KEPT_S - 5)])
    assert not history.known
    for _ in range(2):
        await history.refresh()
        assert (len(history), history.known) == (20, True)
    lasting = history.lasting((), NOW)
    assert lasting.curve(LIKE) is not None
    assert history.lasting((), NOW + 1) is lasting  # worked out once
    ledger.commit([over(30, HOUR, ended=NOW - 5)])
    await history.refresh()
    assert len(history) == 21
    assert history.lasting((), NOW + 1) is not lasting
    now[0] = NOW + KEPT_S - 60
    await history.refresh()
    assert len(history) == 1
    assert history.lasting((), now[0]).curve(LIKE) is None


async def test_what_was_taken_back_says_only_that_it_ran_so_long() -> None:
    """Twenty of thirty were taken back after an hour: the ten that ended by themselves took ten."""
    ledger = MemoryLedger()
    ledger.commit([over(n, 10 * HOUR) for n in range(10)])
    ledger.commit([over(n, HOUR) for n in range(10, 30)])
    half = [math.log(2)]
    history = History(ledger, lambda: NOW)
    await history.refresh()
    (short,) = curve_of(history).remaining(0.0, half)
    ended = {one.launch_id: one.ended for one in ledger.past_runs(0.0)}
    ledger.commit([notice(f"P{n}", ended[f"P{n}"] - 1) for n in range(10, 30)])
    history = History(ledger, lambda: NOW)
    await history.refresh()
    (long,) = curve_of(history).remaining(0.0, half)
    assert short < 2 * HOUR < 8 * HOUR < long


def notice(launch_id: str, deadline: float) -> ReclaimNotice:
    return ReclaimNotice(launch_id, deadline - 600, deadline, "E1", "done", deadline)


def curve_of(history: History) -> Curve:
    curve = history.lasting((), NOW).curve(LIKE)
    assert curve is not None
    return curve


async def test_while_the_ledger_is_away_what_was_known_counts() -> None:
    ledger = Away()
    ledger.commit([over(n, HOUR) for n in range(LEAST)])
    history = History(ledger, lambda: NOW)
    await history.refresh()
    assert not history.known
    assert history.lasting((), NOW).curve(LIKE) is None
    ledger.away = False
    await history.refresh()
    assert history.lasting((), NOW).curve(LIKE) is not None
    ledger.away = True
    await history.refresh()
    assert len(history) == LEAST


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "MOST_RUNS", 50)
    ledger = MemoryLedger()
    ledger.commit([over(n, HOUR, ended=NOW - 1000 + n) for n in range(80)])
    history = History(ledger, lambda: NOW)
    await history.refresh()
    assert len(history) == 50
    await history.refresh()
    assert len(history) == 50


async def test_all_the_weeks_are_read_where_there_is_little_and_no_more_than_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = Counting()
    ledger.commit([over(n, HOUR, ended=NOW - KEPT_S + 60 + n) for n in range(10)])
    ledger.commit([over(100 + n, HOUR, ended=NOW - HOUR + n) for n in range(10)])
    history = History(ledger, lambda: NOW)
    await history.refresh()
    assert (len(history), ledger.read) == (20, 10 + 10 + 10 + 20)
    monkeypatch.setattr(history_module, "MOST_RUNS", 10)
    ledger.read = 0
    bounded = History(ledger, lambda: NOW)
    await bounded.refresh()
    assert (len(bounded), ledger.read) == (10, 10)


class Counting(MemoryLedger):
    """Counts how many runs were read."""

    read = 0

    def past_runs(self, since: float) -> tuple[PastRun, ...]:
        found = super().past_runs(since)
        self.read += len(found)
        return found


def test_accuracy_by_hand() -> None:
    starts = [
        ToldStart("a", 0.0, 100.0, 200.0, 150.0),
        ToldStart("b", 0.0, 100.0, 200.0, 200.0),
        ToldStart("c", 0.0, 100.0, 200.0, 260.0),
        ToldStart("d", 0.0, 100.0, 200.0, 40.0),
        ToldStart("e", 0.0, None, None, 40.0),
        ToldStart("f", 0.0, 100.0, None, 120.0),
    ]
    found = accuracy_of(starts)
    assert (found.starts, found.unknown, found.within, found.earlier, found.later) == (6, 2, 0.5, 1, 1)
    assert (found.median_error_s, found.median_width_s) == (80.0, 100.0)
    nothing = accuracy_of([])
    assert (nothing.within, nothing.median_error_s, nothing.median_width_s, nothing.unknown) == (None, None, None, 0)


async def keep(running: Running, *records: Record) -> None:
    def act(_: Projection) -> Outcome[None]:
        return Outcome(None, records)

    await running.world.writer.submit(act)


PREVIEW = "api/v1/launches/preview"


async def fill(running: Running) -> None:
    """Let carol hold all the GPUs."""
    count = sum(len(node.gpus) for node in running.backend.nodes)
    for number in range(count):
        await running.spawn("carol", f"s{number}", {"profile": "gpu", "gpus": 1, "cpu": 1, "memory_gib": 1})


async def preview(running: Running) -> dict[str, Any]:
    body = {"user_options": {"profile": "gpu", "gpus": 1}}
    answer = await running.call("POST", PREVIEW, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_choice_that_waits_has_a_range_once_there_is_history(running: Running) -> None:
    await fill(running)
    told = await preview(running)
    assert told["state"] == "later"
    assert told["wait"]["earliest"] is told["wait"]["latest"] is None
    assert "no history yet" in told["wait"]["say"]
    now = running.world.clock()
    await keep(running, *(over(n, HOUR, now - 60 - n, user="carol", group="nlp") for n in range(30)))
    await running.world.forecasts.history.refresh()
    running.world.forecasts.latest = NOTHING_SEEN
    told = await preview(running)
    assert now <= told["wait"]["earliest"] <= told["wait"]["latest"] <= now + 3 * HOUR
    assert told["wait"]["say"].startswith(("Probably", "Not today"))
    for choice in told["choices"]:
        assert (choice["wait"] is not None) == (choice["state"] == "later"), choice
    assert any(choice["wait"] for choice in told["choices"])
    assert (await preview(running))["wait"] == told["wait"]  # worked out once


async def test_how_good_forecasts_were_is_for_administrators(running: Running) -> None:
    now = running.world.clock()
    entry = QueueEntry(
        "E1",
        "alice",
        "",
        "claimed",
        now - 100,
        now - 100,
        now,
        told_earliest=now - 60,
        told_latest=now - 20,
        started=now - 30,
    )
    await keep(running, entry)
    address = "api/v1/forecast/accuracy"
    assert (await running.call("GET", address)).status_code == 403
    found = (await running.call("GET", address, "admin")).json()
    assert (found["starts"], found["within"], found["unknown"], found["weeks"]) == (1, 1.0, 0, 8)
    assert found["median_error_s"] == pytest.approx(10)


async def test_who_asks_and_who_was_taken_back_is_told_and_that_is_kept(running: Running) -> None:
    now = running.world.clock()
    await keep(running, *(over(n, HOUR, now - 60 - n, user="carol", group="nlp") for n in range(30)))
    await running.world.forecasts.history.refresh()
    await fill(running)
    answer = await running.call("POST", "api/v1/launches", json={"user_options": {"profile": "gpu"}})
    assert answer.status_code == 202, answer.text
    asked = running.projection.queue[answer.json()["launch_id"]]
    assert asked.told_earliest is not None
    assert asked.told_earliest <= (asked.told_latest or 0)
    assert (asked.reckoned_earliest, asked.reckoned_latest) == (asked.told_earliest, asked.told_latest)
    again = replace(asked, launch_id="E2", user="bob", told_earliest=None, told_latest=None, again_of="L0")
    await keep(running, again)
    running.world.forecasts.latest = NOTHING_SEEN
    await running.world.forecasts.keep_up()
    told = running.projection.queue["E2"]
    assert told.told_earliest is not None
    assert told.told_earliest >= asked.told_earliest - 1
    assert set(running.world.forecasts.latest.waits) == {asked.launch_id, "E2"}


async def test_ranges_are_corrected_by_what_happened(running: Running) -> None:
    """Thirty started three times as late as was reckoned."""
    now = running.world.clock()
    about: dict[str, Any] = {"user": "alice", "state": "claimed", "since": 1.0, "changed": 1.0}
    late = [
        QueueEntry(
            f"E{n}",
            server=f"s{n}",
            created=now - 4000 + n,
            started=now - 1000 + n,
            reckoned_earliest=now - 3500 + n,
            reckoned_latest=now - 3000 + n,
            **about,
        )
        for n in range(30)
    ]
    await keep(running, *late)
    history = running.world.forecasts.history
    assert history.correction((), now).high == 1.0
    for _ in range(2):
        await history.refresh()
        found = history.correction((), now)
        assert found.high == pytest.approx(3.0)
        assert found.low == 1.0
