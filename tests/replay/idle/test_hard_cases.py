"""Servers that usual rules judge wrongly: who works is kept, who does not is warned and stopped."""

from __future__ import annotations

from random import Random

import pytest

from mlabhub.core.idle.presets import DEFAULT, PRESETS
from mlabhub.replay.idle.order import arrange
from tests.replay.idle.traces import HOUR, MINUTE, START, replayed, stops, trace

EAGER = DEFAULT.at(1.0)
RANDOM = Random(1)

WORKS = {
    "a silent training run whose tab was closed days ago": trace(gpu=97.0, last_activity=START - 90 * HOUR),
    "a run whose loader lets the GPU work once in a while": trace(gpu=lambda m: 80.0 if m % 11 == 0 else 0.0),
    "one busy GPU of four": trace(gpu=[0.0, 0.0, 55.0, 0.0]),
    "small work of 4 to 9 percent with one core": trace(gpu=lambda m: 4.0 + m % 6, cpu_cores=1.0),
    "small work, while the processors are not known": trace(gpu=6.0, cpu_cores=None),
    "a part of a GPU, which nobody can measure": trace(gpu=[None], cpu_cores=0.02),
    "one GPU of two is not measured": trace(gpu=[0.0, None]),
    "nothing but numbers that are none": trace(gpu=[float("nan")]),
    "a percentage beyond all": trace(gpu=[-1.0]),
    "a training run with holes of an hour": [
        line for line in trace(gpu=lambda m: 90.0 if m % 23 < 5 else 0.0) if (line["t"] - START) % 7200 < 3600
    ],
    "no lines for an hour again and again": [line for line in trace(gpu=0.0) if (line["t"] - START) % 4500 < 900],
}
STANDS = {
    "a forgotten tab that renews its last activity": trace(last_activity=lambda m: START + m * MINUTE),
    "a last activity that is forged into the future": trace(last_activity=lambda m: START + (m + 59) * MINUTE),
    "memory that is held": trace(gpu_mem_used=[75e9], cpu_cores=0.01),
    "a look at the GPU every few minutes": trace(gpu=lambda m: 2.0 if m % 5 == 0 else 0.0, cpu_cores=0.05),
    "the same, while the processors are not known": trace(gpu=lambda m: 1.0 + m % 2),
    "a desktop that draws a clock": trace(gpu=lambda m: RANDOM.uniform(1, 2), cpu_cores=lambda m: 0.05 + m % 4 / 20),
    "a desktop that draws more": trace(gpu=5.0, cpu_cores=0.2),
    "a loop that moves the mouse": trace(input_age=3.0, cpu_cores=0.1),
    "a loop that burns a core": trace(cpu_cores=1.0),
    "a server that says a kernel is busy": trace(kernels_busy=1, terminals_busy=1),
    "four GPUs, all idle": trace(gpu=[0.0, 0.0, 0.0, 0.0]),
    "every tenth line missing, every seventh doubled": [
        line for number, line in enumerate(trace()) if number % 10 for _ in range(2 if number % 7 == 0 else 1)
    ],
    "lines of five minutes": trace(tick=300.0),
    "lines of ten minutes": trace(tick=600.0),
    "lines of a quarter of an hour": trace(tick=900.0),
    "lines of five minutes that are shuffled": RANDOM.sample(list(trace(tick=300.0)), 120),
    "lines that stand the wrong way round": list(trace())[::-1],
}


@pytest.mark.parametrize("policy", [DEFAULT, EAGER], ids=["default", "eager"])
@pytest.mark.parametrize("lines", [list(one) for one in WORKS.values()], ids=list(WORKS))
def test_nobody_who_works_or_of_whom_nothing_is_known_is_stopped(lines, policy):
    assert stops(lines, policy) == []


@pytest.mark.parametrize("lines", [list(one) for one in STANDS.values()], ids=list(STANDS))
def test_who_holds_a_gpu_for_nothing_is_stopped_once_after_a_warning(lines):
    decisions = replayed(lines).decisions
    assert [one.action for one in decisions] == ["warn", "stop"]
    assert decisions[1].t - decisions[0].t >= DEFAULT.grace_s
    assert START + 80 * MINUTE < decisions[1].t < START + 5 * HOUR


def test_the_first_busy_moment_withdraws_the_warning():
    lines = list(trace(hours=2, gpu=lambda m: 60.0 if m == 80 else 0.0))
    actions = [(one.action, str(one.reason)) for one in replayed(lines).decisions]
    assert [action for action, _ in actions] == ["warn", "keep"]
    assert actions[1][1] == "It was used: the warning does not hold any more. At work: GPU at 60 %."


def test_a_touch_after_the_warning_keeps_it_for_a_while():
    lines = trace(hours=4, input_age=lambda m: 1.0 if m == 80 else None)
    found = [(one.action, (one.t - START) / MINUTE) for one in replayed(lines).decisions]
    assert found == [("warn", 75.0), ("keep", 80.0), ("warn", 110.0), ("stop", 125.0)]


def test_a_hole_after_the_warning_withdraws_it_and_begins_anew():
    lines = [line for line in trace(hours=6) if not 78 <= (line["t"] - START) / MINUTE < 150]
    found = [(one.action, (one.t - START) / MINUTE) for one in replayed(lines).decisions]
    assert found == [("warn", 75.0), ("keep", 150.0), ("warn", 225.0), ("stop", 240.0)]


def test_unknown_lines_before_the_deadline_stop_nothing():
    lines = trace(hours=3, gpu=lambda m: [None] if m >= 85 else [0.0])
    found = replayed(lines).decisions
    assert [one.action for one in found] == ["warn", "keep"]
    assert "not known" in str(found[1].reason).lower()


def test_one_failed_reading_neither_stops_nor_withdraws():
    lines = trace(hours=2, gpu=lambda m: [None] if m == 90 else [0.0])
    found = [(one.action, (one.t - START) / MINUTE) for one in replayed(lines).decisions]
    assert found == [("warn", 75.0), ("stop", 91.0)]


@pytest.mark.parametrize("policy", [DEFAULT, EAGER, PRESETS["princeton"], PRESETS["gpu-pruner"]], ids=lambda p: p.name)
@pytest.mark.parametrize("step", [-HOUR, HOUR, -24 * HOUR, 24 * HOUR])
@pytest.mark.parametrize("when", [20, 45, 79, 200])
def test_a_step_of_the_clock_never_shortens_what_a_person_is_given(step, when, policy):
    worked_until = 60
    lines = list(
        trace(
            hours=40,
            gpu=lambda m: 90.0 if m < worked_until else 0.0,
            clock=lambda t: t + (step if t >= START + when * MINUTE else 0.0),
        )
    )
    told = None
    true_time = {}
    for number, line in enumerate(lines):
        true_time.setdefault(line["t"], []).append(START + number * MINUTE)
    for one in replayed(lines, policy).decisions:
        earliest, latest = min(true_time[one.t]), max(true_time[one.t])
        if one.action == "warn" and told is None:
            told = earliest
        if one.action == "keep":
            told = None
        if one.action == "stop":
            assert latest >= START + worked_until * MINUTE + 600
            assert latest - told >= policy.grace_s
    assert [one.action for one in replayed(lines, policy).decisions][-1:] == ["stop"]


def test_a_late_busy_line_counts_where_it_belongs():
    lines = list(trace(hours=3))
    busy = {**lines[70], "gpu_util": [95.0]}
    found = [*lines[:75], busy, *lines[75:]]
    assert stops(found)[0] == 70 + 90


def test_lines_that_are_swapped_change_little():
    lines = list(trace(hours=3))
    for at in range(3, len(lines) - 4, 4):
        lines[at], lines[at + 2] = lines[at + 2], lines[at]
    assert 90 <= stops(lines)[0] <= 93


def test_after_its_end_the_same_name_is_a_new_server():
    first = list(trace(hours=1.4))
    first[-1]["end"] = True
    second = list(trace(hours=1.2, start=START + 1.4 * HOUR))
    found = replayed([*first, *second])
    assert [one.action for one in found.decisions] == ["warn"]
    assert found.totals.servers == 2


def test_after_a_stop_nothing_is_said_until_it_is_seen_at_work():
    found = replayed(trace(hours=8, gpu=lambda m: 70.0 if m in (300, 301) else 0.0))
    assert [one.action for one in found.decisions] == ["warn", "stop", "warn", "stop"]
    assert found.totals.wanted_again == 1
    assert found.totals.gpu_hours_reclaimed == pytest.approx((299 - 90) / 60 + (479 - 391) / 60, abs=0.1)


@pytest.mark.parametrize("tick", [MINUTE, 5 * MINUTE])
def test_lines_that_are_swapped_change_nothing(tick):
    lines = list(trace(hours=6, tick=tick, gpu=lambda m: 90.0 if m < 30 else 0.0))
    swapped = list(lines)
    for at in range(0, len(lines) - 4, 5):
        swapped[at], swapped[at + 4] = swapped[at + 4], swapped[at]
    assert stops(swapped) == stops(lines)


def test_a_clock_that_was_set_back_is_not_taken_for_lines_that_came_late():
    ahead = [START + 60 * minute for minute in range(100)]
    assert arrange(ahead) is None
    assert arrange([*ahead, *ahead]) == list(range(200))
    assert arrange([3.0, 1.0, 2.0]) == [1, 2, 0]
