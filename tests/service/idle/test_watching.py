"""Watching servers: real ledger, real rounds, a clock that is moved by hand, and everything around that can fail."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.client import HubServer
from mlabhub.core.idle.patience import Patient
from mlabhub.core.idle.presets import PRESETS
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, assess
from mlabhub.core.readings import Reading, Sample, Watched
from mlabhub.errors import Unavailable
from mlabhub.ledger import IdleWarning, LedgerUnavailable, Reservation
from mlabhub.messages import Message
from mlabhub.service.capacity import CapacityCache
from mlabhub.service.idle.sources import Sources
from mlabhub.service.idle.watching import Watch
from mlabhub.service.projection import Projection
from mlabhub.service.reports import AgentReport
from mlabhub.service.world import World
from mlabhub.service.writer import Outcome
from tests.doubles import make_node
from tests.service.conftest import Running, make_settings, run_service

GPU = "GPU-n1-a100-0"
BEGIN = 20_000 * 86_400.0
POLICY = PRESETS["default"]


class Gpus:
    """Tells how busy all GPUs are; may hang, or fail."""

    def __init__(self) -> None:
        self.util: float | None = 0.0
        self.cores: float | None = 0.1
        self.hangs: asyncio.Event | None = None
        self.asked = 0

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        why = () if self.util is not None else (Message("The driver hangs."),)
        return tuple(
            Reading(one.server, one.launch_id, now, (self.util,), (1e9,), self.cores, 5.0, why) for one in watched
        )


class Site:
    """A service whose clock stands still until a test moves it."""

    def __init__(self, running: Running):
        self.running = running
        self.now, self.mono = BEGIN, 0.0
        self.gpus = Gpus()
        self.ticks: list[float] = []
        self.world.clock = lambda: self.now
        self.world.monotonic = lambda: self.mono
        self.begin()

    def begin(self) -> None:
        """Watch, as after a start."""
        self.watch = self.world.watch = Watch(self.world, Sources([self.gpus]))
        self.watch.subscribe(self._ticked)
        self.rounds = self.watch._started()
        self.rounds._patience_s = 0.05

    @property
    def world(self) -> World:
        return self.running.world

    @property
    def last(self) -> Sample:
        """Return the last sample of L1."""
        found = self.watch.usage("L1")
        assert found is not None
        return found

    async def _ticked(self, t: float) -> None:
        self.ticks.append(t)

    async def play(self, seconds: float) -> None:
        """Make a round every five seconds."""
        for _ in range(int(seconds // 5)):
            self.now += 5.0
            self.mono += 5.0
            await self.rounds.round()
            await self.told()

    async def told(self) -> None:
        """Wait until who subscribed was told."""
        if self.watch._telling is not None:
            await asyncio.wait_for(self.watch._telling, 10)

    async def stored(self, server: str = "") -> tuple[Sample, ...]:
        """Return what the ledger has of alice's server."""
        await self.watch._storing.done(10)
        return await self.watch.history("alice", server, 0.0, 1e12)


def put_at_hub(site: Site, launch_id: str, last_activity: float) -> None:
    """Let the hub know alice's server."""
    options = {"launch_id": launch_id}
    one = HubServer("alice", "", ready=True, user_options=options, last_activity=last_activity)
    site.running.hub.servers["alice", ""] = one


async def launched(site: Site) -> None:
    """Let the ledger know L1."""
    one = Reservation("L1", "alice", "", "held", created=BEGIN, changed=BEGIN, deadline=BEGIN, gpus=(GPU,))
    await site.world.writer.submit(lambda projection: Outcome(None, (one,)))


async def learned(site: Site) -> None:
    """Wait until what is kept was learned from."""
    assert site.watch._learning is not None
    await site.watch._learning


def warned(projection: Projection) -> Outcome[None]:
    """Record that L1's person was warned."""
    return Outcome(None, (IdleWarning("L1", BEGIN, told=BEGIN, way="home"),))


def refuse(*_: Any) -> None:
    """Be a ledger that takes nothing."""
    raise LedgerUnavailable("The disk is full.")


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """A service with one server."""
    async with run_service(make_settings(tmp_path)) as running:
        running.backend.run("L1", "alice", "", (GPU,))
        yield Site(running)


async def test_each_minute_is_taken_in_kept_and_told(site: Site) -> None:
    await site.play(60)
    site.gpus.util = 64.0
    await site.play(60)
    assert site.ticks == [BEGIN + 60, BEGIN + 120]
    samples = site.watch.samples("L1")
    assert samples is not None
    assert list(samples.t) == [BEGIN + 60, BEGIN + 120]
    assert list(samples.gpu) == [0.0, 64.0]
    assert site.last.gpu_util == (64.0,)
    assert [one.gpu_util for one in await site.stored()] == [(0.0,), (64.0,)]
    assert site.watch.samples("L2") is None
    assert site.watch.reasons("L1") == site.watch.reasons("L2") == ()


async def test_what_the_hub_and_agents_say_is_in_it(site: Site) -> None:
    report = AgentReport(BEGIN + 40, BEGIN + 10, 1, None, 0, None)
    site.watch.listen_to({"L1": report}.get)
    put_at_hub(site, "L1", BEGIN + 30)
    await site.play(60)
    assert site.last.more == {
        "last_activity": BEGIN + 30,
        "input_age": 50.0,
        "kernels_busy": 1,
        "terminals_busy": 0,
    }
    assert (await site.stored())[-1].more == site.last.more
    site.running.hub.fault = Unavailable("The hub is away.")
    await site.play(180)
    assert site.last.more == {}


async def test_what_the_hub_says_of_another_launch_counts_for_none(site: Site) -> None:
    put_at_hub(site, "L0", BEGIN + 30)
    await site.play(60)
    assert site.last.more == {}


async def test_the_hub_is_asked_once_a_minute(site: Site) -> None:
    await site.play(300)
    assert site.running.hub.calls.count("active_servers") == 5


async def test_a_driver_that_hangs_makes_unknown_and_holds_nothing_up(site: Site) -> None:
    await site.play(60)
    site.gpus.hangs, asked = asyncio.Event(), site.gpus.asked
    await site.play(120)
    assert None in site.last.gpu_util
    assert site.watch.reasons("L1")
    assert site.watch.unknown() == 1
    assert site.gpus.asked == asked + 1
    assert site.ticks == [BEGIN + 60, BEGIN + 120, BEGIN + 180]
    site.gpus.hangs.set()
    site.gpus.hangs = None
    await site.play(120)
    assert site.last.gpu_util == (0.0,)
    assert site.watch.unknown() == 0


async def test_a_reason_is_at_hand_for_what_is_not_known(site: Site) -> None:
    site.gpus.util = None
    await site.play(60)
    assert [str(one) for one in site.watch.reasons("L1")] == ["The driver hangs."]


async def test_an_engine_that_is_away_ends_nothing(site: Site) -> None:
    await site.play(60)
    site.running.backend.down = True
    await site.play(120)
    assert len(site.ticks) == 3
    assert site.last.t == BEGIN + 180
    assert "end" not in site.last.more


async def test_a_server_that_ended_has_a_last_sample(site: Site) -> None:
    await site.play(90)
    del site.running.backend.running["L1"]
    await site.play(30)
    assert site.last.more == {"end": True}
    await site.play(60)
    assert site.watch.usage("L1") is None
    assert site.watch.samples("L1") is None
    assert [one.more for one in await site.stored()] == [{}, {"end": True}]


async def test_what_was_warned_did_not_end_by_itself(site: Site) -> None:
    await site.play(90)
    await site.world.writer.submit(warned)
    del site.running.backend.running["L1"]
    await site.play(30)
    assert site.last.more == {}


async def test_a_ledger_that_is_full_loses_a_minute_from_the_store_only(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await site.play(60)
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO, "mlabhub.service.idle.storing"):
        patch.setattr(site.world.samples, "add", refuse)
        await site.play(180)
    assert [one.message for one in caplog.records if one.levelno >= logging.WARNING] == [
        "Samples are not kept, until the ledger takes them in again: The disk is full."
    ]
    await site.play(60)
    samples = site.watch.samples("L1")
    assert samples is not None
    assert len(samples) == 5
    assert [one.t - BEGIN for one in await site.stored()] == [60.0, 300.0]
    assert site.ticks == [BEGIN + 60 * minute for minute in range(1, 6)]


async def test_who_subscribed_and_fails_or_takes_long_stops_nobody(site: Site) -> None:
    never = asyncio.Event()

    async def fails(t: float) -> None:
        raise ZeroDivisionError

    async def hangs(t: float) -> None:
        await never.wait()

    site.watch._subscribers[:0] = [fails]
    await site.play(60)
    site.watch.subscribe(hangs)
    for _ in range(36):
        site.now += 5.0
        await site.rounds.round()
    samples = site.watch.samples("L1")
    assert samples is not None
    assert len(samples) == 4
    never.set()
    await site.told()
    assert site.ticks == [BEGIN + 60, BEGIN + 120]


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
async def test_a_clock_that_steps(site: Site, step: float) -> None:
    await site.play(300)
    site.now += step
    await site.play(300)
    assert site.ticks[-1] == BEGIN + 600 + step
    samples = site.watch.samples("L1")
    assert samples is not None
    verdict = assess(samples, State("L1"), POLICY, site.now)
    assert verdict.kind in (Kind.ACTIVE, Kind.IDLE, Kind.UNKNOWN)
    assert not verdict.warn
    assert site.last.gpu_util == (0.0,)


async def test_a_look_now_reads_now(site: Site) -> None:
    await site.play(60)
    samples = site.watch.samples("L1")
    assert samples is not None
    site.now += 3.0
    site.gpus.util = 42.0
    await site.watch.look_now(["L1"])
    assert (samples.t[-1], samples.gpu[-1]) == (BEGIN + 63, 42.0)
    assert site.last.gpu_util == (42.0,)
    # Use that was seen since the last minute counts beside what is read now.
    site.now += 3.0
    site.gpus.util = 0.0
    await site.watch.look_now(["L1"])
    assert samples.gpu[-1] == 42.0
    await site.play(120)
    site.now += 3.0
    await site.watch.look_now(["L1"])
    assert samples.gpu[-1] == 0.0
    assert list(samples.t) == sorted(samples.t)


async def test_what_a_look_now_does_not_find_is_not_known(site: Site) -> None:
    await site.play(60)
    samples = site.watch.samples("L1")
    assert samples is not None
    site.gpus.hangs = asyncio.Event()
    site.now += 3.0
    await site.watch.look_now(["L1", "L2"])
    assert assess(samples, State("L1"), POLICY, site.now).kind is Kind.UNKNOWN
    site.gpus.hangs.set()
    site.gpus.hangs = None
    site.now += 3.0
    await site.watch.look_now(["L1"])
    assert assess(samples, State("L1"), POLICY, site.now).kind is Kind.IDLE
    del site.running.backend.running["L1"]
    site.now += 3.0
    await site.watch.look_now(["L1"])
    assert assess(samples, State("L1"), POLICY, site.now).kind is Kind.UNKNOWN


async def test_a_restart_knows_what_was_before(site: Site) -> None:
    await launched(site)
    await site.play(60)
    site.gpus.util = 90.0
    await site.play(60)
    site.gpus.util = 0.0
    await site.play(3600)
    site.gpus.util = 90.0
    await site.play(60)
    before = site.watch.samples("L1")
    await site.stored()
    await site.watch.close()
    site.begin()
    await site.watch._remember()
    after = site.watch.samples("L1")
    assert before is not None
    assert after is not None
    assert list(after.t) == list(before.t)
    assert list(after.gpu) == list(before.gpu)
    gaps = site.watch.patient(POLICY, "alice/").gaps
    assert gaps.never(600.0) == (0, 1)
    assert gaps.never(3700.0) == (0, 0)


async def test_while_it_remembers_minutes_are_kept_and_nobody_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await launched(site)
    await site.play(120)
    await site.stored()
    await site.watch.close()
    reading, real = threading.Event(), site.world.samples.pieces

    def slow(since: float, until: float) -> Iterator[Sequence[Sample]]:
        reading.wait(10)
        yield from real(since, until)

    monkeypatch.setattr(site.world.samples, "pieces", slow)
    site.begin()
    remembering = asyncio.create_task(site.watch._remember())
    await site.play(120)
    await site.watch.look_now(["L1"])
    assert site.watch.samples("L1") is None
    assert site.watch.patient(POLICY, "alice/").gaps.never(0.0) == (0, 0)
    assert site.last.gpu_util == (0.0,)
    assert site.ticks == [BEGIN + 60, BEGIN + 120]
    assert site.watch._learning is None
    reading.set()
    await remembering
    after = site.watch.samples("L1")
    assert after is not None
    assert [t - BEGIN for t in after.t] == [60, 120, 180, 240, 240]  # the last is of the look
    await site.play(60)
    assert (len(after), site.ticks[-1]) == (6, BEGIN + 300)
    assert len(await site.stored()) == 5


async def test_it_watches_whatever_remembering_comes_to(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(site.world.samples, "pieces", fails)
    running = asyncio.create_task(site.watch.run())
    for _ in range(200):
        await asyncio.sleep(0.01)
        if site.gpus.asked and "Nothing is known of the time before now" in caplog.text:
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await site.play(60)
    assert site.ticks == [BEGIN + 60]
    assert site.watch.samples("L1") is not None


async def test_without_the_ledger_it_begins_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.world.samples, "pieces", refuse)
    await site.watch._remember()
    await site.play(60)
    assert site.last.gpu_util == (0.0,)


async def test_gaps_are_learned_once_for_each_policy(site: Site) -> None:
    await launched(site)
    other = replace(POLICY, name="other", grace_s=3600.0)
    never = replace(POLICY, name="never", learns=False)
    policies = (POLICY, other, never)
    patients = [site.watch.patient(policy, "alice/") for policy in policies]
    await learned(site)
    site.gpus.util = 90.0
    await site.play(60)
    site.gpus.util = 0.0
    await site.play(1200)
    site.gpus.util = 90.0
    await site.play(120)
    patients = [site.watch.patient(policy, "alice/") for policy in policies]
    assert [one.gaps.never(600.0) for one in patients] == [(0, 1)] * 3
    assert len({id(one.gaps) for one in patients}) == 2  # whether a policy learns makes no difference to what is known


async def test_a_policy_that_is_new_learns_from_what_is_kept(site: Site) -> None:
    await launched(site)
    site.gpus.util = 90.0
    await site.play(60)
    site.gpus.util = 0.0
    await site.play(1200)
    site.gpus.util = 90.0
    await site.play(60)
    await site.stored()
    new = replace(POLICY, grace_s=1800.0)
    assert site.watch.patient(new, "alice/").gaps.never(600.0) == (0, 0)
    await learned(site)
    assert site.watch.patient(new, "alice/").gaps.never(600.0) == (0, 1)


async def test_a_patient_knows_who_waits(site: Site) -> None:
    patient = site.watch.patient(POLICY, "alice/")
    assert isinstance(patient, Patient)
    assert patient.gaps.waiting == 0
    site.running.backend.nodes = (make_node(gpus=1),)
    site.world.capacity = CapacityCache(site.running.backend.capacity, lambda: site.mono, fresh_s=0.0)
    for name in ("first", "second"):
        body = {"server_name": name, "display_name": name, "user_options": {"profile": "gpu", "gpus": 1}}
        answer = await site.running.call("POST", "api/v1/launches", "bob", json=body)
    assert answer.json()["state"] == "queued", answer.text
    assert site.watch.patient(POLICY, "alice/").gaps.waiting == 2


async def test_measures(site: Site) -> None:
    def read() -> str:
        return site.world.metrics.render(()).decode()

    assert "mlabhub_samples_age_seconds NaN" in read()
    site.gpus.util = None
    await site.play(60)
    site.now += 7.0
    await site.stored()
    assert "mlabhub_samples_age_seconds 7.0" in read()
    assert "mlabhub_servers_use_unknown 1.0" in read()
    assert 'mlabhub_samples_total{result="kept"} 1.0' in read()
