"""The benches of forecasts: that they run, that ranges hold on replayed workloads; in `make test-long`, how fast."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.replay.workloads import Made, day_and_night, full_nodes, heavy_tail, mixed_types, owners_return
from tests.bench.bench_forecast import run
from tests.bench.bench_ranges import measure

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; a forecast that is too slow is so three times."""


def test_fifty_choices_cost_a_few_times_what_deciding_on_them_costs() -> None:
    """The factor leaves room for whatever else the machine does; measured alone, it is below two."""
    found = run(nodes=40, queued=50)
    for _ in range(ATTEMPTS):
        if found["ratio"] < 8:
            break
        found = run(nodes=40, queued=50)
    assert found["ratio"] < 8, found


def is_good(found: dict[str, Any]) -> bool:
    """Whether the goal was met, 50 ms and a second, or would have been if other programs had let the machine alone.

    The plain decisions take 20 to 25 ms there, so that twice as long is within the goal; they are measured in turn.
    """
    alone = 22.0 / max(22.0, found["plain_ms"])
    return bool(found["forecast_ms"] * alone < 50 and found["queue_ms"] * alone < 1000)


@pytest.mark.long
def test_a_forecast_is_fast_enough() -> None:
    runs = [run()]
    while len(runs) < ATTEMPTS and not is_good(runs[-1]):
        runs.append(run())
    assert is_good(runs[-1]), runs


@pytest.mark.parametrize(
    "made",
    [heavy_tail(), *(pytest.param(one(), marks=pytest.mark.long) for one in (day_and_night, full_nodes, mixed_types))],
    ids=lambda made: made.name,
)
def test_most_starts_of_a_replay_are_within_what_was_told(made: Made) -> None:
    found = measure(made)
    assert found["told"] >= 0.9 * found["waited"] > 100
    assert 0.65 <= found["within"] <= 0.95, found


@pytest.mark.long
def test_also_where_owners_come_back_all_at_once() -> None:
    found = measure(owners_return())
    assert found["within"] >= 0.65, found
