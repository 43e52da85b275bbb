"""The bench of reports: that it runs, and, in `make test-long`, that a report is taken in as fast as was promised."""

from __future__ import annotations

import pytest

from tests.bench.bench_reports import P99_MS, run

ATTEMPTS = 3
"""Other programs on the machine may spoil a run; a service that is too slow is so three times."""


def test_the_bench_runs_and_every_report_is_taken() -> None:
    assert run(servers=50, seconds=1.0, judged=False)["servers"] == 50


@pytest.mark.long
@pytest.mark.timeout(900)
def test_three_thousand_servers_report_within_a_minute_while_the_hub_is_away() -> None:
    runs = []
    for _ in range(ATTEMPTS):
        runs.append(run())
        if runs[-1]["p99_ms"] < P99_MS:
            return
    pytest.fail(str(runs))
