"""On which machine something runs, so that large holes stay.

Guarantees: a place has all that is asked for at once, on one machine that is open, beyond what is kept there for
others; where there is one, one is found. Of several that one is taken which leaves the fewest free GPUs of that type
behind that nobody could use for lack of CPU or memory, then the fewest free GPUs at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from mlabhub.core.sharing.model import Ask, Machine, Run, Waiter

Amounts = tuple[int, int, int]
"""GPUs of one type, CPU and memory."""


class Hold(NamedTuple):
    """What is kept on a machine: of what is free there; ``later`` is what it changed of what is about to be free."""

    room: Room
    gpu_type: str | None
    gpus: int
    cpu: int
    memory: int
    later: Amounts


class Room:
    """What is free on one machine now, beyond what is kept there."""

    __slots__ = (
        "closing",
        "cpu",
        "cpu_each",
        "ending",
        "gpus",
        "holds",
        "machine",
        "memory",
        "memory_each",
        "runs",
        "size",
        "soon_cpu",
        "soon_gpus",
        "soon_memory",
    )

    def __init__(self, machine: Machine, closing: bool) -> None:
        self.machine = machine
        self.closing = closing
        self.gpus = {gpu_type: max(0, machine.free_gpus.get(gpu_type, 0)) for gpu_type in machine.gpus}
        self.cpu = machine.free_cpu
        self.memory = machine.free_memory
        self.holds: list[Hold] = []
        self.soon_gpus: dict[str | None, int] = {}
        self.soon_cpu = self.soon_memory = 0
        self.size = sum(machine.gpus.values())
        self.cpu_each = max(1, machine.cpu // self.size) if self.size else 0
        self.memory_each = max(1, machine.memory // self.size) if self.size else 0
        self.runs: list[Run] = []
        self.ending: list[Run] = []

    def takes(self, profile: str) -> bool:
        """Whether it takes servers of a profile."""
        machine = self.machine
        if machine.profiles is None:
            return profile not in machine.exceptions
        return profile in machine.profiles

    def fits(self, ask: Ask, gpu_type: str | None) -> bool:
        """Whether there is room for it now."""
        if ask.cpu > self.cpu or ask.memory > self.memory or ask.cpu > self.machine.most_cpu:
            return False
        return gpu_type is None or self.gpus.get(gpu_type, 0) >= ask.gpus

    def take(self, ask: Ask, gpu_type: str | None) -> None:
        """Give it away."""
        if gpu_type is not None:
            self.gpus[gpu_type] -= ask.gpus
        self.cpu -= ask.cpu
        self.memory -= ask.memory

    def add_run(self, run: Run) -> None:
        """Note what runs there; what ends already is about to be free."""
        self.runs.append(run)
        if run.ending:
            self._soon(run.ask.gpu_type, (run.ask.gpus, run.ask.cpu, run.ask.memory), 1)
            self.ending.append(run)

    def soon_for_sure(self, gpu_type: str | None) -> Amounts:
        """Return the same without what only comes if others are taken back."""
        soon = self.soon(gpu_type)
        gpus = sum(run.ask.gpus for run in self.ending if run.ask.gpu_type == gpu_type)
        cpu, memory = sum(run.ask.cpu for run in self.ending), sum(run.ask.memory for run in self.ending)
        return min(soon[0], gpus), min(soon[1], cpu), min(soon[2], memory)

    def soon(self, gpu_type: str | None) -> Amounts:
        """Return what is about to be free, and promised to nobody."""
        return self.soon_gpus.get(gpu_type, 0), self.soon_cpu, self.soon_memory

    def hold(self, ask: Ask, gpu_type: str | None, coming: Amounts = (0, 0, 0)) -> Hold:
        """Keep for an ask what it needs, of what is about to be free and else of what is free, as far as it is there.

        ``coming`` is what is about to be free now because it was taken back for this ask: what is left of it is for
        others.
        """
        soon = self.soon(gpu_type)
        need = (ask.gpus if gpu_type is not None else 0, ask.cpu, ask.memory)
        free = (self.gpus.get(gpu_type, 0) if gpu_type is not None else 0, max(0, self.cpu), max(0, self.memory))
        now = [min(free[at], max(0, need[at] - soon[at] - coming[at])) for at in range(3)]
        later = [coming[at] - min(soon[at] + coming[at], need[at] - now[at]) for at in range(3)]
        if gpu_type is not None:
            self.gpus[gpu_type] = free[0] - now[0]
        self.cpu -= now[1]
        self.memory -= now[2]
        hold = Hold(self, gpu_type, now[0], now[1], now[2], (later[0], later[1], later[2]))
        self._soon(gpu_type, hold.later, 1)
        self.holds.append(hold)
        return hold

    def release(self, hold: Hold) -> None:
        """Keep it no more."""
        self.holds = [one for one in self.holds if one is not hold]
        if hold.gpu_type is not None:
            self.gpus[hold.gpu_type] += hold.gpus
        self.cpu += hold.cpu
        self.memory += hold.memory
        self._soon(hold.gpu_type, hold.later, -1)

    def _soon(self, gpu_type: str | None, amounts: Amounts, sign: int) -> None:
        self.soon_gpus[gpu_type] = self.soon_gpus.get(gpu_type, 0) + sign * amounts[0]
        self.soon_cpu += sign * amounts[1]
        self.soon_memory += sign * amounts[2]

    def fits_without_holds(self, ask: Ask, gpu_type: str | None) -> bool:
        """Whether there would be room for it if nothing were kept."""
        if not self.holds or ask.cpu > self.machine.most_cpu:
            return False
        gpus = sum(one.gpus for one in self.holds if one.gpu_type == gpu_type)
        return (
            ask.cpu <= self.cpu + sum(one.cpu for one in self.holds)
            and ask.memory <= self.memory + sum(one.memory for one in self.holds)
            and (gpu_type is None or ask.gpus <= self.gpus.get(gpu_type, 0) + gpus)
        )

    def stranded(self, cpu: int, memory: int, busy: int) -> int:
        """Return how many of its other GPUs could not be used for lack of CPU or memory, were that free."""
        rest = self.size - busy
        usable = min(cpu // self.cpu_each, memory // self.memory_each) if self.size else 0
        return max(0, rest - max(0, usable))

    def rank(self, ask: Ask, gpu_type: str | None) -> tuple[bool, int, int, int, int, int, str]:
        """Return the order of preference for an ask that fits, the least first."""
        free = sum(self.gpus.values())
        busy = self.size - free
        before = self.stranded(self.cpu, self.memory, busy)
        taken = 0 if gpu_type is None else ask.gpus
        after = self.stranded(self.cpu - ask.cpu, self.memory - ask.memory, busy + taken)
        left = self.gpus[gpu_type] - taken if gpu_type is not None else 0
        return (self.closing, max(0, after - before), left, self.size, self.cpu, self.memory, self.machine.name)


class Rooms:
    """The machines that take something new."""

    def __init__(self, machines: Iterable[Machine], now: float, before_closing_s: float) -> None:
        self.by_name: dict[str, Room] = {}
        self.closed_soon: list[Room] = []
        self._by_type: dict[str, list[Room]] = {}
        for machine in machines:
            if not machine.open:
                continue
            room = Room(machine, machine.closes is not None)
            closing = machine.closes is not None and machine.closes - now < before_closing_s
            if closing:
                self.closed_soon.append(room)
            else:
                self.by_name[machine.name] = room
            for gpu_type, count in machine.gpus.items():
                if count:
                    of_type = self._by_type.setdefault(gpu_type, [])
                    of_type += [] if closing else [room]

    @property
    def gpu_types(self) -> tuple[str, ...]:
        """The types that open machines have."""
        return tuple(self._by_type)

    def types_of(self, ask: Ask) -> tuple[str | None, ...]:
        """Return the types that may serve an ask; None alone where it needs no GPU."""
        if not ask.gpus:
            return (None,)
        return self.gpu_types if ask.gpu_type is None else (ask.gpu_type,)

    def of_type(self, gpu_type: str | None) -> Collection[Room]:
        """Return the machines that have GPUs of a type; all for None."""
        return self.by_name.values() if gpu_type is None else self._by_type.get(gpu_type, ())

    def free(self, gpu_type: str) -> int:
        """Return how many GPUs of a type are free and kept for nobody."""
        return sum(room.gpus[gpu_type] for room in self._by_type.get(gpu_type, ()))

    def possible(self, waiter: Waiter, gpu_type: str | None) -> list[Room]:
        """Return the machines that could ever hold it."""
        ask = waiter.ask
        return [
            room
            for room in self.of_type(gpu_type)
            if (waiter.machines is None or room.machine.name in waiter.machines)
            and room.takes(ask.profile)
            and (gpu_type is None or room.machine.gpus.get(gpu_type, 0) >= ask.gpus)
            and ask.cpu <= room.machine.most_cpu
            and ask.memory <= room.machine.memory
        ]

    def find(self, waiter: Waiter, gpu_types: Sequence[str | None]) -> tuple[Room, str | None] | None:
        """Return the best place for it now, on one of the types."""
        ask = waiter.ask
        gpus, cpu, memory = ask.gpus, ask.cpu, ask.memory
        best, found = None, None
        for gpu_type in gpu_types:
            for room in self.of_type(gpu_type):
                if gpu_type is not None and room.gpus[gpu_type] < gpus:
                    continue
                if cpu > room.cpu or memory > room.memory or cpu > room.machine.most_cpu:
                    continue
                if waiter.machines is not None and room.machine.name not in waiter.machines:
                    continue
                if not room.takes(ask.profile):
                    continue
                rank = room.rank(ask, gpu_type)
                if best is None or rank < best:
                    best, found = rank, (room, gpu_type)
        return found
