"""Somebody waits: those who do not use theirs are asked, once, anonymously, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.errors import MLabError
from mlabhub.ledger import ReclaimNotice
from mlabhub.service.news import SomebodyWaits
from mlabhub.service.nudging import Nudging
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.queue.lab import Lab

HALF_HOUR = 1800.0


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    one = await Lab(tmp_path).boot()
    yield one
    await one.halt()


async def look(lab: Lab) -> list[str]:
    """Let it be looked; return who was asked."""
    return [one.user for one in await Nudging(lab.world, lambda: HALF_HOUR).look()]


async def full(lab: Lab, unused: float = 2 * HALF_HOUR) -> str:
    """Let alice hold everything and not use it, and carol wait; return carol's entry."""
    await lab.runs("alice", "train", gpus=4)
    lab.uses("alice", "train")
    await lab.look(unused - 120)
    waiting = await lab.waits("carol", gpus=2)
    await lab.look(120)
    return waiting


async def test_who_does_not_use_theirs_is_asked_and_learns_not_by_whom(lab: Lab) -> None:
    waiting = await full(lab)
    assert await look(lab) == ["alice"]
    (item,) = (one for one in lab.news.items if isinstance(one, SomebodyWaits))
    assert (item.user, item.server, item.kind, item.wanted) == ("alice", "train", "somebody_waits", "2 GPU")
    assert item.page == f"release/{item.launch_id}"
    assert "carol" not in str(item.title) + str(item.body)
    (nudge,) = lab.projection.nudges.values()
    assert (nudge.user, nudge.entry, nudge.at) == ("alice", waiting, lab.now)
    assert ("nudge", "alice") in lab.acts()


async def test_never_more_than_once_an_hour_also_across_a_crash(lab: Lab) -> None:
    await full(lab)
    assert await look(lab) == ["alice"]
    await lab.crash()
    await lab.look(1)
    assert await look(lab) == []
    await lab.look(3598)
    assert await look(lab) == []
    await lab.look(1)
    assert await look(lab) == ["alice"]
    assert lab.news.of("alice").count("somebody_waits") == 2


async def test_another_server_of_the_same_person_is_no_way_around(lab: Lab) -> None:
    await lab.runs("alice", "a", gpus=2)
    await lab.runs("alice", "b", gpus=2)
    for server in ("a", "b"):
        lab.uses("alice", server)
    await lab.look(2 * HALF_HOUR)
    await lab.waits("carol", gpus=1)
    await lab.look(120)
    assert await look(lab) == ["alice"]
    await lab.stop("alice", "a")
    await lab.look(1)
    await lab.waits("dave", gpus=2)
    await lab.look(1200)
    assert await look(lab) == []


async def test_who_used_theirs_lately_is_not_asked(lab: Lab) -> None:
    await full(lab)
    lab.uses("alice", "train")
    assert await look(lab) == []


async def test_unknown_is_not_unused(lab: Lab) -> None:
    await full(lab)
    known = lab.hub.servers["alice", "train"]
    for unknown in (
        replace(known, last_activity=None),
        replace(known, ready=False),
        replace(known, pending="stop"),
        replace(known, user_options={"launch_id": "another"}),
        replace(known, last_activity=lab.now + 3600),
    ):
        lab.hub.servers["alice", "train"] = unknown
        assert await look(lab) == []
    lab.hub.servers["alice", "train"] = known
    assert await look(lab) == ["alice"]


async def test_activity_before_it_was_ready_does_not_make_it_unused_for_longer(lab: Lab) -> None:
    await lab.runs("alice", "train", gpus=4)
    lab.hub.servers["alice", "train"] = replace(lab.hub.servers["alice", "train"], last_activity=1.0)
    await lab.waits("carol", gpus=2)
    await lab.look(120)
    assert await look(lab) == []


async def test_while_the_hub_is_silent_nobody_is_asked(lab: Lab) -> None:
    await full(lab)
    lab.hub.fault = unreachable()
    with pytest.raises(MLabError):
        await look(lab)
    assert not lab.projection.nudges
    lab.hub.fault = None
    assert await look(lab) == ["alice"]


async def test_nobody_is_asked_and_the_hub_neither_while_nobody_waits(lab: Lab) -> None:
    await lab.runs("alice", gpus=4)
    await lab.look(4 * HALF_HOUR)
    lab.hub.calls.clear()
    assert await look(lab) == []
    assert lab.hub.calls == []


async def test_who_was_told_to_give_back_is_not_asked(lab: Lab) -> None:
    waiting = await full(lab)
    one = lab.projection.of_server("alice", "train")
    assert one is not None
    notice = ReclaimNotice(one.launch_id, lab.now, lab.now + 600, waiting)
    await lab.world.writer.submit(lambda _: Outcome(None, (notice,)))
    assert await look(lab) == []


async def test_what_cannot_be_kept_is_not_told(lab: Lab) -> None:
    await full(lab)
    lab.ledger.away = OSError("gone")
    with pytest.raises(Exception, match=r".+"):
        await look(lab)
    assert "somebody_waits" not in lab.news.of("alice")


async def test_it_looks_for_ever_whatever_fails(lab: Lab) -> None:
    await full(lab)
    faults = [unreachable(), ValueError("a mistake"), None]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not faults:
            raise asyncio.CancelledError
        lab.hub.fault = faults.pop(0)

    with pytest.raises(asyncio.CancelledError):
        await Nudging(lab.world, lambda: HALF_HOUR).run(sleep)
    assert slept == [60.0] * 4
    assert lab.news.of("alice").count("somebody_waits") == 1
