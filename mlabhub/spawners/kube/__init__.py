"""Users' servers as pods of a cluster.

Guarantees: what decides (`manifest` and its like) is pure and imports no spawner; KubeSpawner, which takes its time, is
loaded only where `MLabSpawner` is asked for.
"""

from __future__ import annotations

from typing import Any

__all__ = ["MLabSpawner"]


def __getattr__(name: str) -> Any:
    if name == "MLabSpawner":
        from mlabhub.spawners.kube.spawner import MLabSpawner

        return MLabSpawner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
