"""Somebody waits: those who do not use theirs are asked, once, anonymously, whatever fails meanwhile.

Whether a server is used is the idle watch's to say; its samples are made, its verdicts are real.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mlabhub.core.capacity import Capacity
from mlabhub.errors import MLabError
from mlabhub.ledger import ReclaimNotice
from mlabhub.service.news import SomebodyWaits
from mlabhub.service.nudging import Nudging
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.idle.lab import IdleLab, Use, make_catalog

HALF_HOUR = 1800.0
HOUR_MINUTES = 60
NEVER_WARNED = {"with_gpu": {"window_minutes": 10_000}, "keep_hours": 8, "keep_times": 9}


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[IdleLab]:
    one = await IdleLab(tmp_path, make_catalog(**NEVER_WARNED)).boot()
    yield one
    await one.halt()


async def look(lab: IdleLab) -> list[str]:
    """Let it be looked; return who was asked."""
    return [one.user for one in await Nudging(lab.world, lambda: HALF_HOUR).look()]


def train(lab: IdleLab) -> str:
    """Return the launch of alice's."""
    one = lab.projection.of_server("alice", "train")
    assert one is not None
    return one.launch_id


async def full(lab: IdleLab) -> str:
    """Let alice hold everything and not use it for an hour, and carol wait; return carol's entry."""
    await lab.runs("alice", "train", gpus=4)
    await lab.minutes(HOUR_MINUTES - 2)
    waiting = await lab.waits("carol", gpus=2)
    await lab.minutes(2)
    return waiting


async def test_who_does_not_use_theirs_is_asked_and_learns_not_by_whom(lab: IdleLab) -> None:
    waiting = await full(lab)
    assert await look(lab) == ["alice"]
    (item,) = (one for one in lab.news.items if isinstance(one, SomebodyWaits))
    assert (item.user, item.server, item.kind, item.wanted) == ("alice", "train", "somebody_waits", "2 GPU")
    assert item.page == f"release/{item.launch_id}"
    assert "carol" not in str(item.title) + str(item.body)
    (nudge,) = lab.projection.nudges.values()
    assert (nudge.user, nudge.entry, nudge.at) == ("alice", waiting, lab.now)
    assert ("nudge", "alice") in lab.acts()


async def test_never_more_than_once_an_hour_also_across_a_crash(lab: IdleLab) -> None:
    await full(lab)
    assert await look(lab) == ["alice"]
    await lab.crash()
    await lab.minutes()
    assert await look(lab) == []
    await lab.minutes(58)
    assert await look(lab) == []
    await lab.minutes()
    assert await look(lab) == ["alice"]
    assert lab.news.of("alice").count("somebody_waits") == 2


async def test_another_server_of_the_same_person_is_no_way_around(lab: IdleLab) -> None:
    await lab.runs("alice", "a", gpus=2)
    await lab.runs("alice", "b", gpus=2)
    await lab.minutes(HOUR_MINUTES)
    await lab.waits("carol", gpus=1)
    await lab.minutes(2)
    assert await look(lab) == ["alice"]
    await lab.stop("alice", "a")
    await lab.minutes()
    await lab.waits("dave", gpus=2)
    await lab.minutes(20)
    assert await look(lab) == []


async def test_a_silent_training_run_is_used_and_an_open_tab_is_not(lab: IdleLab) -> None:
    launch_id = await lab.runs("alice", "train", gpus=4)
    lab.uses("alice", "train")
    lab.meter.use[launch_id] = Use(gpu=97.0)
    await lab.minutes(HOUR_MINUTES)
    await lab.waits("carol", gpus=2)
    await lab.minutes(2)
    assert await look(lab) == []
    lab.meter.use[launch_id] = Use()
    for _ in range(HOUR_MINUTES):
        lab.uses("alice", "train")
        await lab.minutes()
    assert await look(lab) == ["alice"]


async def test_who_used_theirs_lately_is_not_asked(lab: IdleLab) -> None:
    await full(lab)
    launch_id = train(lab)
    lab.meter.use[launch_id] = Use(gpu=50.0)
    await lab.minutes()
    lab.meter.use[launch_id] = Use()
    await lab.minutes(20)
    assert await look(lab) == []


async def test_unknown_is_not_unused(lab: IdleLab) -> None:
    await full(lab)
    launch_id = train(lab)
    lab.meter.lost.add(launch_id)
    await lab.minutes(10)
    assert (lab.kind(launch_id), await look(lab)) == ("unknown", [])


async def test_what_nobody_has_judged_yet_is_not_unused(lab: IdleLab) -> None:
    await full(lab)
    await lab.crash()
    await lab.look(1)
    assert await look(lab) == []
    await lab.minutes()
    assert await look(lab) == ["alice"]


async def test_who_asked_to_keep_theirs_is_not_asked_meanwhile(lab: IdleLab) -> None:
    await full(lab)
    await lab.idle_desk.extend(lab.person("alice"), "alice", "train", HALF_HOUR)
    assert await look(lab) == []
    await lab.minutes(31)
    assert await look(lab) == ["alice"]


async def test_keys_are_use_for_some_hours_and_no_longer(lab: IdleLab) -> None:
    await full(lab)
    launch_id = train(lab)
    for minutes, asked in ((30, []), (8 * HOUR_MINUTES, ["alice"])):
        for _ in range(minutes):
            lab.meter.use[launch_id] = Use(touched=lab.now)
            await lab.minutes()
        assert await look(lab) == asked, minutes


async def test_the_time_before_it_was_ready_does_not_make_it_unused_for_longer(lab: IdleLab) -> None:
    await lab.look(4 * HALF_HOUR)
    await lab.runs("alice", "train", gpus=4)
    await lab.waits("carol", gpus=2)
    await lab.minutes(2)
    assert await look(lab) == []


async def test_while_the_machines_are_silent_nobody_is_asked(lab: IdleLab) -> None:
    await full(lab)
    lab.backend.down = True
    lab.mono += HALF_HOUR  # so that what they said before is forgotten
    with pytest.raises(MLabError):
        await look(lab)
    assert not lab.projection.nudges
    lab.backend.down = False
    assert await look(lab) == ["alice"]


async def test_nobody_is_asked_and_the_machines_neither_while_nobody_waits(lab: IdleLab) -> None:
    await lab.runs("alice", gpus=4)
    await lab.minutes(HOUR_MINUTES)
    lab.backend.down = True
    lab.mono += HALF_HOUR  # so that what they said before is forgotten
    assert await look(lab) == []


async def test_who_was_told_to_give_back_is_not_asked(lab: IdleLab) -> None:
    waiting = await full(lab)
    one = lab.projection.of_server("alice", "train")
    assert one is not None
    notice = ReclaimNotice(one.launch_id, lab.now, lab.now + 600, waiting)
    await lab.world.writer.submit(lambda _: Outcome(None, (notice,)))
    assert await look(lab) == []


async def test_what_cannot_be_kept_is_not_told(lab: IdleLab) -> None:
    await full(lab)
    lab.ledger.away = OSError("gone")
    with pytest.raises(Exception, match=r".+"):
        await look(lab)
    assert "somebody_waits" not in lab.news.of("alice")


async def test_it_looks_for_ever_whatever_fails(lab: IdleLab, monkeypatch: pytest.MonkeyPatch) -> None:
    await full(lab)
    faults = [unreachable(), ValueError("a mistake"), None]
    slept: list[float] = []
    capacity = lab.world.capacity.get

    async def get() -> Capacity:
        if (fault := faults.pop(0)) is not None:
            raise fault
        return await capacity()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not faults:
            raise asyncio.CancelledError

    monkeypatch.setattr(lab.world.capacity, "get", get)
    with pytest.raises(asyncio.CancelledError):
        await Nudging(lab.world, lambda: HALF_HOUR).run(sleep)
    assert slept == [60.0] * 4
    assert lab.news.of("alice").count("somebody_waits") == 1
