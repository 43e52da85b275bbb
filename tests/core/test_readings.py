"""From readings to one sample a minute."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import HOLE_S, PROOF_PERCENT, Reading, Ticker, Watched, fold, known
from mlabhub.messages import Message

ALICE = Watched("alice/", "L1", ("GPU-0", "GPU-1"))
PLAIN = Watched("bob/lab", "L2")
LOST = Message("GPU-1 could not be read (GPU is lost).")


def gpu(t: float, *util: float | None, span: float = 5.0, **more: Any) -> Reading:
    """Return a reading of alice's GPUs."""
    return Reading("alice/", "L1", t, util, tuple(None if one is None else 7.0 for one in util), span_s=span, **more)


def cpu(t: float, cores: float | None, span: float = 5.0, launch_id: str = "L2") -> Reading:
    """Return a reading of cores."""
    return Reading("bob/lab", launch_id, t, cpu_cores=cores, span_s=span)


def every_5_s(*util: float | None) -> list[Reading]:
    """Return a whole minute of readings, all alike."""
    return [gpu(float(t), *util) for t in range(5, 65, 5)]


def test_a_minute_of_a_server() -> None:
    readings = [*every_5_s(0.0, 1.0), gpu(32.0, 37.5, 0.0), *(cpu(t, 0.4, launch_id="L1") for t in range(5, 65, 5))]
    sample = fold(ALICE, readings, begin=0.0, end=60.0)
    assert json.loads(sample.line()) == {
        "t": 60.0,
        "server": "alice/",
        "gpus": 2,
        "gpu_util": [37.5, 1.0],
        "gpu_mem_used": [7.0, 7.0],
        "cpu_cores": pytest.approx(0.4),
    }
    assert (sample.launch_id, sample.reasons) == ("L1", ())


@pytest.mark.parametrize(
    ("missing", "util"),
    [(range(0), 2.0), (range(20, 30), 2.0), (range(20, 40), None), (range(45, 65), None), (range(25), None)],
    ids=["none", "short", "a hole", "the end", "the beginning"],
)
def test_a_hole_makes_little_use_unknown(missing: range, util: float | None) -> None:
    readings = [one for one in every_5_s(2.0, 0.0) if one.t not in missing]
    assert fold(ALICE, readings, begin=0.0, end=60.0).gpu_util == (util, util and 0.0)


def test_a_hole_does_not_hide_work_that_was_seen() -> None:
    sample = fold(ALICE, [gpu(30.0, 97.0, 0.0)], begin=0.0, end=60.0)
    assert sample.gpu_util == (97.0, None)
    assert str(sample.reasons[0]) == "For 60 s of this minute nothing was measured."


def test_a_gpu_that_is_not_known_is_told_with_its_reason_once() -> None:
    readings = [gpu(one.t, 0.0, None, reasons=(LOST,)) for one in every_5_s(0.0, 0.0)]
    sample = fold(ALICE, readings, begin=0.0, end=60.0)
    assert (sample.gpu_util, sample.gpu_mem_used, sample.reasons) == ((0.0, None), (7.0, None), (LOST,))


def test_nothing_at_all() -> None:
    sample = fold(ALICE, [], begin=0.0, end=60.0)
    assert (sample.gpu_util, sample.gpu_mem_used, sample.cpu_cores) == ((None, None), (None, None), None)
    assert json.loads(sample.line())["gpu_util"] == [None, None]


def test_cores_are_the_mean_by_time() -> None:
    readings = [cpu(10.0, 4.0, 10.0), cpu(60.0, 1.0, 50.0)]
    assert fold(PLAIN, readings, begin=0.0, end=60.0).cpu_cores == pytest.approx(1.5)
    early = [cpu(10.0, 4.0, 100.0), cpu(60.0, 1.0, 50.0)]
    assert fold(PLAIN, early, begin=0.0, end=60.0).cpu_cores == pytest.approx(1.5)
    assert fold(PLAIN, readings[1:], begin=0.0, end=60.0).cpu_cores == pytest.approx(1.0)
    assert fold(PLAIN, readings[:1], begin=0.0, end=60.0).cpu_cores is None
    assert fold(PLAIN, [cpu(60.0, None, 60.0)], begin=0.0, end=60.0).cpu_cores is None


def test_readings_of_an_earlier_launch_do_not_count() -> None:
    readings = [cpu(60.0, 0.0, 60.0, launch_id="L0")]
    assert fold(PLAIN, readings, begin=0.0, end=60.0).cpu_cores is None


def test_ticks_follow_one_another() -> None:
    ticker = Ticker()
    ticker.add(every_5_s(0.0, 0.0)[::-1])
    ticker.add([gpu(61.0, 50.0, 50.0, span=1.0)])
    [alice, bob] = ticker.close([ALICE, PLAIN], 60.0)
    assert (alice.gpu_util, bob.gpu_util, bob.cpu_cores) == ((0.0, 0.0), (), None)
    [alice] = ticker.close([ALICE], 120.0)
    assert alice.gpu_util == (50.0, 50.0)
    [alice] = ticker.close([ALICE], 180.0)
    assert alice.gpu_util == (None, None)


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_steps_makes_a_minute_unknown_and_leaves_nothing_behind(step: float) -> None:
    ticker = Ticker()
    ticker.add(every_5_s(0.0, 0.0))
    ticker.add([gpu(60.0 + step, 0.0, 0.0)])
    [alice] = ticker.close([ALICE], 60.0 + step)
    assert alice.gpu_util == (None, None)
    assert not ticker._kept


@pytest.mark.parametrize(
    ("value", "most", "expected"),
    [
        (0, 100, 0.0),
        (100, 100, 100.0),
        (37.5, math.inf, 37.5),
        (101, 100, None),
        (-1, 100, None),
        (math.nan, math.inf, None),
        (math.inf, math.inf, None),
        (None, 100, None),
        (True, 100, None),
        ("7", 100, None),
    ],
)
def test_known(value: Any, most: float, expected: float | None) -> None:
    assert known(value, most) == expected


@given(
    st.lists(
        st.tuples(st.floats(-30, 90), st.floats(0, 70), st.sampled_from([None, 0.0, 1.0, PROOF_PERCENT, 100.0])),
        max_size=30,
    )
)
def test_little_use_is_only_told_of_a_minute_without_holes(rows: list[tuple[float, float, float | None]]) -> None:
    readings = [Reading("a/", "L", t, (util,), (None,), span_s=span) for t, span, util in rows]
    [util] = fold(Watched("a/", "L", ("g",)), readings, begin=0.0, end=60.0).gpu_util
    inside = [(t, span, util) for t, span, util in rows if 0 < t <= 60 and util is not None]
    if util is None:
        assert all(one < PROOF_PERCENT for _, _, one in inside)
        return
    assert util == max(one for _, _, one in inside)
    if util < PROOF_PERCENT:
        for moment in range(60):
            stretch = (moment, moment + HOLE_S + 1)
            if stretch[1] <= 60:
                assert any(t - span <= stretch[1] and t >= stretch[0] for t, span, _ in inside)
