"""Whose process it is that uses a GPU.

Guarantees: a process is a server's only if its control group is that of the server's container, or lies below it, or if
it lives in the process-id namespace of that container, or, where servers are plain processes, if its environment names
the launch. Of several containers around a process the outermost that is a server counts, for inside of a container
anybody may name groups as they like. A process that is gone is nobody's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mlabhub.core.readings import Watched
from mlabhub.engine.processes import LAUNCH_ID

CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
STRANGER = ""
"""Who owns a process that is there and is no server's."""


class Owners:
    """Finds the launch of a process; made anew for each round, since process ids are used again."""

    def __init__(self, watched: Iterable[Watched], proc: Path = Path("/proc")):
        self._proc = proc
        watched = tuple(watched)
        self._containers = {one.container: one.launch_id for one in watched if one.container}
        self._plain = {one.launch_id for one in watched if not one.container}
        self._namespaces = {
            space: one.launch_id
            for one in watched
            if one.container and one.pid is not None and (space := self._namespace(str(one.pid)))
        }
        self._namespaces.pop(self._namespace("self"), None)  # a container that shares the machine's own

    def owner(self, pid: int) -> str | None:
        """Return a process's launch, `STRANGER`, or None if it is gone."""
        try:
            groups = (self._proc / str(pid) / "cgroup").read_text("utf-8", "replace")
        except OSError:
            return None
        for found in CONTAINER_ID.findall(groups):
            if found in self._containers:
                return self._containers[found]
        launch = self._namespaces.get(self._namespace(str(pid)))
        return launch or self._named(pid)

    def _named(self, pid: int) -> str:
        if not self._plain:
            return STRANGER
        try:
            entries = (self._proc / str(pid) / "environ").read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            return STRANGER
        launch = dict(entry.split("=", 1) for entry in entries if "=" in entry).get(LAUNCH_ID, STRANGER)
        return launch if launch in self._plain else STRANGER

    def _namespace(self, pid: str) -> str:
        try:
            return os.readlink(self._proc / pid / "ns" / "pid")
        except OSError:
            return ""
