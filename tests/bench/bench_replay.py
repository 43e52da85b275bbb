"""A replay of a made week: 5,000 requests on 100 nodes with 760 GPUs.

    python -m tests.bench.bench_replay [--requests 5000]

Prints one line of JSON: seconds of processor time for the replay under the live rules, for the figures, and for holding
every event against what is promised; how many rounds that were, and microseconds a round.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mlabhub.replay import report, run
from mlabhub.replay.check import check
from mlabhub.replay.workloads import week

Found = TypeVar("Found")


def timed(work: Callable[[], Found]) -> tuple[float, Found]:
    """Return how long something took this process, and what it found."""
    start = time.process_time()
    found = work()
    return time.process_time() - start, found


def measure(requests: int) -> dict[str, Any]:
    """Replay once."""
    made = week(count=requests)
    replayed, outcome = timed(lambda: run(made.workload, made.quotas))
    summed, figures = timed(lambda: report(made.workload, made.quotas, outcome))
    checked, findings = timed(lambda: check(made.workload, made.quotas, outcome.events))
    return {
        "requests": requests,
        "replay_s": round(replayed, 2),
        "figures_s": round(summed, 2),
        "check_s": round(checked, 2),
        "all_s": round(replayed + summed + checked, 2),
        "rounds": outcome.rounds,
        "us_per_round": round(1e6 * replayed / outcome.rounds),
        "goodput": round(figures.span.goodput, 3),
        "findings": len(findings),
    }


def main() -> None:
    """Measure, and print one line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5_000)
    print(json.dumps(measure(parser.parse_args().requests)))


if __name__ == "__main__":
    main()
