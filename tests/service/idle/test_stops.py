"""The stop itself: looked at once more, asked for until it is over, and taken back where the server is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlabhub.errors import MLabError, NotFound, Unavailable
from mlabhub.ledger import ReclaimNotice, Reservation
from mlabhub.service.writer import Outcome
from tests.doubles import unreachable
from tests.service.idle.lab import IdleLab, Use, make_catalog


async def until_due(lab: IdleLab, launch: str) -> None:
    """Let all but the last minute of the grace go by."""
    warning = await lab.until_told(launch)
    while lab.now + 60 < warning.told + 15 * 60:
        await lab.minutes()
    assert lab.held(launch) == "held"


async def until_over(lab: IdleLab, launch: str, most: int = 8) -> None:
    """Let some minutes go by until a launch is over."""
    for _ in range(most):
        if lab.held(launch) == "released":
            await lab.minutes()  # who was stopped is told at the next look
            return
        await lab.minutes()
    raise AssertionError(f"it goes on: {lab.held(launch)}, {lab.kind(launch)}")


async def test_it_is_looked_at_once_more_right_before(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    await lab.beat(59)
    lab.meter.tick()

    async def look_now(launch_ids: Any) -> None:
        lab.meter.use[launch] = Use(gpu=80.0)  # it begins to work after the minute's sample, and before the look
        lab.meter.measure(launch)

    lab.meter.look_now = look_now
    await lab.beat(1)
    await lab.idle.look()
    await lab.settle()
    assert lab.held(launch) == "held"
    assert "stop" not in [act for act, _ in lab.acts()]
    await lab.minutes(2)
    assert (lab.warning(launch), lab.kind(launch)) == (None, "active")


async def test_what_cannot_be_read_right_before_is_not_stopped(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    lab.meter.fails = Unavailable("No driver.")
    await lab.minutes(3)
    assert lab.held(launch) == "held"
    lab.meter.fails = None
    await until_over(lab, launch, 3)


async def answers(error: MLabError | None) -> None:
    if error is not None:
        raise error


async def being_stopped(lab: IdleLab) -> tuple[str, Any]:
    """Return a launch that is being stopped while the hub does not answer, and how the hub stops when it does."""
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    stops = lab.hub.stop
    lab.hub.stop = lambda user, server: answers(unreachable())
    await lab.minutes(2)
    assert lab.held(launch) == "stopping"
    return launch, stops


@pytest.mark.parametrize(
    "error",
    [None, NotFound("gone", hub_status=404), MLabError("oops", hub_status=500), unreachable()],
    ids=["202", "404", "500", "time-out"],
)
async def test_a_stop_that_comes_to_nothing_is_asked_for_again(lab: IdleLab, error: MLabError | None) -> None:
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    asked: list[str] = []
    real, lab.hub.stop = lab.hub.stop, lambda user, server: (asked.append(user), answers(error))[1]
    await lab.minutes(3)
    assert lab.held(launch) == "stopping"
    assert len(asked) >= 2
    assert len(lab.meter.looks) >= len(asked)  # each time it was looked first
    lab.hub.stop = real
    await until_over(lab, launch)
    assert lab.news.of("alice") == ["idle_warned", "idle_stopped"]


async def test_used_while_the_hub_is_away_it_goes_on(lab: IdleLab) -> None:
    launch, stops = await being_stopped(lab)
    lab.meter.use[launch] = Use(gpu=70.0)
    lab.hub.stop = stops
    await lab.look(11)
    await lab.settle()
    assert lab.held(launch) == "held"
    assert lab.warning(launch) is None
    assert lab.news.of("alice") == ["idle_warned", "idle_withdrawn"]
    await lab.minutes(20)
    assert (lab.held(launch), lab.kind(launch)) == ("held", "active")
    assert "resume" in [act for act, _ in lab.acts()]


async def test_touched_between_the_last_look_and_the_stop_it_goes_on(lab: IdleLab) -> None:
    """The look is fresh still, but the agent has said something since."""
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    await lab.beat(60)
    lab.meter.tick()
    may_stop = lab.idle.stopping.may_stop

    async def touched(one: Reservation) -> bool:
        lab.meter.use[launch] = Use(touched=lab.now)
        return await may_stop(one)

    lab.idle.stopping.may_stop = touched
    await lab.idle.look()
    await lab.settle()
    assert "stop" in [act for act, _ in lab.acts()]
    assert lab.held(launch) == "held"
    assert lab.warning(launch) is None


async def test_used_while_all_is_away_it_goes_on(lab: IdleLab) -> None:
    """The hub is silent, so the queue makes no stop; the minute's look alone takes it back."""
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    lab.hub.fault = unreachable()
    await lab.minutes(2)
    assert lab.held(launch) == "stopping"
    lab.meter.use[launch] = Use(gpu=70.0)
    await lab.minutes()
    assert lab.held(launch) == "held"
    lab.hub.fault = None
    await lab.minutes(3)
    assert lab.held(launch) == "held"


async def test_unknown_while_the_hub_is_away_it_is_not_asked_for(lab: IdleLab) -> None:
    launch, stops = await being_stopped(lab)
    lab.meter.use[launch] = Use(gpu=None)
    lab.hub.stop = stops
    for _ in range(4):
        await lab.look(11)
        await lab.settle()
        assert lab.held(launch) == "stopping"
    await lab.minutes(7)
    assert lab.held(launch) == "held"
    assert lab.warning(launch) is None


async def test_a_restart_while_stopping_asks_again_and_looks_first(lab: IdleLab) -> None:
    launch, stops = await being_stopped(lab)
    await lab.crash()
    lab.hub.stop = stops
    looked = len(lab.meter.looks)
    await lab.minutes()
    await until_over(lab, launch)
    assert len(lab.meter.looks) > looked
    assert lab.news.of("alice") == ["idle_warned", "idle_stopped"]


async def test_a_restart_while_stopping_finds_it_used(lab: IdleLab) -> None:
    launch, stops = await being_stopped(lab)
    await lab.crash()
    lab.meter.use[launch] = Use(gpu=70.0)
    lab.hub.stop = stops
    await lab.minutes(5)
    assert lab.held(launch) == "held"


async def test_a_notice_in_force_is_not_crossed(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    notice = ReclaimNotice(launch, lab.now, lab.now + 3600, "e", changed=lab.now)
    await lab.world.writer.submit(lambda _: Outcome(None, (notice,)))
    lab.world.queue._make = lambda *_: answers(None)  # the queue would find that nobody needs it
    await lab.beat(60)
    lab.meter.tick()
    await lab.idle.look()
    await lab.idle.look()
    assert lab.held(launch) == "held"
    assert lab.warning(launch) is not None


async def test_two_looks_at_once_stop_once(lab: IdleLab) -> None:
    import asyncio

    launch = await lab.runs("alice")
    await until_due(lab, launch)
    await lab.beat(60)
    lab.meter.tick()
    await asyncio.gather(*(lab.idle.look() for _ in range(4)))
    await lab.settle()
    await lab.minutes()
    assert [act for act, _ in lab.acts()].count("stop") == 1
    assert lab.hub.calls.count("stop alice/") == 1


async def test_another_launch_of_that_name_has_a_life_of_its_own(lab: IdleLab) -> None:
    first = await lab.runs("alice")
    await until_due(lab, first)
    await lab.stop("alice")
    await lab.look(5)
    second = await lab.runs("alice")
    assert second != first
    await lab.minutes(20)
    assert lab.held(second) == "held"
    assert lab.warning(first) is lab.warning(second) is None


async def test_the_hub_restarts_between_warning_and_stop(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    warning = await lab.until_told(launch)
    lab.hub.fault = unreachable()
    await lab.minutes(5)
    lab.hub.fault = None
    await lab.minutes(5)
    assert lab.warning(launch) == warning
    await lab.minutes(6)
    await until_over(lab, launch, 2)


async def test_releases_the_gpu_where_the_policy_says_so(tmp_path: Path) -> None:
    lab = await IdleLab(tmp_path, make_catalog(action="release-gpu")).boot()
    given: list[str] = []

    async def release(launch_id: str, why: object) -> None:
        given.append(launch_id)
        lab.meter.use[launch_id] = Use(gpu=0.0)

    launch = await lab.runs("alice")
    await until_due(lab, launch)
    await lab.minutes(2)
    assert lab.held(launch) == "held"  # nobody here gives GPUs back
    lab.idle.stopping.release = release
    await lab.minutes()
    assert given == [launch]
    assert lab.held(launch) == "held"
    assert lab.warning(launch) is None
    plain = await lab.runs("bob", gpus=0)
    await lab.minutes(90)
    assert lab.held(plain) == "released"  # one without GPUs has none to give
    await lab.halt()


async def test_does_nothing_but_warn_where_the_policy_says_so(tmp_path: Path) -> None:
    lab = await IdleLab(tmp_path, make_catalog(action="nothing")).boot()
    launch = await lab.runs("alice")
    await lab.minutes(180)
    assert lab.held(launch) == "held"
    assert lab.news.of("alice") == ["idle_warned"]
    assert "Nothing happens to it" in str(lab.news.items[0].body)
    await lab.halt()
