"""What a person is promised holds whatever happens to clock, samples, ledger and service; and what they may ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.idle.fold import Thresholds
from mlabhub.core.idle.samples import Samples
from mlabhub.errors import LaunchRefused, NotFound
from mlabhub.ledger import LedgerUnavailable
from tests.service.idle.lab import HOUR, IdleLab, Use, make_catalog
from tests.service.idle.test_stops import until_due, until_over

GRACE_S = 15 * 60.0
HOLE_S = Thresholds().hole_s


async def real_grace(lab: IdleLab, launch: str, most: int = 120) -> float:
    """Let minutes go by until a launch that was warned is over; return how long that was by the steady clock."""
    told = lab.mono
    for _ in range(most):
        await lab.minutes()
        if lab.held(launch) != "held":
            return lab.mono - told
    raise AssertionError("it never ends")


# -- the clock


@pytest.mark.parametrize("step", [HOUR, 300.0, -300.0, -HOUR])
async def test_a_step_of_the_clock_shortens_nobodys_grace(lab: IdleLab, step: float) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    lab.now += step
    assert await real_grace(lab, launch) >= GRACE_S


@pytest.mark.parametrize("minutes", [0, 7])
@pytest.mark.parametrize("step", [300.0, 200.0, -300.0])
async def test_a_step_before_a_restart_shortens_nobodys_grace_either(lab: IdleLab, step: float, minutes: int) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    told = lab.mono
    lab.now += step
    await lab.minutes(minutes)
    await lab.crash()
    await real_grace(lab, launch)
    assert lab.mono - told >= GRACE_S


async def test_a_step_forth_while_the_service_is_down_takes_the_warning_back(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    lab.now += HOUR
    await lab.crash()
    assert await real_grace(lab, launch) >= GRACE_S  # the hour without samples is one that nobody knows of


# -- the service


async def test_a_restart_between_warning_and_stop_changes_nothing(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    warning = await lab.until_told(launch)
    began = lab.mono
    await lab.minutes(7)
    await lab.crash()
    await lab.idle.look()
    assert lab.warning(launch) == warning
    passed = await real_grace(lab, launch) + 7 * 60
    assert GRACE_S <= passed <= GRACE_S + HOLE_S + 120
    assert lab.mono - began == passed
    await lab.minutes(2)
    assert lab.news.of("alice") == ["idle_warned", "idle_stopped"]


async def test_killed_before_anybody_was_told_it_is_told_again_and_grace_begins_then(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    while lab.warning(launch) is None:
        await lab.minutes()
    at = lab.warning(launch).at
    await lab.crash()
    await lab.minutes()
    assert lab.news.of("alice") == ["idle_warned", "idle_warned"]
    assert lab.warning(launch).at == at
    warning = await lab.until_told(launch)
    assert warning.told - at >= 120


async def test_samples_that_are_not_read_yet_take_no_warning_back(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    warning = await lab.until_told(launch)
    await lab.crash()
    known, lab.meter.known = lab.meter.known, {}
    await lab.idle.look()
    assert (lab.warning(launch), lab.kind(launch)) == (warning, "unknown")
    lab.meter.known = known
    await lab.minutes()
    assert lab.warning(launch) == warning


# -- the ledger


class Full(LedgerUnavailable):
    """The disk is full."""


async def test_what_cannot_be_made_durable_is_not_delivered_and_stops_nothing(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.minutes(29)
    commit = lab.ledger.real.commit

    def full(records: Any) -> None:
        raise Full("The ledger's disk is full.")

    lab.ledger.real.commit = full
    await lab.minutes(60)
    assert lab.held(launch) == "held"
    assert lab.news.of("alice") == []
    assert lab.idle.undeliverable() == [launch]
    assert b"mlabhub_idle_undelivered 1.0" in lab.world.metrics.render(())
    lab.ledger.real.commit = commit
    await lab.until_told(launch)
    assert lab.idle.undeliverable() == []
    assert await real_grace(lab, launch) >= GRACE_S


async def test_a_delivery_that_cannot_be_recorded_is_none(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    while lab.warning(launch) is None:
        await lab.minutes()

    def full(records: Any) -> None:
        raise Full("The ledger's disk is full.")

    commit, lab.ledger.real.commit = lab.ledger.real.commit, full
    await lab.idle_desk.seen(launch, lab.warning(launch).at)
    await lab.minutes(30)
    assert lab.held(launch) == "held"
    assert lab.idle.undeliverable() == [launch]
    lab.ledger.real.commit = commit
    await lab.until_told(launch)
    assert await real_grace(lab, launch) >= GRACE_S


# -- samples


async def test_doubled_and_late_samples_change_nothing(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    for _ in range(5):
        lab.meter.measure(launch)
        lab.meter.measure(launch, lab.now - 240)
        await lab.minutes()
    assert lab.warning(launch) is not None
    assert await real_grace(lab, launch) >= GRACE_S - 300


async def test_a_busy_sample_that_comes_late_counts(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    await lab.minutes(5)
    lab.meter.use[launch] = Use(gpu=90.0)
    lab.meter.measure(launch, lab.now - 200)
    lab.meter.use[launch] = Use(gpu=0.0)
    await lab.minutes()
    assert lab.warning(launch) is None


async def test_a_hole_between_warning_and_stop_begins_anew(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    lab.meter.lost.add(launch)
    await lab.minutes(7)
    assert (lab.warning(launch), lab.kind(launch)) == (None, "unknown")
    lab.meter.lost.clear()
    await lab.minutes(29)
    assert lab.held(launch) == "held"
    await lab.until_told(launch)
    await until_over(lab, launch, 20)


async def test_what_nobody_can_read_is_never_stopped_and_administrators_hear_of_it_once(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    lab.meter.use[launch] = Use(gpu=None)
    await lab.minutes(20)
    assert lab.idle.unknown() == []
    await lab.minutes(600)
    assert lab.held(launch) == "held"
    assert [one.launch_id for one in lab.idle.unknown()] == [launch]
    assert [act for act, _ in lab.acts()].count("unknown") == 1
    overview = await lab.idle_desk.overview()
    assert [one.launch_id for one, _ in overview.unknown] == [launch]


async def test_samples_of_another_launch_stop_nothing(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await until_due(lab, launch)
    other = Samples("other")
    other.t, other.gpu = lab.meter.known[launch].t, lab.meter.known[launch].gpu
    lab.meter.known[launch].launch_id = "other"
    await lab.minutes(30)
    assert lab.held(launch) == "held"


async def test_an_agent_that_lies_holds_its_server_for_a_while_and_nobody_elses(lab: IdleLab) -> None:
    liar, honest = await lab.runs("alice"), await lab.runs("bob")
    lab.meter.use[liar] = Use(gpu=0.0, work=1)
    await lab.minutes(50)
    assert (lab.held(honest), lab.held(liar)) == ("released", "held")
    await lab.minutes(150)
    assert lab.held(liar) == "released"  # at three hours, grace included
    worker = await lab.runs("bob")
    lab.meter.use[worker] = Use(gpu=90.0, work=0)
    await lab.minutes(120)
    assert lab.held(worker) == "held"


# -- what a person asks for


async def test_kept_it_is_not_warned_before_that_is_over(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    view = await lab.idle_desk.extend(lab.person("alice"), "alice", "", 2 * HOUR, "a  long\nimport")
    assert (view.verdict, view.warning, view.keep_left) == ("idle", None, 2)
    assert view.keepings[0].reason == "a long import"
    assert "kept for 2 h" in str(lab.ledger.audit(limit=1)[0].message)
    assert lab.news.of("alice") == ["idle_warned", "idle_withdrawn"]
    await lab.minutes(119)
    assert lab.warning(launch) is None
    await lab.until_told(launch, 5)
    await until_over(lab, launch, 18)
    overview = await lab.idle_desk.overview()
    assert [(one.by, one.reason, launch.user) for one, launch in overview.keepings] == [
        ("alice", "a long import", "alice")
    ]


async def test_kept_as_often_and_as_long_as_the_policy_lets_them(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.minutes(40)
    for number in range(3):
        view = await lab.idle_desk.extend(lab.person("alice"), "alice", "", 99 * HOUR, str(number))
        assert view.keepings[-1].until - lab.now == pytest.approx(2 * HOUR, abs=60)
        await lab.minutes()
    with pytest.raises(LaunchRefused, match="kept 3 times"):
        await lab.idle_desk.extend(lab.person("alice"), "alice", "", HOUR, "more")
    with pytest.raises(LaunchRefused, match="kept 3 times"):
        await lab.idle_desk.extend_own(launch, HOUR, "more")
    assert lab.idle_desk.status(launch)["keep"] == {"left": 0, "most_s": 2 * HOUR}
    lab.meter.use[launch] = Use(gpu=50.0)
    await lab.minutes()
    lab.meter.use[launch] = Use()
    await lab.minutes(2)
    assert lab.idle_desk.status(launch)["keep"]["left"] == 3


async def test_what_was_kept_outlives_service_and_clock(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    await lab.idle_desk.extend_own(launch, 2 * HOUR, "")
    await lab.minutes(10)
    lab.now += 300.0
    await lab.minutes(10)
    await lab.crash()
    await lab.minutes(93)
    assert lab.warning(launch) is None


async def test_two_who_keep_it_at_once_count_twice(lab: IdleLab) -> None:
    import asyncio

    launch = await lab.runs("alice")
    await lab.minutes(40)
    asked = (lab.idle_desk.extend(lab.person("alice"), "alice", "", HOUR, str(n)) for n in range(5))
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, LaunchRefused) for one in answers) >= 2, answers
    assert lab.held(launch) == "held"


async def test_others_servers_are_not_there(lab: IdleLab) -> None:
    await lab.runs("alice")
    await lab.minutes(2)
    with pytest.raises(NotFound):
        lab.idle_desk.explain(lab.person("bob"), "alice", "")
    with pytest.raises(NotFound):
        await lab.idle_desk.extend(lab.person("bob"), "alice", "", HOUR, "")
    view = lab.idle_desk.explain(lab.person("root", admin=True), "alice", "")
    assert view.signals[0].name == "gpu"


async def test_being_stopped_it_is_not_kept(lab: IdleLab) -> None:
    from tests.doubles import unreachable
    from tests.service.idle.test_stops import answers

    launch = await lab.runs("alice")
    await until_due(lab, launch)
    lab.hub.stop = lambda user, server: answers(unreachable())
    await lab.minutes(2)
    with pytest.raises(LaunchRefused, match="being stopped"):
        await lab.idle_desk.extend_own(launch, HOUR, "")


# -- policies


async def test_the_longest_life_is_warned_and_ended_though_busy(tmp_path: Path) -> None:
    lab = await IdleLab(tmp_path, make_catalog(longest_hours=2)).boot()
    launch = await lab.runs("alice")
    lab.meter.use[launch] = Use(gpu=90.0)
    await lab.minutes(104)
    assert lab.warning(launch) is None
    warning = await lab.until_told(launch, 6)
    assert "as long as it may" in str(lab.news.items[-1].body)
    await lab.minutes(14)
    assert lab.held(launch) == "held"
    await lab.minutes(3)
    assert lab.held(launch) == "released"
    assert lab.now - warning.told >= GRACE_S
    await lab.halt()


async def test_nobody_is_warned_or_stopped_in_quiet_hours(tmp_path: Path) -> None:
    from datetime import datetime

    lab = await IdleLab(tmp_path, make_catalog(quiet_hours=["22:00-07:00"])).boot()
    while f"{datetime.fromtimestamp(lab.now):%H:%M}" != "21:20":
        lab.now += 1
    launch = await lab.runs("alice")
    await lab.minutes(36)
    assert lab.warning(launch).told is not None
    while datetime.fromtimestamp(lab.now).hour != 7:
        assert lab.held(launch) == "held"
        await lab.minutes()
    await lab.minutes(2)
    assert lab.held(launch) == "released"
    await lab.halt()


async def test_reminders_come_once_each_and_show_as_new(tmp_path: Path) -> None:
    lab = await IdleLab(tmp_path, make_catalog(grace_minutes=60, reminder_minutes=[30, 10])).boot()
    launch = await lab.runs("alice")
    first = await lab.until_told(launch)
    await lab.minutes(31)
    assert lab.news.of("alice") == ["idle_warned"] * 2
    assert lab.warning(launch).reminded == 1
    assert lab.idle_desk.status(launch)["warning"]["at"] > first.told
    await lab.crash()
    await lab.minutes(26)  # the grace is longer by a hole after a restart
    assert lab.news.of("alice") == ["idle_warned"] * 3
    assert lab.warning(launch).told == first.told
    await lab.minutes(12)
    assert lab.held(launch) == "released"
    await lab.halt()


async def test_a_dry_run_warns_nobody_and_keeps_what_it_would_have_done(tmp_path: Path) -> None:
    lab = await IdleLab(tmp_path, make_catalog(dry_run=True)).boot()
    used, ended = await lab.runs("alice"), await lab.runs("bob")
    await lab.minutes(200)
    assert lab.held(used) == lab.held(ended) == "held"
    assert lab.news.items == []
    assert lab.projection.warnings == {}
    assert {one.launch_id for one in lab.ledger.would_stops(0)} == {used, ended}
    assert len(lab.ledger.would_stops(0)) == 2
    lab.meter.use[used] = Use(gpu=60.0)
    await lab.stop("bob")
    await lab.minutes(2)
    lab.meter.use[used] = Use(gpu=0.0)
    await lab.minutes(60)
    found = sorted(lab.ledger.would_stops(0), key=lambda one: (one.launch_id, one.at))
    assert [(one.launch_id, one.again is not None, one.ended is not None) for one in found] == [
        (used, True, False),
        (used, False, False),
        (ended, False, True),
    ]
    overview = await lab.idle_desk.overview()
    assert sum(one.regretted for one in overview.would_stops) == 1
    assert 2.0 < max(one.gpu_hours for one in overview.would_stops) < 3.0
    text = lab.world.metrics.render(()).decode()
    assert 'mlabhub_idle_events_total{event="would_stop"} 3.0' in text
    assert 'mlabhub_idle_events_total{event="would_regret"} 1.0' in text
    await lab.halt()


async def test_a_policy_that_becomes_a_dry_run_takes_its_warnings_back(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    lab.catalog.catalog = make_catalog(dry_run=True).located("/nowhere/nas")
    await lab.minutes()
    assert lab.warning(launch) is None
    await lab.minutes(60)
    assert lab.held(launch) == "held"


async def test_what_is_counted(lab: IdleLab) -> None:
    launch = await lab.runs("alice")
    await lab.until_told(launch)
    await lab.idle_desk.extend_own(launch, 60, "")
    await lab.minutes(2)
    await until_due(lab, launch)
    await until_over(lab, launch)
    text = lab.world.metrics.render(()).decode()
    for event, count in {"warned": 2, "told_home": 2, "withdrawn": 1, "kept": 1, "stopped": 1, "released": 0}.items():
        assert f'mlabhub_idle_events_total{{event="{event}"}} {count}.0' in text, event
    assert 'mlabhub_idle_verdicts{verdict="stop"} 0.0' in text
