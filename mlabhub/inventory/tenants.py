"""Whose process it is that uses a GPU: one of our servers', or not.

Guarantees: a process counts as a server's only if its control group is the one of that server's container, or, where
servers are plain processes, if its environment names installation and launch; and only on GPUs which that server holds.
A process that cannot be looked at is nobody's of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from mlabhub.engine import processes
from mlabhub.inventory.backend import BackendServer

_CONTAINER = re.compile(r"[0-9a-f]{64}")
_ALIVE = ("running", "starting")
LONGEST_NAME = 40


@dataclass(frozen=True)
class Tenants:
    """The servers that run, and the GPUs that each holds: by container, or by launch for plain processes.

    ``known`` is false when the backend could not be asked: then it cannot be told whose a process is.
    """

    containers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    launches: Mapping[str, frozenset[str]] = field(default_factory=dict)
    instance: str = ""
    known: bool = True
    proc: Path = Path("/proc")

    @property
    def held(self) -> frozenset[str]:
        """Every GPU that a server which runs holds."""
        return frozenset().union(*self.containers.values(), *self.launches.values())

    def accounts_for(self, pid: int, gpu: str) -> bool:
        """Return whether a process is one of a server that holds this GPU."""
        ids = _CONTAINER.findall(_text(self.proc / str(pid) / "cgroup"))
        if any(gpu in self.containers.get(one, ()) for one in ids):
            return True
        if not self.launches:
            return False
        environment = self._environment(pid)
        mine = environment.get(processes.INSTANCE) == self.instance
        return mine and gpu in self.launches.get(environment.get(processes.LAUNCH_ID, ""), ())

    def launch_of(self, pid: int) -> str:
        """Return the launch that a process says it was started by, if it says so."""
        return self._environment(pid).get(processes.LAUNCH_ID, "")[:LONGEST_NAME]

    def _environment(self, pid: int) -> dict[str, str]:
        entries = _text(self.proc / str(pid) / "environ").split("\0")
        return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def tenants_of_containers(servers: Iterable[BackendServer]) -> Tenants:
    """Return the tenants where servers are containers."""
    return Tenants(containers={one.handle: frozenset(one.gpus) for one in servers if one.state in _ALIVE})


def tenants_of_processes(servers: Iterable[BackendServer], instance: str) -> Tenants:
    """Return the tenants where servers are plain processes."""
    launches = {one.launch_id: frozenset(one.gpus) for one in servers if one.state in _ALIVE}
    return Tenants(launches=launches, instance=instance)


def name_of(pid: int) -> str:
    """Return a process's name, fit for a line; empty if there is none of that number, or none that can be seen."""
    try:
        name = psutil.Process(pid).name()
    except psutil.Error:
        return ""
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:LONGEST_NAME]


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
