"""The bench of a spawn on a cluster: that our own share, and our calls, are what was promised."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.bench.bench_spawn_kube import calls_between, kind_of, measure, summary

ATTEMPTS = 2
LARGEST_SHARE = 0.011
"""Where the machine is slow: our own part of a spawn against a plain KubeSpawner's whole one in the same run."""


@pytest.mark.cluster
@pytest.mark.alone
@pytest.mark.timeout(900)
def test_our_own_share_is_small_and_the_cluster_is_not_asked_more(tmp_path: Path) -> None:
    runs = []
    for attempt in range(ATTEMPTS):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        runs.append(asyncio.run(measure(folder, pairs=4)))
        own, plain_s = runs[-1]["own_share_ms"], runs[-1]["post_to_ready_s"]["plain"]
        small = own["met"] or own["median"] / 1000 / plain_s < LARGEST_SHARE
        if small and runs[-1]["calls_per_start_and_stop"]["met"]:
            return
    raise AssertionError(runs)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("POST /api/v1/namespaces/lab/pods", "POST pods"),
        ("DELETE /api/v1/namespaces/lab/pods/mlabhub-x-alice", "DELETE pods/NAME"),
        ("GET /api/v1/namespaces/lab/pods watch", "GET pods watch"),
        ("GET /api/v1/nodes", "GET nodes"),
    ],
)
def test_calls_are_told_by_their_kind(call: str, kind: str) -> None:
    assert kind_of(call) == kind


def test_only_calls_of_spawns_count(tmp_path: Path) -> None:
    (tmp_path / "hub-1").write_text(
        "1.000 POST /api/v1/namespaces/lab/pods\n"
        "5.000 POST /api/v1/namespaces/lab/pods\n"
        "5.500 GET /api/v1/namespaces/lab/pods watch\n"
        "6.000 GET /api/v1/namespaces/lab/pods/mlabhub-x-alice\n"
    )
    spawning, watching = calls_between(tmp_path, [(4.0, 7.0)])
    assert spawning == Counter({"POST pods": 1, "GET pods/NAME": 1})
    assert watching == Counter({"GET pods watch": 1})


def test_the_summary() -> None:
    calls = Counter({"POST pods": 3, "DELETE pods/NAME": 3})
    figures = summary(
        [(3.0, 2.0), (5.0, 2.0), (4.0, 2.0)],
        [40.0, 60.0, 50.0],
        [(calls + Counter({"GET pods/NAME": 3}), Counter()), (calls, Counter())],
    )
    assert figures["own_share_ms"] == {"median": 50.0, "largest": 60.0, "target": 50.0, "met": True}
    assert figures["post_to_ready_s"] == {"ours": 4.0, "plain": 2.0, "difference": 2.0, "interval": [1.0, 3.0]}
    assert figures["calls_per_start_and_stop"] == {"ours": 3.0, "plain": 2.0, "met": True}
