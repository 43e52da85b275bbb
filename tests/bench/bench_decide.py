"""One decision in memory, and one forecast, with thousands of servers held.

    python -m tests.bench.bench_decide [--held 3000] [--nodes 25]

Prints one line of JSON: microseconds to admit a launch, to refuse one in words, to refuse one and look for the nearest
that starts (one is near; none is), and milliseconds to forecast 500 choices. Each is the best of several rounds, which
other programs on the machine disturb least.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from mlabhub.core.admission import Capacity, Holdings, Viewer, decide
from mlabhub.core.forecast import forecast
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.service.previews import Scene, make_preview, with_every_choice
from tests.core.examples import make_holding, make_node, make_request

ROUNDS = 7
GPUS = 8
QUOTAS = Quotas.model_validate(
    {
        "groups": {f"group{number}": {"limit": {"gpu": 4000}} for number in range(20)},
        "users": {"default": {"gpu": 4000, "servers": 4000, "soft": ["gpu"]}},
    }
)
SIZE: dict[str, Any] = {"images": ["base"], "cpu": {"min": 1, "max": 8}, "memory_gib": {"min": 1, "max": 64}}
CATALOG = Catalog.model_validate(
    {
        "images": [{"slug": "base", "display_name": "Base", "reference": "localhost/base"}],
        "profiles": [
            {"slug": f"gpu-{n}", "display_name": "GPU", **SIZE, "gpus": [1, 2, 4, 8], "gpu_types": ["a100", "t4"]}
            for n in range(63)
        ],
        "quotas": QUOTAS.model_dump(),
    }
)


def make_lab(held: int, nodes: int) -> tuple[Capacity, Holdings]:
    """Return machines of which the last has two GPUs free, the others none, and many small servers on all of them."""
    capacity = Capacity(tuple(make_node(f"n{number}", GPUS, memory_gib=8192) for number in range(nodes)))
    holdings = Holdings()
    for number in range(nodes):
        count = GPUS - 2 if number == nodes - 1 else GPUS
        uuids = tuple(f"n{number}-a100-{gpu}" for gpu in range(count))
        holdings.add(make_holding(f"G{number}", f"holder{number}", node=f"n{number}", gpus=uuids, gpu_type="a100"))
    for number in range(held):
        about = {"group": f"group{number % 20}", "node": f"n{number % nodes}", "cpu": 0.01, "memory_gib": 0.5}
        holdings.add(make_holding(f"L{number}", f"u{number % 600}", **about))
    return capacity, holdings


def best_us(act: Callable[[], object], times: int) -> float:
    """Return microseconds for one call, in the best of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(times):
            act()
        rounds.append((time.perf_counter() - began) / times * 1e6)
    return round(min(rounds), 1)


def run(held: int = 3000, nodes: int = 25) -> dict[str, float]:
    """Measure."""
    capacity, holdings = make_lab(held, nodes)
    about: dict[str, Any] = {"profile": "gpu-0", "group": "group1", "gpu_type": "a100", "cpu": 4.0, "memory_gib": 4.0}
    small, large = make_request(gpus=1, **about), make_request(gpus=4, **about)
    none = make_request(gpus=1, **{**about, "gpu_type": "t4"})
    profile, scene = CATALOG.profiles[0], (QUOTAS, holdings, (), capacity, 0.0)
    assert decide(small, *scene).verdict == "admit"
    assert forecast(large, profile, *scene).nearest is not None
    only = profile.model_copy(update={"gpu_types": ("t4",)})
    assert forecast(none, only, *scene).nearest is None
    whole = Scene(CATALOG, "alice", ["group1"], Viewer("alice"), holdings, (), capacity, 0.0)
    preview = make_preview(whole, {})
    assert len(with_every_choice(whole, {}, preview).choices) == 500
    return {
        "held": held,
        "nodes": nodes,
        "admit_us": best_us(lambda: decide(small, *scene), 200),
        "refuse_us": best_us(lambda: decide(large, *scene), 100),
        "nearest_us": best_us(lambda: forecast(large, profile, *scene), 50),
        "nothing_near_us": best_us(lambda: forecast(none, only, *scene), 50),
        "every_choice_ms": best_us(lambda: with_every_choice(whole, {}, preview), 3) / 1000,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held", type=int, default=3000)
    parser.add_argument("--nodes", type=int, default=25)
    print(json.dumps(run(**vars(parser.parse_args()))))
    sys.exit(0)
