"""What is known of one server's use, in columns.

Guarantees: what is not known is never zero: ``None``, NaN, infinity, a negative number, one beyond all measure and a
percentage beyond 100 are all not known. Rows stand in the order in which they came, late and doubled ones as well, so
that whoever reads them sees what the clock did. A day of one server, a row a minute, takes about 55 kB.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

NAN = math.nan
MOST_GPUS = 65_535
MOST_ROWS = 1_600
"""A day of minutes, and some more."""
MOST_PERCENT = 100.5
"""A rounding error is not a fault; what is more is none of the driver's answers."""
MOST_AMOUNT = 1e15
"""No server holds a petabyte, and no clock says such a time."""
ALL_KNOWN, SOME_UNKNOWN, NONE_KNOWN, NO_GPU = 0, 1, 2, 3
"""What a row knows of the GPUs that are held."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One tick of one server; what is None or missing is not known.

    ``gpu_util`` is in percent, the highest of each GPU since the last tick; ``gpu_mem_used`` in bytes; ``input_age``
    is how long ago a person's last key or pointer event was. The last four are what the server says of itself.
    """

    t: float
    gpus: int | None = None
    gpu_util: Sequence[float | None] | None = None
    gpu_mem_used: Sequence[float | None] | None = None
    cpu_cores: float | None = None
    last_activity: float | None = None
    input_age: float | None = None
    kernels_busy: int | None = None
    terminals_busy: int | None = None


class Samples:
    """The rows of one launch of a server.

    ``dropped`` is how many of the oldest are forgotten, ``seen`` how many of the others are looked at: all of them, but
    in a replay, which knows what is yet to come.
    """

    __slots__ = (
        "activity",
        "cpu",
        "dropped",
        "folds",
        "gpu",
        "held",
        "input",
        "known",
        "launch_id",
        "memory",
        "most",
        "seen",
        "t",
        "work",
    )

    def __init__(self, launch_id: str = "", *, most_rows: int | None = MOST_ROWS) -> None:
        self.launch_id = launch_id
        self.most = most_rows
        self.seen = 0
        self.t = array("d")
        self.gpu = array("f")
        self.known = array("b")
        self.memory = array("f")
        self.cpu = array("f")
        self.activity = array("d")
        self.input = array("d")
        self.work = array("b")
        self.held = array("H")
        self.dropped = 0
        self.folds: dict[object, object] = {}

    def __len__(self) -> int:
        return len(self.t)

    def add(self, sample: Sample) -> None:
        """Append a tick. One without a time that is a number is ignored: nobody can tell when it was."""
        t = sample.t
        if not 0.0 <= t < math.inf:
            return
        highest, known, held = _gpus(sample.gpus, sample.gpu_util)
        if known == NONE_KNOWN and sample.gpus is None and self.held:
            held = self.held[-1]
        self.held.append(min(held, MOST_GPUS))
        self.t.append(t)
        self.gpu.append(highest)
        self.known.append(known)
        self.memory.append(_sum(sample.gpu_mem_used))
        self.cpu.append(_amount(sample.cpu_cores))
        self.activity.append(_amount(sample.last_activity))
        age = _amount(sample.input_age)
        self.input.append(t - age)
        kernels, terminals = sample.kernels_busy, sample.terminals_busy
        self.work.append(-1 if kernels is None and terminals is None else bool(kernels) | bool(terminals) << 1)
        self.seen = len(self.t)
        if self.most is not None and self.seen > self.most + self.most // 8:
            self._forget(self.most // 8)

    def _forget(self, count: int) -> None:
        for column in self._columns():
            del column[:count]
        self.dropped += count
        self.seen = len(self.t)

    def arrange(self, order: Sequence[int]) -> None:
        """Put the rows in another order, before any of them was looked at."""
        for column in self._columns():
            column[:] = array(column.typecode, map(column.__getitem__, order))

    @property
    def gpus(self) -> int:
        """How many GPUs are held, as far as known."""
        return self.held[self.seen - 1] if self.seen else 0

    def _columns(self) -> tuple[array[Any], ...]:
        return (
            self.t,
            self.gpu,
            self.known,
            self.held,
            self.memory,
            self.cpu,
            self.activity,
            self.input,
            self.work,
        )

    def size(self) -> int:
        """Return how many bytes the columns take."""
        return sum(len(column) * column.itemsize for column in self._columns())


def _amount(value: object) -> float:
    if isinstance(value, (int, float)) and value is not True and value is not False and 0.0 <= value < MOST_AMOUNT:
        return float(value)
    return NAN


def _gpus(held: int | None, utils: Sequence[float | None] | None) -> tuple[float, int, int]:
    """Return the highest use that is known, what is known at all, and how many GPUs are held."""
    count = len(utils) if utils else 0
    if held is None:
        held = count
        if not count:
            return NAN, NONE_KNOWN, 0
    if held == 0 and not count:
        return NAN, NO_GPU, 0
    highest, seen = -1.0, 0
    for value in utils or ():
        if isinstance(value, (int, float)) and value is not True and value is not False and 0.0 <= value < MOST_PERCENT:
            seen += 1
            if value > highest:
                highest = float(value)
    if not seen:
        return NAN, NONE_KNOWN, held
    return highest, ALL_KNOWN if seen >= held and seen == count else SOME_UNKNOWN, held


def _sum(values: Sequence[float | None] | None) -> float:
    known = [amount for amount in map(_amount, values or ()) if not math.isnan(amount)]
    return sum(known) if known else NAN
