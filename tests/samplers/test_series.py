"""From series to readings: what is known of a server, and why not more."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.readings import Watched
from mlabhub.samplers.cadvisor import CPU, Cadvisor
from mlabhub.samplers.dcgm import ENGINE, MEMORY, UTIL, Dcgm
from mlabhub.samplers.series import Point, Series, Terms

NOW = 1000.0
TERMS = Terms()
ALICE = Watched("alice/", "L1", ("GPU-a",), pod="jupyter-alice", namespace="lab")
BOTH = replace(ALICE, gpus=("GPU-a", "GPU-b"))


def every(seconds: float, value: float = 0.0, since: float = 850.0, until: float = NOW) -> list[Point]:
    """Return points of that value, each so many seconds after the one before."""
    return [(since + seconds * number, value) for number in range(int((until - since) / seconds) + 1)]


def of_gpu(name: str, points: Iterable[Point], uuid: str = "GPU-a", **labels: str) -> Series:
    """Return a series of alice's GPU."""
    named = {"__name__": name, "UUID": uuid, "pod": "jupyter-alice", "namespace": "lab", **labels}
    return Series(named, tuple(points))


def util(told: Iterable[Series], watched: Watched = ALICE) -> tuple[tuple[float | None, ...], str]:
    """Return how busy GPUs are, and the reasons."""
    reading = Dcgm(told).reading(watched, TERMS, NOW)
    return reading.gpu_util, " ".join(map(str, reading.reasons))


ZERO = every(15.0)
BUSY = every(15.0, 97.0)


@pytest.mark.parametrize(
    ("points", "expected", "said"),
    [
        (ZERO, 0.0, ""),
        ([*ZERO, (951.0, 64.0)], 64.0, ""),
        ([*ZERO, (930.0, 64.0)], 0.0, ""),
        ([(t, v) for t, v in BUSY if t < 930] + every(15.0, since=945.0), 97.0, ""),
        (every(60.0, since=860.0), 0.0, ""),
        (every(30.0, since=860.0), 0.0, ""),
        (every(15.0, since=970.0), None, "for 30 s"),
        (every(15.0, until=955.0), None, "is 45 s old"),
        (every(60.0, until=900.0, since=840.0), None, "is 100 s old"),
        ([point for point in ZERO if not 940 < point[0] < 980], None, "for 45 s"),
        ([(t, math.nan) for t, _ in ZERO], None, "is no number"),
        ([(t, math.nan if t > 940 else v) for t, v in ZERO], None, "s old"),
        ([(t, 9223372036854775794.0) for t, _ in ZERO], None, "is no number"),
        ([(t, -1.0) for t, _ in ZERO], None, "is no number"),
        ([(t, math.inf) for t, _ in ZERO], None, "is no number"),
        ([], None, "no measurement of"),
        ([(NOW, 0.0)], None, "the next one is still to come"),
        ([(NOW - 89.0, 0.0)], None, "the next one is still to come"),
        ([(NOW - 91.0, 0.0)], None, "is 91 s old"),
    ],
    ids=[
        "quiet",
        "a peak",
        "a peak before",
        "the last one before counts",
        "each minute",
        "each half minute",
        "only just begun",
        "ended",
        "ended long ago",
        "a hole",
        "NaN",
        "NaN at last",
        "blank",
        "negative",
        "infinite",
        "empty",
        "one",
        "one, a while ago",
        "one, old",
    ],
)
def test_how_busy_a_gpu_was(points: list[Point], expected: float | None, said: str) -> None:
    told = [of_gpu(UTIL, sorted(points)), of_gpu(MEMORY, every(15.0, 5.0))]
    values, reasons = util(told)
    assert values == (expected,)
    assert said in reasons
    assert (reasons == "") == (expected is not None)


@pytest.mark.parametrize(
    ("engine", "plain", "expected"),
    [
        (every(15.0, 0.5), BUSY, 50.0),
        (every(15.0, 1.004), BUSY, 100.0),
        (every(15.0, 0.5, until=900.0), BUSY, 97.0),
        (every(15.0, math.nan), BUSY, 97.0),
        (every(15.0, 140737488355328.0), BUSY, 97.0),
        (every(15.0, math.nan), every(15.0, math.nan), None),
    ],
    ids=["both", "a little over one", "old", "NaN", "blank", "neither"],
)
def test_what_the_engine_did_goes_before(engine: list[Point], plain: list[Point], expected: float | None) -> None:
    told = [of_gpu(ENGINE, engine), of_gpu(UTIL, plain), of_gpu(MEMORY, ZERO)]
    assert util(told)[0] == (expected,)


def test_only_the_engine_is_told() -> None:
    assert util([of_gpu(ENGINE, every(15.0, 0.25)), of_gpu(MEMORY, ZERO)]) == ((25.0,), "")
    assert util([of_gpu(ENGINE, every(15.0, math.nan)), of_gpu(MEMORY, ZERO)])[0] == (None,)


OTHER = {"pod": "jupyter-bob"}
PLACES: list[tuple[list[Series], Watched, tuple[float | None, ...], str]] = [
    ([of_gpu(UTIL, ZERO), of_gpu(UTIL, BUSY, "GPU-b")], BOTH, (0.0, 97.0), ""),
    ([of_gpu(UTIL, ZERO), of_gpu(UTIL, BUSY, "GPU-b")], replace(BOTH, gpus=("GPU-b", "GPU-a")), (97.0, 0.0), ""),
    ([of_gpu(UTIL, ZERO), of_gpu(UTIL, BUSY, "GPU-b")], replace(BOTH, gpus=("slot-0", "slot-1")), (0.0, 97.0), ""),
    ([of_gpu(UTIL, ZERO)], BOTH, (0.0, None), "tells of 1 GPUs of alice/, which holds 2"),
    ([of_gpu(UTIL, ZERO), of_gpu(UTIL, ZERO, "GPU-b"), of_gpu(UTIL, ZERO, "GPU-c")], BOTH, (0.0, 0.0), ""),
    (
        [of_gpu(UTIL, ZERO), of_gpu(UTIL, ZERO, "GPU-b")],
        replace(ALICE, gpus=("slot-0",)),
        (None,),
        "tells of 2 GPUs of alice/, which holds 1",
    ),
    ([of_gpu(UTIL, ZERO, **OTHER)], ALICE, (None,), "tells of 0 GPUs"),
    ([of_gpu(UTIL, ZERO, namespace="other")], ALICE, (None,), "tells of 0 GPUs"),
    ([of_gpu(UTIL, ZERO, pod="")], ALICE, (0.0,), ""),
    ([of_gpu(UTIL, ZERO, "GPU-b", pod="")], ALICE, (None,), "tells of 0 GPUs"),
    ([of_gpu(UTIL, ZERO, pod="")], replace(ALICE, pod="", namespace=""), (0.0,), ""),
    (
        [of_gpu(UTIL, ZERO, pod="dcgm", exported_pod="jupyter-alice", exported_namespace="lab")],
        ALICE,
        (0.0,),
        "",
    ),
    ([of_gpu(UTIL, ZERO, exported_pod="jupyter-bob", exported_namespace="lab")], ALICE, (None,), "of 0 GPUs"),
    (
        [of_gpu(ENGINE, every(15.0, 0.5), GPU_I_ID="7"), of_gpu(ENGINE, every(15.0, 0.0), GPU_I_ID="8")],
        replace(ALICE, gpus=("slot-0", "slot-1")),
        (50.0, 0.0),
        "",
    ),
    ([of_gpu(ENGINE, ZERO, GPU_I_ID="7", pod="")], ALICE, (None,), "tells of 0 GPUs"),
    ([of_gpu(UTIL, every(15.0, until=900.0), job="a"), of_gpu(UTIL, BUSY, job="b")], ALICE, (97.0,), ""),
    ([of_gpu(UTIL, ZERO, job="a"), of_gpu(UTIL, [(t + 1.0, 3.0) for t, _ in ZERO[:-1]], job="b")], ALICE, (3.0,), ""),
    ([of_gpu(UTIL, ZERO)], replace(ALICE, started=950.0), (0.0,), ""),
    ([of_gpu(UTIL, ZERO)], replace(ALICE, started=990.0), (None,), "the next one is still to come"),
    ([of_gpu(UTIL, [*every(15.0, 97.0, until=945.0), *ZERO[7:]])], replace(ALICE, started=950.0), (0.0,), ""),
    ([of_gpu(UTIL, BUSY[:-1])], replace(ALICE, started=995.0), (None,), "no measurement of"),
]
PLACES_IDS = [
    "two",
    "in the order of those held",
    "UUIDs not known",
    "one is missing",
    "one too many, but UUIDs are known",
    "one too many",
    "another's pod",
    "another namespace",
    "no pod, by UUID",
    "no pod, another UUID",
    "a machine without pods",
    "exported",
    "exported, another's",
    "slices",
    "a slice without a pod",
    "two jobs, one ended",
    "two jobs",
    "just started",
    "only just started",
    "an earlier server by that name",
    "only of an earlier server by that name",
]


@pytest.mark.parametrize(("told", "watched", "expected", "said"), PLACES, ids=PLACES_IDS)
def test_whose_gpus_they_are(
    told: list[Series], watched: Watched, expected: tuple[float | None, ...], said: str
) -> None:
    values, reasons = util(told, watched)
    assert values == expected
    assert said in reasons


def counter(cores: float, seconds: float = 15.0, since: float = 850.0, until: float = NOW) -> list[Point]:
    """Return a counter that runs at so many cores."""
    return [(t, 50.0 + cores * (t - since)) for t, _ in every(seconds, 0.0, since, until)]


def container(points: Iterable[Point], name: str = "notebook", **labels: str) -> Series:
    """Return a series of alice's container."""
    named = {"container": name, "pod": "jupyter-alice", "namespace": "lab", "cpu": "total", **labels}
    return Series({"__name__": CPU, **named}, tuple(points))


BACK = [(t, 50.0 + t if t < 960 else t - 960) for t, _ in every(15.0)]
CORES: list[tuple[list[Series], float | None, str]] = [
    ([container(counter(1.5))], 1.5, ""),
    ([container(counter(1.5)), container(counter(0.5), "sidecar")], 2.0, ""),
    ([container(counter(1.5)), container(counter(1.6), ""), container(counter(0.0), "POD")], 1.5, ""),
    ([container(counter(1.6), ""), container(counter(0.0), "POD")], 1.6, ""),
    ([container(counter(1.5), job="a"), container(counter(1.5), job="b")], 1.5, ""),
    ([container(counter(1.5), cpu="cpu00"), container(counter(0.5), cpu="cpu01")], 2.0, ""),
    ([container(counter(1.5, until=900.0), id="c1"), container(counter(0.25), id="c2")], 0.25, ""),
    ([container(counter(1.5, until=900.0)), container(counter(0.25), "sidecar")], None, "s old"),
    ([container(counter(1.0, 60.0, since=880.0))], 1.0, ""),
    ([container(counter(1.0, until=950.0))], None, "is 60 s old"),
    ([container([one for one in counter(1.0) if not 940 < one[0] < 985])], None, "no measurement"),
    ([container(BACK)], None, "went back"),
    ([container([(t, math.nan) for t, _ in every(15.0)])], None, "is no number"),
    ([container([(NOW - 5, 50.0)])], None, "the next one is still to come"),
    ([container(counter(1.5), pod="jupyter-bob")], None, "no measurement"),
    ([container(counter(1.5), pod="kubelet", exported_pod="jupyter-alice", exported_namespace="lab")], 1.5, ""),
    ([], None, "no measurement"),
]
CORES_IDS = [
    "one container",
    "two",
    "with the pod as a whole",
    "only the pod as a whole",
    "two jobs",
    "by CPU",
    "started again",
    "the main one ended",
    "each minute",
    "ended",
    "a hole",
    "back",
    "NaN",
    "one point",
    "another's",
    "exported",
    "nothing",
]


@pytest.mark.parametrize(("told", "expected", "said"), CORES, ids=CORES_IDS)
def test_cores_of_a_pod(told: list[Series], expected: float | None, said: str) -> None:
    reading = Cadvisor(told).reading(ALICE, TERMS, NOW)
    assert reading.cpu_cores == (None if expected is None else pytest.approx(expected))
    assert said in " ".join(map(str, reading.reasons))
    assert (reading.reasons == ()) == (expected is not None)


@given(st.lists(st.tuples(st.floats(700.0, NOW), st.sampled_from([0.0, 3.0, math.nan])), max_size=20))
def test_quiet_is_only_told_where_measurements_are_near(points: list[Point]) -> None:
    [value], _ = util([of_gpu(UTIL, sorted(points))])
    if value is not None:
        for moment in range(int(NOW - TERMS.window_s), int(NOW)):
            assert any(abs(t - moment) <= TERMS.longest_gap_s and v == v for t, v in points)
