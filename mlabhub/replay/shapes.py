"""More made workloads: other sizes, other promises, other rhythms than those of `workloads`.

Guarantees: as there.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mlabhub.replay.workloads import (
    DAY,
    HOUR,
    NOTEBOOK,
    TRAIN,
    Kind,
    Made,
    cluster,
    merged,
    mixed,
    quotas,
    request,
)


def _owns(**guaranteed: float) -> dict[str, dict[str, float]]:
    return {"guaranteed": {key: float(amount) for key, amount in guaranteed.items()}}


def one_node(seed: int = 21) -> Made:
    """Eight GPUs in all, three groups."""
    kinds = [NOTEBOOK, TRAIN, Kind(1, (4, 8), None, 2 * HOUR, 1.2)]
    groups = [("vision", 3.0), ("speech", 2.0), ("robots", 1.0)]
    shares = {"vision": _owns(gpu=3), "speech": _owns(gpu=3), "robots": _owns(gpu=2)}
    return Made("one-node", mixed(seed, cluster(a100=1), groups, kinds, 1.0, 6), quotas(shares))


def over_promised(seed: int = 22) -> Made:
    """Guarantees that sum to more than there is."""
    kinds = [NOTEBOOK, Kind(4, (1, 2, 4, 8), None, 3 * HOUR, 1.4)]
    groups = [("vision", 3.0), ("speech", 3.0), ("robots", 1.0), ("guests", 2.0)]
    shares = {"vision": _owns(gpu=48), "speech": _owns(gpu=32), "robots": _owns(gpu=24)}
    return Made("over-promised", mixed(seed, cluster(a100=10), groups, kinds, 1.0, 4), quotas(shares))


def typed(seed: int = 23) -> Made:
    """Guarantees by type alone."""
    kinds = [
        Kind(3, (1, 2, 4, 8), "a100", 2 * HOUR, 1.4),
        Kind(3, (1, 1, 2), "rtx4090", 2 * HOUR, 1.2),
        NOTEBOOK,
    ]
    groups = [("vision", 3.0), ("speech", 2.0), ("robots", 2.0), ("guests", 1.0)]
    shares = {
        "vision": {"guaranteed": {"gpu:a100": 16.0}},
        "speech": {"guaranteed": {"gpu:rtx4090": 12.0}},
        "robots": {"guaranteed": {"gpu:a100": 4.0, "gpu:rtx4090": 8.0}},
    }
    return Made("typed", mixed(seed, cluster(a100=3, rtx4090=3), groups, kinds, 1.0, 5), quotas(shares))


def bursts(seed: int = 24) -> Made:
    """Thirty times somebody asks for 20 to 120 at once."""
    nodes = cluster(a100=6)
    random = Random(seed)
    made = []
    for _ in range(30):
        group = random.choice(["vision", "speech", "guests"])
        at, user = random.uniform(0, 5 * DAY), f"{group}-{random.randrange(6)}"
        kind = Kind(1, (random.choice([1, 1, 2, 4]),), None, random.choice([0.5, 1, 2]) * HOUR, 0.8)
        count = random.choice([20, 40, 80, 120])
        made += [request(random, 0, round(at + i * 1.0, 1), (group, user), kind) for i in range(count)]
    calm = mixed(seed, nodes, [("vision", 1.0), ("speech", 2.0), ("guests", 1.0)], [NOTEBOOK], 0.15, 5)
    shares = {"vision": _owns(gpu=20), "speech": _owns(gpu=20)}
    return Made("bursts", merged(nodes, calm.requests, made), quotas(shares))


def short(seed: int = 25) -> Made:
    """Six hours, and short work."""
    kinds = [Kind(5, (1, 1, 2), None, 0.4 * HOUR, 1.0, interactive=True), Kind(3, (2, 4, 8), None, 1 * HOUR, 1.0)]
    groups = [("vision", 2.0), ("speech", 2.0), ("guests", 1.0)]
    shares = {"vision": _owns(gpu=14), "speech": _owns(gpu=10)}
    return Made("short", mixed(seed, cluster(a100=4), groups, kinds, 1.1, 0.25, wave=0.0), quotas(shares))


SHAPES: dict[str, Callable[..., Made]] = {
    "one-node": one_node,
    "over-promised": over_promised,
    "typed": typed,
    "bursts": bursts,
    "short": short,
}
"""Workloads by name, each a function of a seed."""
