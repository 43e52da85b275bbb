"""What this machine has: cores, memory, GPUs.

Guarantees: never more than this process's own cgroups allow; what cannot be read is an error or is said, not zero. GPUs
that cannot be read do not stop servers that need none.
"""

from __future__ import annotations

import math
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.inventory.gpus import make_gpus, unread, with_missing
from mlabhub.inventory.nvml import Facts, NvmlReader
from mlabhub.inventory.simulated import make_simulated
from mlabhub.inventory.tenants import Tenants
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

GIB = 2**30
_UNLIMITED = 2**60
UNLOADED = N_("NVIDIA's driver was unloaded. `modprobe nvidia` loads it again.")


@dataclass(frozen=True)
class Limits:
    """What cgroups leave of the machine; infinite where they say nothing."""

    cpu: float = math.inf
    memory_bytes: float = math.inf


class Inventory:
    """The capacity of this machine, as one node. It remembers the GPUs that it has seen."""

    def __init__(self, settings: Settings, reader: NvmlReader | None = None):
        self._settings = settings
        self._reader = reader or NvmlReader()
        self._known: tuple[Gpu, ...] = ()
        self.node = socket.gethostname()

    def look(self) -> Facts | None:
        """Return what the driver tells now, to be followed by `read`; None if GPUs are simulated. Blocks."""
        return None if self._settings.simulate_gpus else self._reader.read()

    def read(self, facts: Facts | None, tenants: Tenants) -> Capacity:
        """Return the capacity now. ``tenants`` must have been asked for after ``facts``. Blocks for a moment."""
        limits = read_limits(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))
        cores = min(float(len(os.sched_getaffinity(0))), limits.cpu)
        memory = min(float(psutil.virtual_memory().total), limits.memory_bytes)
        gpus, fault = self._gpus(facts, tenants)
        gib = math.floor(memory / GIB * 10) / 10
        return Capacity((Node(self.node, round(cores, 2), gib, gpus, gpu_fault=fault),))

    def _gpus(self, facts: Facts | None, tenants: Tenants) -> tuple[tuple[Gpu, ...], Message | None]:
        if facts is None:
            return make_simulated(self._settings.simulate_gpus, self.node, self._settings.instance), None
        fault = facts.fault
        if fault is None and not facts.has_driver and self._known:
            fault = Message(UNLOADED)
        if fault is not None:
            return unread(self._known), fault
        now = make_gpus(facts.gpus, self.node, self._settings.instance, tenants)
        self._known = with_missing(self._known, now, tenants.held)
        return self._known, None


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
