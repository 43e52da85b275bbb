"""What this machine has: cores, memory, GPUs.

Guarantees: never more than this process's own cgroups allow; what cannot be read is an error, not zero.
"""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.inventory.nvml import read_gpus
from mlabhub.inventory.simulated import make_simulated
from mlabhub.settings import Settings

GIB = 2**30
_UNLIMITED = 2**60


@dataclass(frozen=True)
class Limits:
    """What cgroups leave of the machine; infinite where they say nothing."""

    cpu: float = math.inf
    memory_bytes: float = math.inf


class Inventory:
    """The capacity of this machine, as one node."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self.node = socket.gethostname()

    def read(self) -> Capacity:
        """Return the capacity now. Blocks."""
        limits = read_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
        cores = min(float(len(os.sched_getaffinity(0))), limits.cpu)
        memory = min(float(psutil.virtual_memory().total), limits.memory_bytes)
        node = Node(self.node, round(cores, 2), math.floor(memory / GIB * 10) / 10, self._gpus())
        return Capacity((node,))

    def _gpus(self) -> tuple[Gpu, ...]:
        if self._settings.simulate_gpus:
            return make_simulated(self._settings.simulate_gpus, self.node, self._settings.instance)
        return read_gpus(self.node, self._settings.instance)


def read_limits(root: Path, membership: Path) -> Limits:
    """Return the tightest limits of the process's cgroup and those above it, in either version's files."""
    cpu = memory = math.inf
    for folder in _folders(root, membership):
        cpu = min(cpu, _cpu_max(folder / "cpu.max"), _cpu_quota(folder))
        memory = min(memory, _number(folder / "memory.max"), _number(folder / "memory.limit_in_bytes"))
    return Limits(cpu, memory)


def _folders(root: Path, membership: Path) -> list[Path]:
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = [controllers, *controllers.split(",")] if controllers else ["", "unified"]
        for name in dict.fromkeys(names):
            top = root / name if name else root
            below = [top / path.strip("/"), *(top / path.strip("/")).parents]
            found += [folder for folder in below if folder.is_relative_to(top) and folder.is_dir()]
    return list(dict.fromkeys(found))


def _cpu_max(file: Path) -> float:
    try:
        quota, period = file.read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf


def _cpu_quota(folder: Path) -> float:
    quota, period = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota / period if 0 < quota < math.inf and 0 < period < math.inf else math.inf


def _number(file: Path) -> float:
    try:
        value = int(file.read_text())
    except (OSError, ValueError):
        return math.inf
    return float(value) if value < _UNLIMITED else math.inf
