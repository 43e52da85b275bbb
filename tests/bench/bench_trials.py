"""Trials of a policy and of quotas on what a large site recorded, run as the service's process runs them.

    python -m tests.bench.bench_trials [--servers 300] [--hours 48] [--runs 5000]

Prints one line of JSON: seconds of processor time of both trials, the most memory that either took, and how much there
was to replay.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any

from mlabhub.core.idle.file import Idle
from mlabhub.core.quotas import Quotas
from mlabhub.core.readings import Sample
from mlabhub.ledger import Reservation, SqlLedger, SqlSamples, open_sqlite
from mlabhub.replay.recorded import Site
from mlabhub.service.trials.idle import Choice, IdleTrial
from mlabhub.service.trials.quotas import QuotaTrial
from tests.service.conftest import make_settings

NOW = 1.8e9
HOUR = 3600.0
GROUPS = ("vision", "nlp", "audio", "robots")


def fill(ledger: SqlLedger, servers: int, hours: int, runs: int) -> None:
    """Let servers have been at work and idle in turn, and launches have run for a week."""
    random = Random(1)
    store = SqlSamples(ledger)
    begin = NOW - hours * HOUR
    working = [random.random() < 0.5 for _ in range(servers)]
    for minute in range(1, hours * 60 + 1):
        t = begin + 60.0 * minute
        for number in range(servers):
            if random.random() < 1 / 120:
                working[number] = not working[number]
        rows = [
            Sample(t, f"u{n}/", f"S{n}", 1, (80.0 if working[n] else 0.0,), (1e9,), 0.1, (), {"kernels_busy": 0})
            for n in range(servers)
        ]
        store.add(t, rows)
    store.tidy(NOW)
    ledger.commit([_held(f"S{n}", f"u{n}", GROUPS[n % 4], begin, NOW, 1) for n in range(servers)])
    past = []
    for number in range(runs):
        began = NOW - random.random() * 7 * 86_400
        ended = began + random.expovariate(1 / (4 * HOUR))
        past.append(_held(f"R{number}", f"v{number}", random.choice(GROUPS), began, ended, random.choice((1, 2, 4))))
    ledger.commit(past)


def _held(launch_id: str, user: str, group: str, began: float, ended: float, gpus: int) -> Reservation:
    return Reservation(
        launch_id, user, "", "released", began, ended, began,
        group=group, profile="gpu", gpu_type="a100", gpus=tuple(map(str, range(gpus))), cpu=4.0, memory_gib=16.0,
        held=began, released=ended,
    )  # fmt: skip


def measure(servers: int, hours: int, runs: int) -> dict[str, Any]:
    """Run each trial once."""
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(Path(folder))
        ledger = open_sqlite(settings.ledger_file)
        fill(ledger, servers, hours, runs)
        ledger.close()
        idle = IdleTrial(settings, NOW, -(-hours // 24), Choice(Idle()), Choice(Idle(), aggressiveness=0.8))
        begun = time.process_time()
        told = idle.run(lambda share: None)
        spent = time.process_time() - begun
        sites = tuple(Site(f"n{number}", 96.0, 768.0, {"a100": 8}) for number in range(100))
        less = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 100.0}}}})
        quotas = QuotaTrial(settings, sites, NOW, 7, Quotas(), less, {})
        begun = time.process_time()
        asked = quotas.run(lambda share: None)
        return {
            "samples": told["after"]["samples"],
            "idle_s": round(spent, 1),
            "requests": asked["requests"],
            "quotas_s": round(time.process_time() - begun, 1),
            "most_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--servers", type=int, default=300)
    parser.add_argument("--hours", type=int, default=48)
    parser.add_argument("--runs", type=int, default=5000)
    print(json.dumps(measure(**vars(parser.parse_args()))))
