"""The bench of admission: that it runs, and, in `make test-long`, that its figures are what was promised."""

from __future__ import annotations

import pytest

from tests.bench.bench_admission import is_good, run
from tests.bench.bench_decide import run as run_decide

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; a service that is too slow is so three times."""


def test_the_bench_runs_and_every_answer_is_on_the_disk() -> None:
    figures = run(clients=16, held=300, decisions=200, fsync_ms=5.0)
    assert figures["decisions"] == 200


@pytest.mark.long
@pytest.mark.parametrize("ledger", ["sqlite", "postgresql"])
@pytest.mark.parametrize("fsync_ms", [0.0, 5.0])
def test_decisions_are_fast_enough(fsync_ms: float, ledger: str) -> None:
    runs = [run(fsync_ms=fsync_ms, ledger=ledger)]
    while not is_good(runs[-1]) and len(runs) < ATTEMPTS:
        runs.append(run(fsync_ms=fsync_ms, ledger=ledger))
    assert is_good(runs[-1]), runs


def test_a_decision_costs_the_same_among_thousands() -> None:
    """Servers that are held cost a decision nothing; the factor leaves room for whatever else the machine does."""
    many = few = {"admit_us": float("inf")}
    for _ in range(ATTEMPTS):
        many, few = run_decide(held=3000, nodes=2), run_decide(held=30, nodes=2)
        if many["admit_us"] < 2 * few["admit_us"]:
            break
    assert many["admit_us"] < 2 * few["admit_us"], (many, few)
