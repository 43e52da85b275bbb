"""The bench of a large cluster's inventory: that it runs, and, in `make test-long`, that its figures are kept."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.bench.bench_inventory_kube import TARGET_ANSWER_MS, TARGET_MEMORY_MB, TARGET_RESYNC_S, run

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; what is too slow is so three times."""


async def test_the_bench_runs() -> None:
    figures = await run(nodes=4, pods=20, ours=5, rounds=2)
    assert (figures["nodes"], figures["gpus"], figures["servers"]) == (4, 32, 5)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_large_cluster_is_fast_enough() -> None:
    runs = [_run_alone()]
    while not _is_good(runs[-1]) and len(runs) < ATTEMPTS:
        runs.append(_run_alone())
    assert _is_good(runs[-1]), json.dumps(runs, indent=2)


def _run_alone() -> dict[str, Any]:
    """Run it in a process of its own: its memory is measured."""
    command = [sys.executable, "-m", "tests.bench.bench_inventory_kube"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _is_good(figures: dict[str, float]) -> bool:
    quick = max(figures["unchanged_ms"], figures["changed_ms"], figures["placed_ms"]) < TARGET_ANSWER_MS
    return quick and figures["resync_s"] < TARGET_RESYNC_S and figures["memory_peak_mb"] < TARGET_MEMORY_MB
