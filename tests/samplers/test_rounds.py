"""Rounds of samplers: scripted ones, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence

import pytest

from mlabhub.core.readings import Reading, Sample, Watched
from mlabhub.errors import Unavailable
from mlabhub.samplers.rounds import InThread, Rounds

ALICE = Watched("alice/", "L1", ("GPU-0",))
BEGIN = 6000.0


class World:
    """A machine whose GPU does what the test says."""

    def __init__(self) -> None:
        self.now = BEGIN
        self.servers: Sequence[Watched] | None = (ALICE,)
        self.kept: list[tuple[float, tuple[Sample, ...]]] = []
        self.util: float | None = 0.0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    async def look(self) -> Sequence[Watched]:
        """Return the servers, if the engine answers."""
        if self.servers is None:
            raise Unavailable("The engine does not answer.")
        return self.servers

    async def keep(self, t: float, samples: tuple[Sample, ...]) -> None:
        """Take samples."""
        self.kept.append((t, samples))

    def utils(self) -> list[tuple[float, tuple[float | None, ...]]]:
        """Return how busy alice's GPU was in each minute."""
        return [(t, one.gpu_util) for t, samples in self.kept for one in samples]


class Gpus:
    """Tells how busy the GPU is; may hang, or fail."""

    def __init__(self, world: World):
        self.world = world
        self.asked = 0
        self.hangs: asyncio.Event | None = None
        self.fails = False

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        self.asked += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fails:
            raise ZeroDivisionError
        util = (self.world.util,)
        return tuple(Reading(one.server, one.launch_id, now, util, util, span_s=5.0) for one in watched)


class Cores:
    """Tells of cores, for a whole minute."""

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        return tuple(Reading(one.server, one.launch_id, now, cpu_cores=0.5, span_s=60.0) for one in watched)


@pytest.fixture
def world() -> World:
    """A machine with one server."""
    return World()


@pytest.fixture
def gpus(world: World) -> Gpus:
    """Its GPU."""
    return Gpus(world)


@pytest.fixture
async def rounds(world: World, gpus: Gpus) -> AsyncIterator[Rounds]:
    """The rounds over it."""
    rounds = Rounds(world.look, world.keep, [gpus], [Cores()], world.clock, patience_s=0.05)
    yield rounds
    await rounds.close()


async def play(rounds: Rounds, world: World, seconds: int) -> None:
    """Make a round every five seconds."""
    for _ in range(seconds // 5):
        world.now += 5.0
        await rounds.round()


async def test_a_sample_each_full_minute(rounds: Rounds, world: World) -> None:
    await play(rounds, world, 90)
    world.util = 64.0
    await play(rounds, world, 5)
    world.util = 0.0
    await play(rounds, world, 90)
    assert world.utils() == [(BEGIN + 60, (0.0,)), (BEGIN + 120, (64.0,)), (BEGIN + 180, (0.0,))]
    assert [one.cpu_cores for _, [one] in world.kept] == [0.5, 0.5, 0.5]


async def test_one_that_hangs_is_not_asked_again_and_holds_nobody_up(rounds: Rounds, world: World, gpus: Gpus) -> None:
    await play(rounds, world, 60)
    gpus.hangs, asked = asyncio.Event(), gpus.asked
    await play(rounds, world, 60)
    assert gpus.asked == asked + 1
    assert world.utils()[-1] == (BEGIN + 120, (None,))
    assert world.kept[-1][1][0].cpu_cores == 0.5
    gpus.hangs.set()
    await play(rounds, world, 120)
    assert world.utils()[-1] == (BEGIN + 240, (0.0,))


async def test_one_that_fails_leaves_its_part_unknown(rounds: Rounds, world: World, gpus: Gpus) -> None:
    gpus.fails = True
    await play(rounds, world, 60)
    [(_, [sample])] = world.kept
    assert (sample.gpu_util, sample.cpu_cores) == ((None,), 0.5)


async def test_while_the_engine_is_silent_those_known_before_are_read(rounds: Rounds, world: World) -> None:
    await play(rounds, world, 30)
    world.servers = None
    await play(rounds, world, 60)
    assert world.utils() == [(BEGIN + 60, (0.0,))]


@pytest.mark.parametrize("step", [3600.0, -3600.0])
async def test_a_clock_that_is_set_makes_one_minute_unknown(rounds: Rounds, world: World, step: float) -> None:
    await play(rounds, world, 90)
    world.now += step
    await play(rounds, world, 90)
    at = BEGIN + step
    assert world.utils()[0] == (BEGIN + 60, (0.0,))
    assert world.utils()[-1] == (at + 180, (0.0,))
    assert all(util in ((None,), (0.0,)) for _, util in world.utils())
    assert (None,) in [util for _, util in world.utils()]


async def test_a_server_that_comes_in_the_middle_is_unknown_for_that_minute(rounds: Rounds, world: World) -> None:
    world.servers = ()
    await play(rounds, world, 30)
    world.servers = (ALICE,)
    await play(rounds, world, 90)
    assert world.utils() == [(BEGIN + 60, (None,)), (BEGIN + 120, (0.0,))]


async def test_what_blocks_does_not_hold_up_the_loop(world: World) -> None:
    class Slow:
        def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
            time.sleep(0.3)
            return ()

    rounds = Rounds(world.look, world.keep, [InThread(Slow())], clock=world.clock, patience_s=0.05)
    began = time.monotonic()
    await rounds.round()
    assert time.monotonic() - began < 0.25
    await asyncio.sleep(0.4)
    await rounds.close()


async def test_it_goes_on_whatever_happens(world: World, gpus: Gpus, caplog: pytest.LogCaptureFixture) -> None:
    tries = 0

    async def keep(t: float, samples: tuple[Sample, ...]) -> None:
        nonlocal tries
        tries += 1
        raise OSError("disk full")

    rounds = Rounds(world.look, keep, [gpus], clock=world.clock)
    task = asyncio.create_task(rounds.run(every_s=0.001))
    while tries < 3:
        world.now += 60.0
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await rounds.close()
    assert "A round of samples failed" in caplog.text


async def test_a_fresh_look_reads_now_and_only_those_that_are_asked_for(
    rounds: Rounds, world: World, gpus: Gpus
) -> None:
    world.servers = (ALICE, Watched("bob/", "L2", ("GPU-1",)))
    await play(rounds, world, 60)
    world.now += 2.0
    world.util = 50.0
    now, [sample] = await rounds.fresh(["L1", "L9"])
    assert (now, sample.launch_id, sample.gpu_util, sample.cpu_cores) == (world.now, "L1", (50.0,), 0.5)
    world.util = 0.0
    world.now += 2.0
    _, [sample] = await rounds.fresh(["L1"])
    assert sample.gpu_util == (50.0,)  # it was used since the last minute
    assert [t for t, _ in world.kept] == [BEGIN + 60]  # it ends no minute


async def test_what_was_read_before_makes_no_fresh_look(rounds: Rounds, world: World, gpus: Gpus) -> None:
    await play(rounds, world, 90)
    gpus.fails = True
    world.now += 2.0
    _, [sample] = await rounds.fresh(["L1"])
    assert sample.gpu_util == (None,)
    assert sample.reasons


async def test_a_fresh_look_ends_though_a_sampler_hangs(rounds: Rounds, world: World, gpus: Gpus) -> None:
    await play(rounds, world, 60)
    gpus.hangs = asyncio.Event()
    world.now += 2.0
    _, [sample] = await asyncio.wait_for(rounds.fresh(["L1"]), 5)
    assert (sample.gpu_util, sample.cpu_cores) == ((None,), 0.5)
    # What that sampler says at last was asked before the next look, and is not taken for one of then.
    world.now += 2.0
    looking = asyncio.create_task(rounds.fresh(["L1"]))
    await asyncio.sleep(0)
    gpus.hangs.set()
    gpus.hangs, world.util = None, 77.0
    await asyncio.wait([looking], timeout=5)
    assert [one.gpu_util for one in looking.result()[1]] == [(77.0,)]


async def test_a_fresh_look_at_what_has_ended_finds_nothing(rounds: Rounds, world: World) -> None:
    await play(rounds, world, 60)
    world.servers = ()
    world.now += 2.0
    assert await rounds.fresh(["L1"]) == (world.now, ())
