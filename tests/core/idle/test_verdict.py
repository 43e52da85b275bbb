"""Warnings, deliveries, grace, extensions, quiet hours, longest life and identity, one by one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timezone

import pytest

from mlabhub.core.idle.keeping import decide_keeping
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import PRESETS
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.core.idle.state import Extension, State
from mlabhub.core.idle.verdict import Kind, Verdict, Why, assess
from mlabhub.core.idle.words import say, signals
from mlabhub.messages import Message

DAY = 86_400.0
T = 20_000 * DAY
M = 60.0
POLICY = Policy(grace_s=15 * M)
NOTHING_SAID = State()
WARNED = State(warned_at=T + 80 * M)


def idle_for(minutes: int, *, gpu: float | None = 0.0, gpus: int = 1, **more: float) -> Samples:
    """Return a launch that stood idle for some minutes since `T`, when it was at work."""
    samples = Samples()
    samples.add(Sample(T, gpus, [90.0] * gpus, cpu_cores=2.0))
    for minute in range(1, minutes + 1):
        samples.add(Sample(T + minute * M, gpus, [gpu] * gpus, **{"cpu_cores": 0.05, **more}))
    return samples


def at(minutes: float, state: State = NOTHING_SAID, policy: Policy = POLICY, **more: float) -> Verdict:
    """Return what is said after some minutes."""
    return assess(idle_for(int(minutes), **more), state, policy, T + minutes * M, zone=timezone.utc)


@pytest.mark.parametrize(
    ("found", "kind", "why", "warn", "deadline"),
    [
        (at(0), Kind.ACTIVE, Why.AT_WORK, False, None),
        (at(74), Kind.IDLE, Why.IDLE, False, None),
        (at(75), Kind.IDLE, Why.IDLE, True, None),
        (at(200), Kind.IDLE, Why.IDLE, True, None),
        (at(94, WARNED), Kind.WARNED, Why.IDLE, False, 95),
        (at(95, WARNED), Kind.STOP, Why.IDLE, False, 95),
        (at(95, replace(WARNED, launch_id="other")), Kind.UNKNOWN, Why.OTHER_LAUNCH, False, None),
        (at(90, State(), gpu=None), Kind.UNKNOWN, Why.STALE, False, None),
        (at(75, policy=replace(POLICY, quiet=((0, 120),))), Kind.IDLE, Why.QUIET, False, None),
        (at(95, WARNED, replace(POLICY, quiet=((90, 120),))), Kind.WARNED, Why.QUIET, False, 95),
        (at(93, WARNED, replace(POLICY, reminders_s=(3 * M,))), Kind.WARNED, Why.IDLE, True, 95),
        (at(93, replace(WARNED, reminded=1), replace(POLICY, reminders_s=(3 * M,))), Kind.WARNED, Why.IDLE, False, 95),
    ],
)
def test_verdict(found, kind, why, warn, deadline):
    assert (found.kind, found.why, found.warn) == (kind, why, warn)
    assert found.deadline == (None if deadline is None else T + deadline * M)


def test_no_grace_runs_while_the_warning_is_not_delivered():
    samples = idle_for(300)
    found = assess(samples, State().due(T + 75 * M), POLICY, T + 300 * M)
    assert (found.kind, found.warn) == (Kind.IDLE, True)
    assert State().due(1.0).due(2.0).due_at == 1.0
    assert State().due(1.0).delivered(5.0) == State(warned_at=5.0)


def test_a_stop_needs_a_fresh_sample():
    samples = idle_for(95)
    assert assess(samples, WARNED, POLICY, T + 97 * M).kind is Kind.STOP
    assert assess(samples, WARNED, POLICY, T + 99 * M).why is Why.STALE
    assert assess(samples, WARNED, POLICY, T + 130 * M).kind is Kind.UNKNOWN
    assert assess(samples, WARNED, POLICY, T + 130 * M).withdraw


def test_what_was_asked_for_keeps_it_and_is_counted():
    given = decide_keeping(WARNED, POLICY, T, 5 * 3600.0, T + 85 * M, reason="lunch", by="alice")
    assert given == Extension(T + 85 * M, T + 205 * M, "lunch", "alice")
    state = WARNED.kept(given)
    assert state.warned_at is None
    assert at(110, state).why is Why.KEPT
    assert at(205, state).warn
    for _ in range(2):
        more = decide_keeping(state, POLICY, T, 60.0, T + 90 * M)
        assert isinstance(more, Extension)
        assert more.until == T + 205 * M
        state = state.kept(more)
    assert "kept 3 times already" in str(decide_keeping(state, POLICY, T, 60.0, T + 90 * M))
    assert isinstance(decide_keeping(state, POLICY, T + 91 * M, 60.0, T + 92 * M), Extension)
    assert "up to 2 h" in str(decide_keeping(State(), POLICY, T, 0.0, T))
    assert "does not let anybody" in str(decide_keeping(State(), replace(POLICY, keep_times=0), T, 60.0, T))


def test_the_longest_life_is_warned_of_and_ends_what_is_at_work_but_not_what_is_unknown():
    policy = replace(POLICY, longest_s=3600.0)
    samples = idle_for(58, gpu=80.0)
    state = State(started=T)
    assert assess(samples, state, policy, T + 44 * M).kind is Kind.ACTIVE
    assert assess(samples, state, policy, T + 58 * M).warn
    warned = state.delivered(T + 45 * M)
    assert assess(samples, warned, policy, T + 58 * M).kind is Kind.WARNED
    assert assess(samples, warned, policy, T + 60 * M).kind is Kind.STOP
    assert assess(idle_for(60, gpu=None), warned, policy, T + 60 * M).kind is Kind.UNKNOWN
    assert "as long as it may" in str(say(assess(samples, warned, policy, T + 60 * M), samples, policy))


def test_without_a_gpu_the_processors_decide_and_last_activity_holds():
    policy = PRESETS["default"]
    samples = Samples()
    for minute in range(800):
        samples.add(Sample(T + minute * M, 0, cpu_cores=0.01))
    assert assess(samples, State(), policy, T + 799 * M).warn
    samples.add(Sample(T + 800 * M, 0, cpu_cores=0.01, last_activity=T + 795 * M))
    assert assess(samples, State(), policy, T + 800 * M).why is Why.HELD
    samples.add(Sample(T + 801 * M, 0, cpu_cores=None))
    assert assess(samples, State(), policy, T + 801 * M).kind is Kind.UNKNOWN
    samples.add(Sample(T + 802 * M, 0, cpu_cores=0.5))
    assert assess(samples, State(), policy, T + 802 * M).kind is Kind.ACTIVE


def test_activity_only_stops_what_works_silently_and_spares_what_does_not():
    policy = PRESETS["activity-only"]
    busy, forged = Samples(), Samples()
    for minute in range(70):
        busy.add(Sample(T + minute * M, 1, [99.0], last_activity=T))
        forged.add(Sample(T + minute * M, 1, [0.0], last_activity=T + (minute + 59) * M))
    assert assess(busy, State(warned_at=T + 60 * M), policy, T + 69 * M).kind is Kind.STOP
    assert assess(forged, State(), policy, T + 69 * M).kind is Kind.IDLE


def test_each_signal_says_what_it_says_and_whether_it_is_trusted():
    samples = idle_for(30, input_age=60.0, kernels_busy=1, last_activity=T + 29 * M)
    found = {one.name: (one.says, one.trusted, str(one.text)) for one in signals(samples, POLICY, T + 30 * M)}
    assert found["gpu"] == ("idle", True, "0 % at most, without work for 30 min.")
    assert found["cpu"] == ("idle", True, "0.1 cores in use, less than 0.4.")
    assert found["input"] == (
        "holds",
        False,
        "Keys or pointer last used 1 min ago; that alone holds a GPU for 3 h at most.",
    )
    assert found["work"][0] == "holds"
    assert found["last_activity"][0] == "nothing"
    unknown = signals(idle_for(1, gpu=None), POLICY, T + M)
    assert unknown[0].says == "unknown"
    assert all(isinstance(one.text, Message) for one in unknown)


def test_a_day_of_a_server_takes_tens_of_kilobytes_whatever_comes():
    samples = Samples()
    for minute in range(10_000):
        samples.add(Sample(T + minute * M, 8, [0.0] * 8, [1e9] * 8, 0.1, T, 5.0, 0, 0))
    assert samples.size() < 80_000
    assert samples.dropped + len(samples) == 10_000
    assert assess(samples, State(), POLICY, T + 9_999 * M).kind is Kind.IDLE
    for wrong in (float("nan"), float("inf"), -1.0):
        samples.add(Sample(wrong, 1, [0.0]))
    assert samples.dropped + len(samples) == 10_000


def test_lost_and_unread_rows_together_are_one_hole():
    samples = idle_for(60)
    for minute in (65, 69, 70):  # five minutes without a row, five unread
        samples.add(Sample(T + minute * M, 1, [None]))
    for minute in range(71, 76):
        samples.add(Sample(T + minute * M, 1, [0.0], cpu_cores=0.05))
    found = assess(samples, NOTHING_SAID, POLICY, T + 75 * M, zone=timezone.utc)
    assert (found.kind, found.warn, found.since) == (Kind.IDLE, False, T + 71 * M)
