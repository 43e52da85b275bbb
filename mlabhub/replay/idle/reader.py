"""Read recorded samples: JSON Lines, one line a server and tick.

Guarantees: a value that is not what it should be is not known, and never zero; a line that says no server or no time,
or that is torn, is left out and counted. Rows of a server keep the order in which they stand; across servers they are
sorted by time, so that nothing is learned from what had not happened yet. Memory is about 50 bytes a line.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from mlabhub.core.idle.fold import LATE_S
from mlabhub.core.idle.samples import Sample, Samples
from mlabhub.errors import InvalidConfiguration

EXAMPLE = '{"t": 1732233600.0, "server": "alice/", "gpus": 1, "gpu_util": [37.5]}'
MOST_LINE_BYTES = 1 << 20
MOST_NAME = 512


class InvalidSamples(InvalidConfiguration):
    """A file has no samples; the sentence says what a line would be."""

    code = "invalid_samples"


@dataclass(slots=True)
class Launch:
    """One server from its first line to its end; ``ended`` is whether it ended by itself."""

    server: str
    samples: Samples = field(default_factory=lambda: Samples(most_rows=None))
    newest: float = -math.inf
    ended: bool = False


@dataclass
class Recording:
    """What a file says. ``rows`` are the launches' numbers, a row each, in the order in which they are replayed."""

    launches: list[Launch]
    rows: array[int]
    notes: tuple[str, ...] = ()


def read_samples(lines: Iterable[bytes], begin: float = -math.inf, end: float = math.inf) -> Recording:
    """Return what ``lines`` say of the time from ``begin`` to ``end``. Raises `InvalidSamples` if there is nothing."""
    reader = _Reader(begin, end)
    loads = json.loads
    for raw in lines:
        try:
            data = loads(raw)
        except (ValueError, RecursionError):
            if raw.strip():
                reader.torn += 1
            continue
        reader.take(data)
    return reader.recording()


class _Reader:
    def __init__(self, begin: float, end: float) -> None:
        self.begin, self.end = begin, end
        self.launches: list[Launch] = []
        self.current: dict[str, int] = {}
        self.of_row = array("l")
        self.order = array("d")
        self.torn = self.nameless = 0

    def take(self, data: Any) -> None:
        """Take one line."""
        t: Any = data.get("t") if isinstance(data, dict) else None
        name = data.get("server") if t is not None else None
        if type(t) not in (int, float) or not 0.0 <= t < 1e12 or not isinstance(name, str) or len(name) > MOST_NAME:
            self.nameless += 1
            return
        if not self.begin <= t <= self.end:
            return
        number = self.current.get(name)
        if number is None or self.launches[number].ended:
            if number is not None and 0.0 <= self.launches[number].newest - t <= LATE_S:
                return  # a line of the server that ended came late, or twice
            number = self.current[name] = len(self.launches)
            self.launches.append(Launch(name))
        launch = self.launches[number]
        launch.samples.add(_sample(t, data))
        if t > launch.newest:
            launch.newest = t
        launch.ended = data.get("end") is True
        self.of_row.append(number)
        self.order.append(launch.newest)

    def recording(self) -> Recording:
        """Return all that was taken."""
        if not self.launches:
            raise InvalidSamples(f"There is no sample in it: {self.torn + self.nameless} lines, none like {EXAMPLE}.")
        order = sorted(range(len(self.of_row)), key=self.order.__getitem__)
        for launch in self.launches:
            launch.samples.seen = 0
        return Recording(self.launches, array("l", map(self.of_row.__getitem__, order)), tuple(self._notes()))

    def _notes(self) -> Iterable[str]:
        if self.torn:
            yield f"{self.torn} lines are not JSON and were left out."
        if self.nameless:
            yield f"{self.nameless} lines say no server or no time and were left out."


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
