"""What holds whatever the samples are: nobody is stopped busy, unknown or unwarned."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import DEFAULT, PRESETS
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.core.idle.state import State
from mlabhub.core.idle.verdict import Kind, assess
from mlabhub.core.idle.words import say, signals

QUICK = replace(DEFAULT, with_gpu=replace(DEFAULT.with_gpu, window_s=600.0, held_most_s=900.0), grace_s=120.0)
POLICIES = [QUICK, DEFAULT.at(1.0), PRESETS["princeton"], PRESETS["gpu-pruner"]]

stretches = st.lists(
    st.tuples(
        st.integers(1, 40),
        st.sampled_from([0.0, 0.0, 0.0, 1.0, 6.0, 95.0, None, float("nan")]),
        st.sampled_from([None, 0.05, 1.0]),
        st.sampled_from([None, None, 2.0]),
        st.sampled_from([60.0, 60.0, 61.0, 30.0, 0.0, -20.0, 300.0, 700.0, 3600.0, -3600.0]),
    ),
    min_size=1,
    max_size=25,
)


@given(stretches, st.sampled_from(POLICIES), st.floats(0, 200))
@settings(max_examples=300, deadline=None)
def test_no_stop_of_a_busy_an_unknown_or_an_unwarned_server(parts, policy: Policy, lag):
    samples, state = Samples("x"), State("x")
    t = real = 1e9
    busy_label = warned_real = float("-inf")
    known_real = None
    for count, gpu, cpu, touched, step in parts:
        for number in range(count):
            passed = step if number == 0 else 60.0
            t += passed
            real += max(passed, 0.0)
            samples.add(Sample(t, 1, [gpu], None, cpu, None, touched))
            if gpu is not None and (gpu >= 10 or (gpu >= 3 and not (cpu or 9) < 0.4)):
                busy_label = max(busy_label, t)
            known_real = real if gpu is not None and gpu == gpu else known_real
            found = assess(samples, state, policy, t + lag)
            assert str(say(found, samples, policy))
            if found.withdraw:
                state = state.withdrawn()
            elif found.warn:
                if state.warned_at is None:
                    warned_real = real
                state = state.delivered(t + lag)
            elif found.kind is Kind.STOP:
                assert t - busy_label >= 600
                assert known_real == real
                assert state.warned_at is not None
                assert lag <= policy.fresh_s + 20  # a row that came so much later is not the newest
                assert real - warned_real >= policy.grace_s or step > 60
                state = State("x")
    assert all(str(one.text) for one in signals(samples, policy, t))


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200), st.sampled_from(POLICIES))
@settings(max_examples=60, deadline=None)
def test_it_is_the_same_read_at_once_or_one_by_one(values, policy: Policy):
    one_by_one, at_once = Samples(), Samples()
    for number, value in enumerate(values):
        for samples in (one_by_one, at_once):
            samples.add(Sample(1e9 + 60 * number, 1, [float(value)]))
        found = assess(one_by_one, State(), policy, 1e9 + 60 * number)
    assert assess(at_once, State(), policy, 1e9 + 60 * (len(values) - 1)) == found
