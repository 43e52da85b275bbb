"""Read recorded samples: JSON Lines, one line a server and tick.

Guarantees: a value that is not what it should be is not known, and never zero; a line that says no server or no time,
or that is torn, is left out and counted, and the first one named. Rows that came late stand where their time says, as
`order` tells; across servers they are sorted by time, so that nothing is learned from what had not happened yet. Memory
is about 70 bytes a line.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from typing import Any

from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.errors import InvalidConfiguration
from mlabhub.replay.idle.doubled import Once
from mlabhub.replay.idle.order import LONGEST_TICK_S, arrange, usual_tick

EXAMPLE = '{"t": 1732233600.0, "server": "alice/", "gpus": 1, "gpu_util": [37.5]}'
MOST_NAME = 512
LATE_S = 1800.0
"""How late a line of a server may come that has ended already."""


class InvalidSamples(InvalidConfiguration):
    """A file has no samples; the sentence says what a line would be."""

    code = "invalid_samples"


@dataclass(slots=True)
class Launch:
    """One server from its first line to its end; ``ended`` is whether it ended by itself.

    ``tick`` is how many seconds its lines are usually apart.
    """

    server: str
    samples: Samples = field(default_factory=lambda: Samples(most_rows=None))
    newest: float = -math.inf
    ended: bool = False
    tick: float = 0.0


@dataclass(slots=True)
class _Left:
    """Lines of one kind that were left out, or values: how many, and the number of the first one's line."""

    count: int = 0
    first: int = 0

    def add(self, line: int) -> None:
        self.first = self.first or line
        self.count += 1


@dataclass
class Recording:
    """What a file says. ``rows`` are the launches' numbers, a row each, in the order in which they are replayed."""

    launches: list[Launch]
    rows: array[int]
    notes: tuple[str, ...] = ()


def read_samples(lines: Iterable[bytes], begin: float = -math.inf, end: float = math.inf) -> Recording:
    """Return what ``lines`` say of the time from ``begin`` to ``end``. Raises `InvalidSamples` if there is nothing."""
    once = Once(lines)
    reader = _Reader(begin, end)
    loads = json.loads
    for number, raw in once:
        try:
            data = loads(raw)
        except (ValueError, RecursionError):
            if raw.strip():
                reader.torn.add(number)
            continue
        reader.take(data, number)
    reader.doubled = once.left_out
    return reader.recording()


class _Reader:
    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end
        self.launches: list[Launch] = []
        self.current: dict[str, int] = {}
        self.torn, self.nameless, self.odd = _Left(), _Left(), _Left()
        self.beyond = self.doubled = 0

    def take(self, data: Any, line: int) -> None:
        """Take one line."""
        t: Any = data.get("t") if isinstance(data, dict) else None
        name = data.get("server") if t is not None else None
        if type(t) not in (int, float) or not 0.0 <= t < 1e12 or not isinstance(name, str) or len(name) > MOST_NAME:
            self.nameless.add(line)
            return
        if not self.begin <= t <= self.end:
            self.beyond += 1
            return
        number = self.current.get(name)
        if number is None or self.launches[number].ended:
            if number is not None and 0.0 <= self.launches[number].newest - t <= LATE_S:
                return  # a line of the server that ended came late, or twice
            number = self.current[name] = len(self.launches)
            self.launches.append(Launch(name))
        launch = self.launches[number]
        utils = data.get("gpu_util")
        if utils is not None and type(utils) is not list:
            self.odd.add(line)
        launch.samples.add(_sample(t, data))
        if t > launch.newest:
            launch.newest = t
        launch.ended = data.get("end") is True

    def recording(self) -> Recording:
        """Return all that was taken."""
        if not self.launches:
            raise InvalidSamples(self._nothing())
        return Recording(self.launches, in_order(self.launches), tuple(self._notes()))

    def _nothing(self) -> str:
        if self.beyond:
            return f"None of its {self.beyond} samples lies between --from and --to. Choose other moments."
        wrong = [one for one in (self.torn, self.nameless) if one.count]
        if not wrong:
            return f"It is empty. A sample is a line such as {EXAMPLE}."
        first = min(wrong, key=lambda one: one.first)
        fault = "is not JSON" if first is self.torn else "says no server or no time in seconds"
        return f"There is no sample in it: line {first.first} {fault}. A sample is a line such as {EXAMPLE}."

    def _notes(self) -> Iterable[str]:
        if self.doubled:
            yield f"{self.doubled} lines repeat the recording from its beginning, word for word, and are left out."
        for one, fault in (
            (self.torn, "not JSON and left out"),
            (self.nameless, "without a server or a time in seconds and left out"),
            (self.odd, "with a gpu_util that is not a list, so the GPUs' use is not known"),
        ):
            if one.count:
                yield f"line {one.first} is {fault}{_and_others(one.count - 1)}."
        seldom = sum(launch.tick > LONGEST_TICK_S for launch in self.launches)
        if seldom:
            yield (
                f"{seldom} of {len(self.launches)} servers have lines that are more than {LONGEST_TICK_S / 60:.0f} min "
                "apart, so it is not known what they did in between, and they are not stopped."
            )


def in_order(launches: Sequence[Launch]) -> array[int]:
    """Put each launch's rows in order, and return the order of all: the launches' numbers, a row each."""
    of_row, when = array("l"), array("d")
    for number, launch in enumerate(launches):
        order = arrange(launch.samples.t)
        if order is not None:
            launch.samples.arrange(order)
        launch.tick = usual_tick(launch.samples.t)
        when.extend(accumulate(launch.samples.t, max))
        of_row.extend(repeat(number, len(launch.samples)))
        launch.samples.seen = 0
    return array("l", map(of_row.__getitem__, sorted(range(len(of_row)), key=when.__getitem__)))


def _and_others(count: int) -> str:
    return f", and so {'is' if count == 1 else 'are'} {count} more" if count else ""


def _sample(t: float, data: dict[str, Any]) -> Sample:
    get = data.get
    return Sample(
        t,
        _count(get("gpus")),
        _listed(get("gpu_util")),
        _listed(get("gpu_mem_used")),
        get("cpu_cores"),
        get("last_activity"),
        get("input_age"),
        _count(get("kernels_busy")),
        _count(get("terminals_busy")),
    )


def _count(value: Any) -> int | None:
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value) if 0 <= value <= 10_000 else None
    return None


def _listed(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None
