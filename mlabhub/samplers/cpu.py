"""Cores that servers of this machine use: a container's by its control group, a plain server's by its processes.

Guarantees: what is told is CPU time over the time that passed by a clock that never steps. Where a control group is
gone, a count went back, or processes ended uncounted, the use of that stretch is unknown; the first look tells nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

from mlabhub.core.readings import Reading, Watched, known
from mlabhub.engine.processes import LAUNCH_ID
from mlabhub.messages import N_, Message
from mlabhub.samplers.owners import CONTAINER_ID

LOOK_AGAIN_S = 30.0
"""How often a container's control group is looked for that was not found."""
DEEPEST = 8
TICK_S = 0.02
"""What the kernel rounds a process's CPU time to, user and system."""

NO_GROUP = N_("The control group of {server}'s container cannot be read, so its use of CPU is not known.")
WENT_BACK = N_("The count of {server}'s CPU time went back, so its use of CPU in between is not known.")
UNCOUNTED = N_("Programs of {server} ended uncounted, so its use of CPU in between is not known.")
NO_PROCESS = N_("No process of {server} can be seen, so its use of CPU is not known.")

Used = Mapping[str, float | Message]
"""CPU seconds since the look before, by launch, or why they are not known; absent at the first look."""


class Source(Protocol):
    """Where CPU time comes from."""

    def used(self, watched: Iterable[Watched]) -> Used:
        """Return what was used since the last call."""


class CpuSampler:
    """Reads the cores of all servers; call it every few seconds, from one thread at a time."""

    def __init__(
        self, containers: Source | None = None, plain: Source | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._containers = containers or ControlGroups(clock=clock)
        self._plain = plain or Processes()
        self._clock = clock
        self._before: float | None = None

    def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return a reading of every server that was there at the last look, too."""
        watched = tuple(watched)
        moment = self._clock()
        used = {
            **self._containers.used([one for one in watched if one.container]),
            **self._plain.used([one for one in watched if not one.container]),
        }
        passed = 0.0 if self._before is None else moment - self._before
        self._before = moment
        return tuple(_reading(one, used[one.launch_id], now, passed) for one in watched if one.launch_id in used)


def _reading(one: Watched, used: float | Message, now: float, passed: float) -> Reading:
    if isinstance(used, Message):
        return Reading(one.server, one.launch_id, now, span_s=passed, reasons=(used,))
    cores = known(used / passed) if passed > 0 else None
    return Reading(one.server, one.launch_id, now, cpu_cores=cores, span_s=passed)


class ControlGroups:
    """Containers' CPU time as the kernel counts it, in either layout of control groups.

    A group below the one of a container is never taken for another container's, however it is called: inside of a
    container anybody may make groups.
    """

    def __init__(self, root: Path = Path("/sys/fs/cgroup"), clock: Callable[[], float] = time.monotonic):
        self._top, self._read = _layout(root)
        self._clock = clock
        self._places: dict[str, Path] = {}
        self._looked: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def used(self, watched: Iterable[Watched]) -> Used:
        """Return what was used since the last call."""
        watched = tuple(watched)
        self._find({one.container for one in watched})
        before, self._before = self._before, {}
        found: dict[str, float | Message] = {}
        for one in watched:
            count = self._count(one.container)
            if count is None:
                found[one.launch_id] = Message.of(NO_GROUP, server=one.server)
                continue
            self._before[one.launch_id] = count
            earlier = before.get(one.launch_id)
            if earlier is not None:
                went_back = Message.of(WENT_BACK, server=one.server)
                found[one.launch_id] = count - earlier if count >= earlier else went_back
        return found

    def _count(self, container: str) -> float | None:
        place = self._places.get(container)
        try:
            count = None if place is None else self._read(place)
        except (OSError, ValueError):
            count = None
        if count is None:
            self._places.pop(container, None)
        return count

    def _find(self, containers: set[str]) -> None:
        """Find the groups of new containers, in one walk over all."""
        now = self._clock()
        self._places = {one: place for one, place in self._places.items() if one in containers}
        self._looked = {one: at for one, at in self._looked.items() if one in containers}
        missing = {
            one
            for one in containers - self._places.keys()
            if now - self._looked.get(one, -LOOK_AGAIN_S) >= LOOK_AGAIN_S
        }
        if not missing:
            return
        self._looked.update(dict.fromkeys(missing, now))
        for container, place in _walk(self._top, containers, DEEPEST):
            if container in missing:
                self._places.setdefault(container, place)


def _layout(root: Path) -> tuple[Path, Callable[[Path], float]]:
    """Return the top of the groups that count CPU time, and how a group's is read, in seconds."""
    if not (root / "cgroup.controllers").exists():
        for name in ("cpuacct", "cpu,cpuacct", "cpu"):
            if (root / name).is_dir():
                return root / name, lambda place: int((place / "cpuacct.usage").read_text()) / 1e9
    return root, _unified


def _unified(place: Path) -> float:
    fields = dict(line.split(" ", 1) for line in (place / "cpu.stat").read_text().splitlines())
    return int(fields.get("usage_usec", "")) / 1e6


def _walk(folder: Path, containers: set[str], levels: int) -> Iterator[tuple[str, Path]]:
    """Yield containers with their groups; what monitors a container (conmon) has a group with its id, too."""
    try:
        below = [entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for name in below:
        ids = [found for found in CONTAINER_ID.findall(name) if found in containers]
        if ids and "conmon" not in name:
            yield ids[0], folder / name
        elif levels and not ids:
            yield from _walk(folder / name, containers, levels - 1)


@dataclass(frozen=True)
class _Spent:
    """CPU seconds of a process, and of those that ended below it and were waited for."""

    launch_id: str
    own: float
    ended: float


_Spents = dict[tuple[int, float], _Spent]


class Processes:
    """Plain servers' CPU time, by their processes: those whose environment names the launch, and those below them."""

    def __init__(self) -> None:
        self._before: _Spents = {}

    def used(self, watched: Iterable[Watched]) -> Used:
        """Return what was used since the last call. Looks at every process of the machine if there is a server."""
        watched = tuple(watched)
        before, self._before = self._before, look({one.launch_id for one in watched}) if watched else {}
        found: dict[str, float | Message] = {}
        for one in watched:
            earlier = {key: spent for key, spent in before.items() if spent.launch_id == one.launch_id}
            later = {key: spent for key, spent in self._before.items() if spent.launch_id == one.launch_id}
            if not later:
                found[one.launch_id] = Message.of(NO_PROCESS, server=one.server)
            elif earlier:
                found[one.launch_id] = spent_between(one.server, earlier, later)
        return found


def spent_between(server: str, earlier: _Spents, later: _Spents) -> float | Message:
    """Return the CPU seconds between two looks, if all that ended in between was counted by what still runs."""
    gone = [spent for key, spent in earlier.items() if key not in later]
    counted = sum(spent.ended - (earlier[key].ended if key in earlier else 0.0) for key, spent in later.items())
    if gone and counted < sum(spent.own + spent.ended - TICK_S for spent in gone):
        return Message.of(UNCOUNTED, server=server)
    total = sum(spent.own + spent.ended for spent in later.values())
    total -= sum(spent.own + spent.ended for spent in earlier.values())
    return total if total >= 0 else Message.of(WENT_BACK, server=server)


def look(launches: set[str]) -> _Spents:
    """Return what the processes of these launches have spent."""
    parents: dict[int, int] = {}
    named: dict[int, str] = {}
    times: dict[int, tuple[float, float, float]] = {}
    for process in psutil.process_iter():
        try:
            with process.oneshot():
                spent = process.cpu_times()
                parents[process.pid] = process.ppid()
                ended = spent.children_user + spent.children_system
                times[process.pid] = (process.create_time(), spent.user + spent.system, ended)
            named[process.pid] = process.environ().get(LAUNCH_ID, "")
        except psutil.Error:
            continue
    found: _Spents = {}
    for pid, (created, own, ended) in times.items():
        launch = _launch(pid, parents, named)
        if launch in launches:
            found[pid, created] = _Spent(launch, own, ended)
    return found


def _launch(pid: int, parents: Mapping[int, int], named: Mapping[int, str]) -> str:
    """Return the launch that a process names, or else the nearest one above it."""
    seen: set[int] = set()
    while pid in parents and pid not in seen:
        if named.get(pid):
            return named[pid]
        seen.add(pid)
        pid = parents[pid]
    return ""
