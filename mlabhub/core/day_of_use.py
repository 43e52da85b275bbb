"""How busy each GPU was in each minute of the last day, in columns: a byte for each GPU and minute.

Guarantees: pure; a minute that was not measured is None, and never zero. 3,200 GPUs take about 5 MB. A minute that is
added again replaces what was there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mlabhub.core.readings import TICK_S, Sample, Values
from mlabhub.core.sample_history import DAY_S

MINUTES = int(DAY_S / TICK_S)
SLACK = MINUTES // 8
"""How many minutes more are kept, so that not every minute moves all columns."""
_UNKNOWN = 255


@dataclass(frozen=True, slots=True)
class _Track:
    """The minutes of one launch from ``first`` on, ``gpus`` bytes each. Nothing of it moves: bytes are only added."""

    gpus: int
    first: int
    data: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        return self.first + len(self.data) // self.gpus

    def put(self, minute: int, values: bytes) -> None:
        if minute > self.end:
            self.data.extend(bytes((_UNKNOWN,)) * (self.gpus * (minute - self.end)))
        at = self.gpus * (minute - self.first)
        self.data[at : at + self.gpus] = values

    def since(self, minute: int) -> _Track:
        """Return the same from another minute on."""
        if minute < self.first:
            unknown = bytes((_UNKNOWN,)) * (self.gpus * (self.first - minute))
            return _Track(self.gpus, minute, bytearray(unknown) + self.data)
        return _Track(self.gpus, minute, self.data[self.gpus * (minute - self.first) :])


class DayOfUse:
    """The use of all launches with GPUs. One thread adds and forgets; others may look meanwhile."""

    def __init__(self) -> None:
        self._tracks: dict[str, _Track] = {}

    def add(self, sample: Sample) -> None:
        """Take one minute of a launch in. What is a day away from all that is known of it takes its place."""
        if not sample.gpus or len(sample.gpu_util) != sample.gpus or not 0 <= sample.t < math.inf:
            return
        minute, track = _minute(sample.t), self._tracks.get(sample.launch_id)
        if track is None or track.gpus != sample.gpus or not -MINUTES < minute - track.end < MINUTES:
            track = self._tracks[sample.launch_id] = _Track(sample.gpus, minute)
        elif minute < track.first:
            track = self._tracks[sample.launch_id] = track.since(minute)
        track.put(minute, bytes(map(_byte, sample.gpu_util)))

    def at(self, launch_id: str, t: float) -> Values:
        """Return the percent of each GPU of a launch in the minute of ``t``; empty where nothing is known of it."""
        track, minute = self._tracks.get(launch_id), _minute(t)
        if track is None or not track.first <= minute < track.end:
            return ()
        at = track.gpus * (minute - track.first)
        return tuple(None if value == _UNKNOWN else float(value) for value in track.data[at : at + track.gpus])

    def forget(self, now: float) -> None:
        """Forget what is more than a day before ``now``."""
        oldest = _minute(now) - MINUTES
        for launch_id, track in list(self._tracks.items()):
            if track.end <= oldest:
                del self._tracks[launch_id]
            elif track.first < oldest - SLACK:
                self._tracks[launch_id] = track.since(oldest)


def _minute(t: float) -> int:
    """Return the number of the minute that a moment is in: it ends with its tick."""
    return math.ceil(t / TICK_S)


def _byte(value: float | None) -> int:
    return _UNKNOWN if value is None else min(100, round(value))
