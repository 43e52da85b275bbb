"""What it costs to say when things start: 200 nodes of 8 GPUs, all of them held, with a history of 5,000 runs.

    python -m tests.bench.bench_forecast [--nodes 200] [--queued 500]

Prints one line of JSON: milliseconds (the median of several rounds) to decide on 50 choices as launches are, to see
what lasts how long and to prepare the scene, and to give all 50 choices their ranges; the same with people waiting,
and all their ranges. ``ratio`` is the forecast of 50 choices, with all that it stands on, to the plain decisions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from mlabhub.core.admission import Capacity, Holdings, decide
from mlabhub.core.durations import Durations, Kind, Lasting
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Machine, Round, Run, Scene, Waiter
from mlabhub.core.units import to_micro
from mlabhub.core.waits import Outlook
from tests.core.examples import make_holding, make_node, make_request

ROUNDS = 9
GPUS = 8
NOW = 1e6
TYPES = ("a100", "h100")
CHOICES = [(gpus, gpu_type, cpu) for gpu_type in TYPES for gpus in (1, 2, 4, 6, 8) for cpu in (2, 4, 6, 8, 10)]
QUOTAS = Quotas.model_validate({"groups": {f"g{n}": {"limit": {"gpu": 400}} for n in range(10)}})


def make_history(runs: int = 5000) -> Durations:
    """Return what many people's servers lasted: minutes to days."""
    numbers, durations = random.Random(1), Durations()
    for number in range(runs):
        person = number % 300
        kind = Kind(f"u{person}", f"g{person % 10}", f"p{person % 6}", True)
        durations.add(kind, numbers.lognormvariate(7 + person % 6 / 2, 1.2))
    return durations


def make_scene(nodes: int, queued: int) -> Scene:
    """Return machines whose GPUs are all held, by servers of 1 to 8 of them, and people who wait."""
    numbers, machines, runs = random.Random(2), [], []
    for node in range(nodes):
        gpu_type = TYPES[node % len(TYPES)]
        left = GPUS
        while left:
            gpus = min(left, numbers.choice((1, 1, 1, 2, 4, 8)))
            left -= gpus
            person = numbers.randrange(300)
            ask = Ask(gpus, gpu_type, to_micro(4 * gpus), to_micro(32 * gpus), f"p{person % 6}")
            about = (f"u{person}", f"g{person % 10}", ask, f"n{node}", NOW - numbers.expovariate(1 / 7200))
            runs.append(Run(f"r{len(runs)}", *about, 600.0))
        free = (to_micro(96 - 4 * GPUS), to_micro(768 - 32 * GPUS))
        whole = (to_micro(96), to_micro(768))
        machines.append(Machine(f"n{node}", {gpu_type: GPUS}, *whole, {gpu_type: 0}, *free, to_micro(96)))
    waiters = [
        Waiter(
            f"w{number}",
            f"u{number % 300}",
            f"g{number % 10}",
            Ask(numbers.choice((1, 2, 4, 8)), numbers.choice((*TYPES, None)), to_micro(8), to_micro(64), "p1"),
            NOW - number,
        )
        for number in range(queued)
    ]
    return Scene(machines, runs, waiters, QUOTAS, NOW)


def told_of(scene: Scene) -> Round:
    """Return a round in which all stay, in their order."""
    return Round(order=tuple(one.id for one in scene.waiters), blocked={one.id: "room" for one in scene.waiters})


def look(scene: Scene, durations: Durations) -> Outlook:
    """Return the outlook, from nothing but the history."""
    running = ((Kind(run.user, run.group, run.ask.profile, True), NOW - run.started) for run in scene.runs)
    return Outlook(scene, told_of(scene), Lasting(durations, running))


def ask_all(outlook: Outlook) -> int:
    """Ask for every choice; return how many have a range."""
    asks = [Ask(gpus, gpu_type, to_micro(cpu), to_micro(cpu * 4), "p1") for gpus, gpu_type, cpu in CHOICES]
    return sum(outlook.wait_for(ask, "u1", "g1").latest is not None for ask in asks)


def decide_all(capacity: Capacity, holdings: Holdings) -> int:
    """Decide on every choice."""
    requests = [
        make_request(gpus=gpus, gpu_type=gpu_type, cpu=float(cpu), memory_gib=cpu * 4.0, group="g1", profile="p1")
        for gpus, gpu_type, cpu in CHOICES
    ]
    return sum(decide(one, QUOTAS, holdings, (), capacity, NOW).placement is None for one in requests)


def median_ms(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the median of several calls, in milliseconds."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        taken.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(taken), 2)


def run(nodes: int = 200, queued: int = 500) -> dict[str, Any]:
    """Measure."""
    durations, scene, waiting = make_history(), make_scene(nodes, 0), make_scene(nodes, queued)
    capacity = Capacity(tuple(make_node(f"n{n}", GPUS, TYPES[n % 2], 96, 768) for n in range(nodes)))
    holdings = Holdings()
    for node in range(nodes):
        uuids = tuple(f"n{node}-{TYPES[node % 2]}-{gpu}" for gpu in range(GPUS))
        about: dict[str, Any] = {"node": f"n{node}", "gpus": uuids, "gpu_type": TYPES[node % 2], "cpu": 32}
        holdings.add(make_holding(f"G{node}", f"holder{node}", **about))
    assert decide_all(capacity, holdings) == len(CHOICES)
    assert ask_all(look(scene, durations)) == len(CHOICES)
    plain = median_ms(lambda: decide_all(capacity, holdings))
    forecast = median_ms(lambda: ask_all(look(scene, durations)))
    known = look(waiting, durations)
    figures = {
        "nodes": nodes,
        "runs": len(scene.runs),
        "plain_ms": plain,
        "forecast_ms": forecast,
        "ratio": round(forecast / plain, 2),
        "prepare_ms": median_ms(lambda: look(scene, durations)),
        "queued": queued,
        "queue_ms": median_ms(lambda: [look_all(look(waiting, durations), waiting)], 3),
        "choices_beside_queue_ms": None,
    }
    look_all(known, waiting)
    began = time.perf_counter()
    ask_all(known)
    figures["choices_beside_queue_ms"] = round((time.perf_counter() - began) * 1000, 2)
    return figures


def look_all(outlook: Outlook, scene: Scene) -> int:
    """Ask for the range of everybody who waits."""
    return sum(outlook.wait_of(one.id).earliest is not None for one in scene.waiters)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--queued", type=int, default=500)
    print(json.dumps(run(**vars(parser.parse_args()))))
    sys.exit(0)
