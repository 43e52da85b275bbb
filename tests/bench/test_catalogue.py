"""The bench of a large catalogue: that it runs, and, in `make test-long`, that its figures are what was promised."""

from __future__ import annotations

import pytest

from tests.bench.bench_catalogue import TARGET_PAGE_MS, TARGET_RESOLVE_MS, run

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; a page that is too slow is so three times."""


def test_the_bench_runs_and_every_profile_is_on_the_page() -> None:
    figures = run(profiles=20, images=5, runs=1)
    assert (figures["profiles"], figures["shown"]) == (20, 20)


@pytest.mark.long
def test_500_profiles_are_fast_enough() -> None:
    runs = [run()]
    while not _is_good(runs[-1]) and len(runs) < ATTEMPTS:
        runs.append(run())
    assert _is_good(runs[-1]), runs
    assert runs[-1]["shown"] == 500


def _is_good(figures: dict[str, float]) -> bool:
    return figures["page_cpu_ms"] < TARGET_PAGE_MS and figures["resolve_ms"] < TARGET_RESOLVE_MS
