"""Samples of long ago."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import PROOF_PERCENT, Sample, Value
from mlabhub.core.sample_history import COARSE_S, DAY_S, DaySums, coarser, day_sums


def sample(t: float, util: Value = 0.0, cores: Value = 0.5, **more: Any) -> Sample:
    """Return a minute of a server with one GPU."""
    return Sample(t, "alice/", "L1", 1, (util,), (7.0,), cores, more=more)


def minutes(*util: Value, first: float = 60.0) -> list[Sample]:
    """Return minutes one after the other."""
    return [sample(first + 60.0 * number, value) for number, value in enumerate(util)]


@pytest.mark.parametrize(
    ("util", "expected"),
    [
        ((0.0, 1.0, 2.0, 0.0, 1.0), 2.0),
        ((0.0, None, 2.0, 0.0, 1.0), None),
        ((0.0, None, 97.0, None, 1.0), 97.0),
        ((0.0, 0.0, 0.0, 0.0), None),
        ((97.0,), 97.0),
        ((None,) * 5, None),
    ],
    ids=["whole", "one unknown", "work that was seen", "one missing", "only work", "nothing known"],
)
@pytest.mark.parametrize("offset", [0.0, 30.0], ids=["full minutes", "half minutes"])
def test_five_minutes(util: tuple[Value, ...], expected: Value, offset: float) -> None:
    [one] = coarser(minutes(*util, first=60.0 - offset)[::-1])
    assert (one.t, one.gpu_util, one.gpu_mem_used, one.server, one.launch_id) == (
        300.0,
        (expected,),
        (7.0,),
        "alice/",
        "L1",
    )
    assert one.cpu_cores == (0.5 if len(util) == 5 else None)


def test_launches_and_steps_stay_apart() -> None:
    told = [*minutes(*[0.0] * 10), *(replace(one, launch_id="L2", server="bob/") for one in minutes(*[50.0] * 5))]
    assert [(one.t, one.launch_id, one.gpu_util) for one in coarser(told)] == [
        (300.0, "L1", (0.0,)),
        (300.0, "L2", (50.0,)),
        (600.0, "L1", (0.0,)),
    ]


def test_what_others_know() -> None:
    told = [
        sample(60.0, last_activity=50.0, input_age=3.0, kernels_busy=2),
        sample(120.0, last_activity=40.0, input_age=63.0, kernels_busy=0, end=True),
    ]
    [one] = coarser(told)
    assert one.more == {"last_activity": 50.0, "input_age": 63.0, "kernels_busy": 2, "end": True}


def test_daily_sums() -> None:
    five = [sample(COARSE_S * number, util) for number, util in enumerate((0.0, PROOF_PERCENT, None), start=1)]
    late = replace(sample(DAY_S, 97.0, None), gpus=2, gpu_util=(97.0, None))
    assert day_sums([*five, late, sample(DAY_S + COARSE_S, 0.0, 1.0)]) == (
        DaySums("alice/", 0.0, gpu_s=1500.0, known_s=900.0, used_s=600.0, core_s=450.0, cores_known_s=900.0),
        DaySums("alice/", DAY_S, gpu_s=300.0, known_s=300.0, used_s=0.0, core_s=300.0, cores_known_s=300.0),
    )


@given(st.lists(st.tuples(st.integers(1, 60), st.sampled_from([None, 0.0, 5.0, 50.0])), max_size=80))
def test_coarser_samples_say_nothing_new(rows: list[tuple[int, Value]]) -> None:
    told = [sample(60.0 * minute, util) for minute, util in rows]
    for one in coarser(told):
        inside = [other for other in told if one.t - COARSE_S < other.t <= one.t]
        values = [util for other in inside if (util := other.gpu_util[0]) is not None]
        [util] = one.gpu_util
        assert util is None or util == max(values)
        if util is not None and util < PROOF_PERCENT:
            assert len({other.t for other in inside if other.gpu_util[0] is not None}) == 5
