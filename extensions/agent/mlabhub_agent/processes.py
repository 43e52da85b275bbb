"""One look at the server's processes: how much CPU they have had, and what their terminals do.

Guarantees: of a process only its numbers are read (``/proc/PID/stat``), and, where others of the machine are seen as
well, whether it was started by this server; never its arguments or what it holds open. A process that cannot be read is
left out. ``/proc`` is read by hand: one file for each process has all of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
TERMINAL_MAJORS = range(136, 144)
LONGEST_ENVIRONMENT = 2**20
PASSES_ON = ("tmux: client", "screen")
"""Programs that only show other terminals: these are looked at themselves."""


@dataclass(frozen=True)
class Process:
    """What ``/proc/PID/stat`` says. ``own_s`` is CPU of its own, ``ended_s`` that of children it has waited for."""

    pid: int
    name: str
    parent: int
    group: int
    session: int
    terminal: int
    """The number of its terminal's device; 0 without one."""
    foreground: int
    """The group of processes that its terminal listens to."""
    own_s: float
    ended_s: float
    started: int

    @property
    def key(self) -> tuple[int, int]:
        """What no other process ever has."""
        return self.pid, self.started


@dataclass(frozen=True)
class Seen:
    """One look. ``touched`` is by terminal when something typed there was last read, by the machine's clock."""

    processes: Mapping[tuple[int, int], Process]
    terminals_busy: int
    touched: Mapping[int, float]


class Processes:
    """The processes of this server. With ``all_are_ours`` every one that can be seen is."""

    def __init__(self, launch_id: str, *, all_are_ours: bool, server: int | None = None):
        self._mark = f"MLABHUB_LAUNCH_ID={launch_id}".encode() if launch_id else None
        self._all_are_ours = all_are_ours
        self._server = server or os.getpid()
        self._known: dict[tuple[int, int], bool] = {}

    def look(self) -> Seen:
        """Look once. May be called from any thread, by one at a time."""
        ours = {one.key: one for one in self._ours(list(read_all()))}
        return Seen(ours, count_busy(ours.values()), touched(ours.values()))

    def _ours(self, found: list[Process]) -> Iterable[Process]:
        if self._all_are_ours:
            return found
        self._known = {one.key: self._known[one.key] for one in found if one.key in self._known}
        children: dict[int, list[Process]] = {}
        for one in found:
            children.setdefault(one.parent, []).append(one)
        ours = [one for one in found if one.pid == self._server or self._is_marked(one)]
        todo, taken = list(ours), {one.pid for one in ours}
        while todo:
            grown = [one for one in children.get(todo.pop().pid, ()) if one.pid not in taken]
            taken |= {one.pid for one in grown}
            ours += grown
            todo += grown
        return ours

    def _is_marked(self, one: Process) -> bool:
        """Whether it was started by this server, also where its parent has ended."""
        if self._mark is None:
            return False
        if one.key not in self._known:
            try:
                with (PROC / str(one.pid) / "environ").open("rb") as file:
                    self._known[one.key] = self._mark in file.read(LONGEST_ENVIRONMENT).split(b"\0")
            except OSError:
                self._known[one.key] = False
        return self._known[one.key]


def read_all() -> Iterator[Process]:
    """Yield every process that can be read."""
    for name in os.listdir(PROC):
        if name.isdecimal():
            try:
                yield parse((PROC / name / "stat").read_bytes())
            except (OSError, ValueError, IndexError):
                continue  # It has ended.


def parse(stat: bytes) -> Process:
    """Return what a line says; a process may have any name, brackets and spaces in it, too. Raises `ValueError`."""
    head, _, rest = stat.rpartition(b")")
    pid, _, name = head.partition(b" (")
    fields = rest.split()
    numbers = [int(field) for field in fields[1:20]]
    return Process(
        pid=int(pid),
        name=name.decode("utf-8", "replace"),
        parent=numbers[0],
        group=numbers[1],
        session=numbers[2],
        terminal=numbers[3],
        foreground=numbers[4],
        own_s=(numbers[10] + numbers[11]) / TICKS,
        ended_s=(numbers[12] + numbers[13]) / TICKS,
        started=numbers[18],
    )


def count_busy(processes: Iterable[Process]) -> int:
    """Return how many terminals have something other than their shell in the foreground."""
    found = list(processes)
    names = {one.pid: one.name for one in found}
    # What leads a session on a terminal is its shell.
    shells = [one for one in found if one.terminal and one.session == one.pid]
    return sum(
        one.foreground > 0 and one.foreground != one.group and names.get(one.foreground) not in PASSES_ON
        for one in shells
    )


def touched(processes: Iterable[Process]) -> dict[int, float]:
    """Return when each terminal last passed on what was typed, to within 8 s, as the kernel notes it for `w`."""
    found = {}
    for terminal in {one.terminal for one in processes if one.terminal}:
        number = terminal_number(terminal)
        if number is not None:
            try:
                found[terminal] = os.stat(f"/dev/pts/{number}").st_atime
            except OSError:
                continue
    return found


def terminal_number(device: int) -> int | None:
    """Return the N of ``/dev/pts/N``; None for a console, say."""
    major, minor = os.major(device), os.minor(device)
    return (major - TERMINAL_MAJORS.start) * 256 + minor if major in TERMINAL_MAJORS else None


def cpu_between(before: Mapping[tuple[int, int], Process], after: Mapping[tuple[int, int], Process]) -> float:
    """Return how many seconds of CPU were had between two looks.

    The time of one that has ended goes on to whoever waited for it, so the sum of all grows by what was had. Where
    nobody waited it is lost, and what those had that are still there is the least that it can be.
    """
    total = sum(one.own_s + one.ended_s for one in after.values())
    total -= sum(one.own_s + one.ended_s for one in before.values())
    stayed = sum(one.own_s - before[key].own_s if key in before else one.own_s for key, one in after.items())
    return max(total, stayed, 0.0)
