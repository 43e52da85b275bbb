"""The bench of a large cluster's inventory: that it runs, and, in `make test-long`, that its figures are kept."""

from __future__ import annotations

import pytest

from tests.bench.bench_inventory_kube import TARGET_ANSWER_MS, TARGET_MEMORY_MB, TARGET_RESYNC_S, run

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; what is too slow is so three times."""


async def test_the_bench_runs() -> None:
    figures = await run(nodes=4, pods=20, ours=5, rounds=2)
    assert (figures["nodes"], figures["gpus"], figures["servers"]) == (4, 32, 5)


@pytest.mark.long
async def test_a_large_cluster_is_fast_enough() -> None:
    runs = [await run()]
    while not _is_good(runs[-1]) and len(runs) < ATTEMPTS:
        runs.append(await run())
    assert _is_good(runs[-1]), runs


def _is_good(figures: dict[str, float]) -> bool:
    quick = max(figures["unchanged_ms"], figures["changed_ms"], figures["placed_ms"]) < TARGET_ANSWER_MS
    return quick and figures["resync_s"] < TARGET_RESYNC_S and figures["memory_peak_mb"] < TARGET_MEMORY_MB
