"""From the first minute of idleness to the stop: what is warned, when grace begins, and what never stops."""

from __future__ import annotations

import pytest

from tests.service.idle.lab import IdleLab, Use


async def test_a_silent_training_lives(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    lab.meter.use[launch] = Use(gpu=95.0, cores=1.0)
    await lab.minutes(180)
    assert (lab.kind(launch), lab.held(launch), lab.news.items) == ("active", "held", [])


async def test_a_forgotten_server_is_warned_then_stopped_and_not_before(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.minutes(30)
    assert lab.warning(launch) is None
    warning = await lab.until_told(launch)
    assert warning.way == "home"
    assert warning.told - warning.at >= 120
    assert lab.news.of("alice") == ["idle_warned"]
    while lab.now + 60 < warning.told + 15 * 60:
        await lab.minutes()
        assert lab.held(launch) == "held"
    await lab.minutes(2)
    assert lab.held(launch) == "released"
    assert lab.now <= warning.told + 17 * 60
    await lab.minutes()
    assert lab.news.of("alice") == ["idle_warned", "idle_stopped"]
    assert [act for act, _ in lab.acts() if act in ("warn", "stop")] == ["warn", "warn", "stop"]
    assert lab.projection.warnings == {}


@pytest.mark.parametrize("way", ["tool", "message"])
async def test_grace_begins_when_a_tool_or_a_mail_server_had_it(lab: IdleLab, way: str) -> None:
    launch = await lab.runs("alice")
    while lab.warning(launch) is None:
        await lab.minutes()
    at = lab.warning(launch).at
    await lab.beat(30)
    if way == "tool":
        await lab.idle_desk.seen(launch, at)
    else:
        await lab.idle.delivery.taken(lab.news.items[-1])
    warning = lab.warning(launch)
    assert (warning.way, warning.told) == (way, lab.now)
    assert lab.idle_desk.status(launch)["warning"]["at"] == at


async def test_used_again_it_goes_on(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    lab.meter.use[launch] = Use(gpu=50.0)
    await lab.minutes()
    assert lab.warning(launch) is None
    assert lab.news.of("alice") == ["idle_warned", "idle_withdrawn"]
    await lab.minutes(60)
    assert lab.held(launch) == "held"
