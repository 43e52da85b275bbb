"""Made workloads: different labs on different clusters, the same for the same seed.

Guarantees: pure functions of their parameters (a seed of their own, no other chance). Durations are heavy-tailed, as
they are in every published trace; each workload comes with quotas that suit its cluster.

They are for trying rules out; a recorded workload of one's own says more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from mlabhub.core.quotas import Quotas
from mlabhub.replay.model import Node, Request, Workload

HOUR = 3600.0
DAY = 24 * HOUR


@dataclass(frozen=True)
class Made:
    """A workload and the quotas that go with it."""

    name: str
    workload: Workload
    quotas: Quotas


@dataclass(frozen=True)
class Kind:
    """A kind of request: how often, how large, how long (a log-normal duration: its median, and its spread)."""

    weight: float
    gpus: tuple[int, ...]
    gpu_type: str | None
    median_s: float
    spread: float = 1.4
    interactive: bool = False
    cpu_per_gpu: float = 8.0
    memory_per_gpu: float = 64.0
    longest_s: float = 3 * DAY


NOTEBOOK = Kind(4, (1,), None, 1.5 * HOUR, 1.0, interactive=True, cpu_per_gpu=4, memory_per_gpu=32)
TRAIN = Kind(4, (1, 1, 2, 4), None, 2 * HOUR, 1.6)
CPU_ONLY = Kind(2, (0,), None, 1 * HOUR, 1.5, cpu_per_gpu=4, memory_per_gpu=16)


def cluster(**counts: int) -> tuple[Node, ...]:
    """Return nodes of 8 GPUs: ``cluster(a100=10, t4=5, cpu=2)``; ``cpu`` ones have none."""
    nodes = []
    for name, count in counts.items():
        gpus = 0 if name == "cpu" else 8
        nodes += [Node(f"{name}-{number}", name if gpus else None, gpus, 96.0, 768.0) for number in range(1, count + 1)]
    return tuple(nodes)


def arrivals(random: Random, count: int, span: float, wave: float = 0.7) -> list[float]:
    """Return times over ``span`` that follow day and night: ``wave`` 0 is none, 1 no arrivals at all at night."""
    times: list[float] = []
    while len(times) < count:
        t = random.uniform(0, span)
        if random.random() <= (1 + wave * math.sin(2 * math.pi * (t % DAY) / DAY - math.pi / 2)) / (1 + wave):
            times.append(round(t, 1))
    return sorted(times)


def request(random: Random, number: int, t: float, who: tuple[str, str], kind: Kind) -> Request:
    """Make one request of a kind."""
    group, user = who
    gpus = random.choice(kind.gpus)
    duration = min(random.lognormvariate(math.log(kind.median_s), kind.spread), kind.longest_s)
    units = max(gpus, 1)
    return Request(
        t=t,
        id=f"r{number}",
        user=user,
        group=group,
        gpu_type=kind.gpu_type if gpus else None,
        gpus=gpus,
        cpu=min(kind.cpu_per_gpu * units, 96.0),
        memory_gib=min(kind.memory_per_gpu * units, 768.0),
        duration_s=round(max(60.0, duration), 1),
        interactive=kind.interactive,
    )


def mixed(
    seed: int,
    nodes: Sequence[Node],
    groups: Sequence[tuple[str, float]],
    kinds: Sequence[Kind],
    load: float,
    days: float,
    wave: float = 0.7,
) -> Workload:
    """Return requests that ask for ``load`` times what the GPUs can give in ``days``, of groups by weight."""
    random = Random(seed)
    room = load * sum(node.gpus for node in nodes) * days * DAY
    made: list[Request] = []
    asked = 0.0
    while asked < room and len(made) < 200_000:
        group = random.choices([name for name, _ in groups], [weight for _, weight in groups])[0]
        user = f"{group}-{min(int(random.expovariate(0.25)), 30)}"
        kind = random.choices(kinds, [one.weight for one in kinds])[0]
        made.append(request(random, len(made), 0.0, (group, user), kind))
        asked += made[-1].gpus * made[-1].duration_s
    return timed(made, arrivals(random, len(made), days * DAY, wave), nodes)


def timed(requests: Sequence[Request], times: Sequence[float], nodes: Sequence[Node]) -> Workload:
    """Give requests their times."""
    placed = [_at(one, t, number) for number, (one, t) in enumerate(zip(requests, times, strict=True))]
    return Workload(tuple(nodes), tuple(placed))


def merged(nodes: Sequence[Node], *parts: Sequence[Request]) -> Workload:
    """Put several streams of requests into one, by time, with new ids."""
    ordered = sorted((one for part in parts for one in part), key=lambda one: one.t)
    return Workload(tuple(nodes), tuple(_at(one, one.t, number) for number, one in enumerate(ordered)))


def _at(one: Request, t: float, number: int) -> Request:
    return replace(one, t=t, id=f"r{number}")


def quotas(groups: dict[str, dict[str, dict[str, float]]], **more: object) -> Quotas:
    """Return quotas as ``quotas.yaml`` would say them."""
    return Quotas.model_validate({"groups": groups, **more})


def heavy_tail(seed: int = 1) -> Made:
    """One kind of GPU, four groups, a load a little above what there is, durations with a very long tail."""
    nodes = cluster(a100=6)
    groups = [("vision", 4), ("speech", 2), ("robots", 1), ("guests", 2)]
    kinds = [NOTEBOOK, Kind(5, (1, 2, 4, 8), None, 1.5 * HOUR, 2.0)]
    shares = {"vision": _owns(gpu=16), "speech": _owns(gpu=12), "robots": _owns(gpu=8)}
    return Made("heavy-tail", mixed(seed, nodes, groups, kinds, 1.05, 6), quotas(shares))


def day_and_night(seed: int = 2) -> Made:
    """Long work at night, sessions by day: who sleeps lends, and comes back in the morning."""
    nodes = cluster(a100=8)
    kinds_day = [Kind(6, (1, 1, 2), None, 3 * HOUR, 0.8, interactive=True), CPU_ONLY]
    day = mixed(seed, nodes, [("vision", 1), ("speech", 1)], kinds_day, 0.5, 6, wave=1.0)
    night = mixed(seed + 1, nodes, [("batch", 1)], [Kind(1, (1, 2, 4, 8), None, 6 * HOUR, 1.0)], 0.6, 6, wave=0.0)
    shares = {"vision": _owns(gpu=24), "speech": _owns(gpu=24), "batch": _owns(gpu=8)}
    return Made("day-and-night", merged(nodes, day.requests, night.requests), quotas(shares))


def mixed_types(seed: int = 3) -> Made:
    """Three types of GPUs, guarantees by type and in all, some who take any."""
    nodes = cluster(a100=4, rtx4090=4, t4=3, cpu=1)
    kinds = [
        Kind(3, (1, 2, 4, 8), "a100", 3 * HOUR, 1.5),
        Kind(3, (1, 2, 4), "rtx4090", 2 * HOUR, 1.4),
        Kind(2, (1,), "t4", 2 * HOUR, 1.0, interactive=True, cpu_per_gpu=4, memory_per_gpu=32),
        NOTEBOOK,
        CPU_ONLY,
    ]
    shares = {
        "vision": {"guaranteed": {"gpu": 40.0, "gpu:a100": 16.0, "gpu:rtx4090": 16.0}, "limit": {"gpu": 72.0}},
        "speech": {"guaranteed": {"gpu": 20.0, "gpu:a100": 12.0}, "limit": {"gpu": 48.0}},
        "robots": {"guaranteed": {"gpu": 10.0, "gpu:t4": 8.0}},
    }
    groups = [("vision", 4), ("speech", 3), ("robots", 2), ("guests", 2)]
    return Made(
        "mixed-types", mixed(seed, nodes, groups, kinds, 0.95, 6), quotas(shares, users={"default": {"gpu": 32}})
    )


def owners_return(seed: int = 4) -> Made:
    """A group with half of the cluster is away for days at a time, and comes back all at once."""
    nodes = cluster(a100=6)
    borrow = mixed(seed, nodes, [("students", 3), ("guests", 1)], [TRAIN, NOTEBOOK], 1.0, 6, wave=0.2)
    random = Random(seed)
    kind = Kind(1, (2, 4, 8), None, 3 * HOUR, 0.9)
    back = [
        request(
            random, 0, round(day * DAY + hour * HOUR + random.uniform(0, 900), 1), ("owners", f"owner-{i % 5}"), kind
        )
        for day in (1, 2, 4, 5)
        for hour in (9, 14)
        for i in range(8)
    ]
    shares = {"owners": _owns(gpu=24), "students": _owns(gpu=12), "guests": _owns(gpu=4)}
    return Made("owners-return", merged(nodes, borrow.requests, back), quotas(shares))


def five_hundred(seed: int = 5) -> Made:
    """One person asks for 500 runs at once, twice; nine others of the group want a GPU now and then."""
    nodes = cluster(a100=4)
    random = Random(seed)
    base = mixed(seed, nodes, [("vision", 2), ("speech", 1)], [NOTEBOOK, TRAIN], 0.5, 5)
    sweep = Kind(1, (1,), None, 0.6 * HOUR, 0.8)
    flood = [
        request(random, 0, start + i * 0.5, ("vision", "vision-sweeper"), sweep)
        for start in (0.4 * DAY, 2.4 * DAY)
        for i in range(500)
    ]
    return Made(
        "500-requests", merged(nodes, base.requests, flood), quotas({"vision": _owns(gpu=16), "speech": _owns(gpu=8)})
    )


def full_nodes(seed: int = 6) -> Made:
    """Many small ones, and some who need a whole node: large holes are what is scarce."""
    nodes = cluster(a100=8)
    kinds = [Kind(12, (1, 1, 1, 2), None, 2 * HOUR, 1.3), Kind(1, (8,), None, 5 * HOUR, 0.8, cpu_per_gpu=10)]
    shares = {"vision": _owns(gpu=24), "speech": _owns(gpu=24)}
    return Made(
        "full-nodes", mixed(seed, nodes, [("vision", 1), ("speech", 1), ("guests", 1)], kinds, 0.95, 6), quotas(shares)
    )


def cpu_work(seed: int = 7) -> Made:
    """Half of all requests take no GPU, and some take the CPUs that GPUs would need."""
    nodes = cluster(t4=5, cpu=2)
    kinds = [
        Kind(6, (0,), None, 1 * HOUR, 1.5, cpu_per_gpu=16, memory_per_gpu=64),
        Kind(4, (1, 1, 2), "t4", 2 * HOUR, 1.2),
        Kind(2, (1, 4), None, 3 * HOUR, 1.3),
    ]
    shares = {
        "vision": {"guaranteed": {"gpu": 16.0, "cpu": 200.0}},
        "biology": {"guaranteed": {"cpu": 300.0, "gpu": 8.0}, "limit": {"cpu": 500.0}},
    }
    return Made(
        "cpu-work", mixed(seed, nodes, [("vision", 2), ("biology", 3), ("guests", 1)], kinds, 0.9, 5), quotas(shares)
    )


def deadline_week(seed: int = 8) -> Made:
    """The load doubles towards a deadline, above all of one group."""
    nodes = cluster(a100=6, rtx4090=2)
    calm = mixed(seed, nodes, [("vision", 1), ("speech", 1), ("guests", 1)], [NOTEBOOK, TRAIN], 0.6, 7)
    rush = mixed(seed + 1, nodes, [("vision", 1)], [Kind(1, (1, 2, 4, 8), None, 4 * HOUR, 1.2)], 0.9, 3)
    late = [_at(one, round(one.t + 3 * DAY, 1), 0) for one in rush.requests]
    shares = {"vision": _owns(gpu=28), "speech": _owns(gpu=20), "guests": {"limit": {"gpu": 24.0}}}
    return Made("deadline-week", merged(nodes, calm.requests, late), quotas(shares))


def week(seed: int = 9, count: int = 5_000) -> Made:
    """A week of requests on 100 nodes of three types: what the bench replays."""
    nodes = cluster(a100=50, rtx4090=30, t4=15, cpu=5)
    random = Random(seed)
    groups = ["vision", "speech", "robots", "biology", "guests"]
    kinds = [
        Kind(4, (1, 2, 4, 8), "a100", 5 * HOUR, 1.3),
        Kind(3, (1, 2, 4), "rtx4090", 5 * HOUR, 1.3),
        Kind(2, (1,), "t4", 4 * HOUR, 1.0, interactive=True),
        Kind(4, (1, 2, 4, 8), None, 4.5 * HOUR, 1.3),
        CPU_ONLY,
    ]
    made = []
    for number in range(count):
        group = random.choices(groups, [4, 3, 2, 2, 3])[0]
        user = f"{group}-{min(int(random.expovariate(0.2)), 40)}"
        made.append(
            request(random, number, 0.0, (group, user), random.choices(kinds, [one.weight for one in kinds])[0])
        )
    shares = {
        "vision": {"guaranteed": {"gpu": 240.0, "gpu:a100": 160.0}, "limit": {"gpu": 480.0}},
        "speech": {"guaranteed": {"gpu": 160.0, "gpu:a100": 80.0}, "limit": {"gpu": 400.0}},
        "robots": {"guaranteed": {"gpu": 100.0, "gpu:rtx4090": 80.0}},
        "biology": {"guaranteed": {"gpu": 80.0}},
    }
    return Made("week", timed(made, arrivals(random, count, 7 * DAY), nodes), quotas(shares))


def example(seed: int = 10) -> Made:
    """Two days of a small lab: what docs/examples/replay holds."""
    nodes = cluster(a100=1, t4=1)
    kinds = [
        Kind(3, (1, 1, 2, 4), "a100", 3 * HOUR, 1.0, longest_s=DAY),
        Kind(3, (1,), "t4", 2 * HOUR, 0.8, interactive=True, cpu_per_gpu=4, memory_per_gpu=32),
        NOTEBOOK,
        CPU_ONLY,
    ]
    lab = mixed(seed, nodes, [("vision", 2), ("speech", 1), ("guests", 2)], kinds, 0.9, 2)
    shares = {
        "vision": {"guaranteed": {"gpu": 6.0, "gpu:a100": 4.0}, "limit": {"gpu": 14.0}},
        "speech": {"guaranteed": {"gpu": 4.0, "gpu:a100": 2.0}},
    }
    return Made("example", lab, quotas(shares, users={"default": {"gpu": 8}}))


ALL: dict[str, Callable[..., Made]] = {
    "heavy-tail": heavy_tail,
    "day-and-night": day_and_night,
    "mixed-types": mixed_types,
    "owners-return": owners_return,
    "500-requests": five_hundred,
    "full-nodes": full_nodes,
    "cpu-work": cpu_work,
    "deadline-week": deadline_week,
}
"""Workloads by name, each a function of a seed; ``week`` is apart, for the bench."""


def _owns(**guaranteed: float) -> dict[str, dict[str, float]]:
    return {"guaranteed": {key: float(amount) for key, amount in guaranteed.items()}}
