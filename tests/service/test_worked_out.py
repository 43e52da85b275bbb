"""What is worked out once for all who look."""

from __future__ import annotations

import asyncio

import pytest

from mlabhub.errors import Unavailable
from mlabhub.service.worked_out import WorkedOut


class Bench:
    """Works out numbers that grow, when it is let; ``fails``: it does not."""

    def __init__(self) -> None:
        self.now = 100.0
        self.begun = 0
        self.fails = False
        self.let = asyncio.Event()
        self.let.set()
        self.kept = WorkedOut(self.work_out, lambda: self.now, fresh_s=5, old_s=15)

    async def work_out(self) -> int:
        self.begun += 1
        number = self.begun
        await self.let.wait()
        if self.fails:
            raise Unavailable("The ledger is away.")
        return number


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_it_is_worked_out_once_for_all_who_ask_meanwhile() -> None:
    bench = Bench()
    bench.let.clear()
    asked = [asyncio.create_task(bench.kept.get()) for _ in range(20)]
    await settle()
    bench.let.set()
    assert set(await asyncio.gather(*asked)) == {1}
    bench.now += 4
    assert await bench.kept.get() == 1


async def test_a_moment_later_nobody_waits_and_much_later_all_do() -> None:
    bench = Bench()
    assert await bench.kept.get() == 1
    bench.now += 6
    bench.let.clear()
    assert [await bench.kept.get(), await bench.kept.get()] == [1, 1]
    bench.let.set()
    await settle()
    assert (await bench.kept.get(), bench.begun) == (2, 2)
    bench.now += 20
    assert await bench.kept.get() == 3
    bench.now -= 3600
    assert await bench.kept.get() == 4, "a clock that was set back makes nothing fresh"


async def test_what_fails_is_told_to_those_who_wait_and_tried_again() -> None:
    bench = Bench()
    bench.fails = True
    for _ in range(2):
        with pytest.raises(Unavailable):
            await bench.kept.get()
    bench.fails = False
    assert await bench.kept.get() == 3
    bench.fails, bench.now = True, bench.now + 6
    assert await bench.kept.get() == 3
    await settle()
    bench.now += 20
    with pytest.raises(Unavailable):
        await bench.kept.get()


async def test_who_leaves_ends_it_for_nobody() -> None:
    bench = Bench()
    bench.let.clear()
    leaves, stays = (asyncio.create_task(bench.kept.get()) for _ in range(2))
    await settle()
    leaves.cancel()
    await settle()
    bench.let.set()
    assert await stays == 1
