"""What was recorded as a workload: nothing made up, nothing counted twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.cli.quota_recorded import lines_of
from mlabhub.core.quotas import Quotas
from mlabhub.replay import live_rules, read_workload, run
from mlabhub.replay.recorded import Ran, Site, make_workload, nodes_of

SINCE, UNTIL, NOW = 1000.0, 5000.0, 6000.0
SITE = Site("n1", 64, 512, {"a100": 8})


def ran(launch_id: str = "L1", **values: object) -> Ran:
    usual = {"user": "alice", "group": "vision", "profile": "gpu", "gpu_type": "a100", "gpus": 2, "cpu": 4.0}
    times = {"memory_gib": 16.0, "came": 1500.0, "started": 1600.0, "ended": 2600.0}
    return Ran(**{"launch_id": launch_id, **usual, **times, **values})  # type: ignore[arg-type]


def of(*launches: Ran, left_out: int = 0) -> list[tuple[str, float, float]]:
    found = make_workload(launches, [SITE], SINCE, UNTIL, NOW, left_out)
    return [(one.id, one.t, one.duration_s) for one in found.workload.requests]


@pytest.mark.parametrize(
    ("launch", "expected"),
    [
        (ran(), [("L1", 1500.0, 1000.0)]),
        (ran(came=10.0, started=20.0, ended=1400.0), [("L1", SINCE, 400.0)]),
        (ran(came=10.0, started=1200.0, ended=1400.0), [("L1", SINCE, 200.0)]),
        (ran(ended=9000.0), [("L1", 1500.0, 7400.0)]),
        (ran(ended=None), [("L1", 1500.0, 4400.0)]),
        (ran(came=10.0, started=20.0, ended=900.0), []),
        (ran(came=5000.0, started=5001.0), []),
    ],
    ids=["whole", "began before", "waited before", "ended after", "runs still", "over before", "came after"],
)
def test_the_time_that_counts(launch: Ran, expected: list[tuple[str, float, float]]) -> None:
    assert of(launch) == expected


def test_what_was_taken_back_and_ran_again_is_one_request() -> None:
    again = ran("L2", came=1500.0, started=3000.0, ended=4000.0, again_of="L1")
    assert of(ran("L1"), again) == [("L2", 1500.0, 1000.0)]
    assert of(ran("L1")) == [("L1", 1500.0, 1000.0)], "one that was taken back and never ran again is what is known"


def test_what_is_not_as_it_was_is_said() -> None:
    mixed = Site("n2", 90, 300, {"a100": 2, "t4": 1})
    found = make_workload([ran(ended=None)], [SITE, mixed], SINCE, UNTIL, NOW, left_out=3)
    assert [str(note)[:23] for note in found.notes] == [
        "3 requests left the que",
        "1 servers run still; th",
        "1 machines have GPUs of",
    ]
    assert str(make_workload([], [SITE], SINCE, UNTIL, NOW).notes[0]) == "Nothing that ran then is recorded."


def test_a_machine_with_several_types_is_one_for_each() -> None:
    nodes = nodes_of(Site("n2", 90, 300, {"a100": 2, "t4": 1, "l4": 0}))
    assert [(one.name, one.gpu_type, one.gpus, one.cpu) for one in nodes] == [
        ("n2 (a100)", "a100", 2, 60.0),
        ("n2 (t4)", "t4", 1, 30.0),
    ]
    (plain,) = nodes_of(Site("n3", 8, 16, {}))
    assert (plain.gpu_type, plain.gpus) == (None, 0)


launches = st.lists(
    st.tuples(st.floats(0, 6000), st.floats(0, 500), st.floats(0, 3000), st.integers(0, 8), st.booleans()), max_size=30
)


@settings(max_examples=30, deadline=None)
@given(launches)
def test_as_much_is_asked_for_as_was_held_and_it_is_read_again(
    times: list[tuple[float, float, float, int, bool]],
) -> None:
    all_of = [
        ran(f"L{n}", came=came, started=came + wait, ended=None if runs else came + wait + lasts, gpus=gpus)
        for n, (came, wait, lasts, gpus, runs) in enumerate(times)
    ]
    workload = make_workload(all_of, [SITE], SINCE, UNTIL, NOW).workload
    there = [one for one in all_of if one.came < UNTIL and (one.ended is None or one.ended > SINCE)]
    held = sum(
        max(0.0, (max(NOW, one.started) if one.ended is None else one.ended) - max(one.started, SINCE)) * one.gpus
        for one in there
    )
    assert sum(one.gpus * one.duration_s for one in workload.requests) == pytest.approx(held)
    assert all(SINCE <= one.t < UNTIL for one in workload.requests)
    again = read_workload(line.encode() for line in lines_of(workload))
    assert again == workload
    assert json.loads(next(lines_of(workload)))["cluster"]["nodes"][0]["gpus"] == 8
    assert run(workload, Quotas(), live_rules).stranded == ()
