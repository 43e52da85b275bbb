"""GPU time by day, user, group and profile, as sums that are exact.

    held     GPUs that launches had: each from the moment when it was reserved until it was released
    used     of it, what was measured with work: see below
    idle     of it, what was measured without work: held but idle, what is called wasted
    unknown  the rest of it: nobody measured it. It is never counted as wasted
    waited   GPUs that were asked for, for as long as their launch waited in the queue; nobody held those

**Used**: of every GPU that a server holds, a sample each minute says the highest use that was seen in that minute. The
minute (of samples that are kept for longer than two days: the five minutes) counts as used where that is at least
`PROOF_PERCENT`, the ``busy_percent`` of the default policy of idleness; a policy that says otherwise changes nothing
here, so that periods stay comparable.

Guarantees: pure; amounts are whole milliseconds of one GPU, so that sums are the same in any order, and however time is
cut into days and windows the parts add up to the whole; used and idle together are never more than held; a day is one
of the calendar, which may have 23 or 25 hours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import NamedTuple

from mlabhub.core.readings import PROOF_PERCENT, TICK_S, Sample
from mlabhub.core.sample_history import COARSE_S


@dataclass(frozen=True)
class Held:
    """A launch with GPUs, from ``begin`` until ``end`` in seconds since the epoch; None: it has not ended."""

    launch_id: str
    user: str
    group: str | None
    profile: str
    gpus: int
    begin: float
    end: float | None = None


@dataclass(frozen=True)
class Waited:
    """A launch that asked for GPUs and was in the queue from ``begin`` until ``end``; None: it is there."""

    user: str
    group: str | None
    profile: str
    gpus: int
    begin: float
    end: float | None = None


class Key(NamedTuple):
    """What sums are kept by. ``day`` is written ``2026-11-27``; a launch that no group pays for has the group ""."""

    day: str
    user: str
    group: str
    profile: str


class Sums(NamedTuple):
    """Milliseconds of one GPU."""

    held: int = 0
    used: int = 0
    idle: int = 0
    waited: int = 0

    @property
    def unknown(self) -> int:
        """What was held and not measured."""
        return self.held - self.used - self.idle

    def plus(self, other: Sums) -> Sums:
        """Return both together."""
        return Sums(*(one + more for one, more in zip(self, other, strict=True)))


class Day(NamedTuple):
    """A day of the calendar, or the part of it that is in a window; in milliseconds since the epoch."""

    name: str
    begin: int
    end: int


def to_ms(seconds: float) -> int:
    """Return the moment in whole milliseconds."""
    return round(seconds * 1000)


def midnight(day: date, zone: tzinfo | None) -> float:
    """Return the moment at which a day begins in a zone, None: this machine's."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()


def days_between(since: float, until: float, zone: tzinfo | None = None) -> Iterator[Day]:
    """Yield the days of a window, first and last as far as they are in it."""
    day = datetime.fromtimestamp(since, zone).date()
    begin = to_ms(since)
    while begin < to_ms(until):
        following = day + timedelta(days=1)
        end = min(to_ms(midnight(following, zone)), to_ms(until))
        if end > begin:
            yield Day(day.isoformat(), begin, end)
        day, begin = following, max(begin, end)


class Fold:
    """Adds up what of launches, waits and samples is in a window; `sums` are those of it."""

    def __init__(self, since: float, until: float, zone: tzinfo | None = None):
        self._since, self._until = to_ms(since), to_ms(until)
        self._days = tuple(days_between(since, until, zone))
        self._held: dict[str, tuple[Held, int, int]] = {}
        self._seen: dict[str, int] = {}
        self._sums: dict[Key, list[int]] = defaultdict(lambda: [0, 0, 0, 0])

    def hold(self, launches: Iterable[Held]) -> None:
        """Take launches in, each once."""
        for one in launches:
            begin, end = self._clip(one.begin, one.end)
            if one.gpus and begin < end:
                self._held[one.launch_id] = (one, begin, end)
                self._add(one, begin, end, (one.gpus, 0, 0, 0))

    def wait(self, waits: Iterable[Waited]) -> None:
        """Take waits in, each once."""
        for one in waits:
            self._add(one, *self._clip(one.begin, one.end), (0, 0, 0, one.gpus))

    def see(self, samples: Sequence[Sample], *, old: bool = False) -> None:
        """Take a piece of the samples in, after the launches. Those of one launch come by time.

        What two of them speak for counts once; ``old``: they may have been made coarser.
        """
        step_s = step_of(samples, old=old)
        for sample in samples:
            found = self._held.get(sample.launch_id)
            if found is None:
                continue
            one, held, released = found
            t = to_ms(sample.t)
            begin = max(t - to_ms(step_s), held, self._seen.get(one.launch_id, held))
            end = min(t, released)
            if begin < end:
                values = [value for value in sample.gpu_util[: one.gpus] if value is not None]
                used = sum(value >= PROOF_PERCENT for value in values)
                self._add(one, begin, end, (0, used, len(values) - used, 0))
                self._seen[one.launch_id] = end

    @property
    def sums(self) -> dict[Key, Sums]:
        """What there is of each day, user, group and profile."""
        return {key: Sums(*parts) for key, parts in self._sums.items() if any(parts)}

    def _clip(self, begin: float, end: float | None) -> tuple[int, int]:
        last = self._until if end is None else min(to_ms(end), self._until)
        return max(to_ms(begin), self._since), last

    def _add(self, one: Held | Waited, begin: int, end: int, gpus: tuple[int, int, int, int]) -> None:
        for day in self._days:
            length = min(end, day.end) - max(begin, day.begin)
            if length > 0:
                parts = self._sums[Key(day.name, one.user, one.group or "", one.profile)]
                for place, count in enumerate(gpus):
                    parts[place] += count * length


def step_of(samples: Sequence[Sample], *, old: bool) -> float:
    """Return for how many seconds each of a piece of samples speaks; only ``old`` ones may have been made coarser."""
    return COARSE_S if old and all(one.t % COARSE_S == 0 for one in samples) else TICK_S
