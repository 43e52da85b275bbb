"""A day of a server in one picture: how busy its GPUs and its processors were, what is not known, and what was said.

Guarantees: pure; a stretch of which something is not known is hatched, and never drawn as zero; the picture says what
its sentences and its table say, so that nobody has to see it; nothing of it needs a style in the page.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlabhub.core.idle.words import span
from mlabhub.core.readings import PROOF_PERCENT, Sample
from mlabhub.core.sample_history import COARSE_S, aligned, coarser
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.waits import local

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S
PER_HOUR = int(HOUR_S / COARSE_S)
WIDTH, HEIGHT = int(DAY_S / COARSE_S), 100
LABEL_EACH_H = 3

GPU_SAID = N_(
    "GPU: {least} % or more for {busy}, less for {idle}; for {unknown} it is not known, or nothing ran, which is "
    "hatched."
)
CPU_SAID = N_(
    "Processors: {most} cores in use at most, {mean} on average; for {unknown} it is not known, or nothing ran, which "
    "is hatched."
)
CPU_NEVER = N_("Processors: not known all the time.")
PERCENT = N_("{percent} %")
NOT_KNOWN = N_("not known")
PARTLY = N_("{value} (not known for {span})")

Value = float | None


@dataclass(frozen=True)
class Track:
    """One kind of value over the day. ``areas`` are the stretches that are known, as paths; ``unknown`` those that are
    not, as left edge and width; ``top`` is what the upper edge stands for.
    """

    name: str
    key: str
    said: str
    top: str
    areas: list[str]
    unknown: list[tuple[int, int]]


@dataclass(frozen=True)
class Hour:
    """One line of the table."""

    begins: str
    values: list[str]


@dataclass(frozen=True)
class Mark:
    """What happened then: from ``left``, over ``width`` (0: at once)."""

    kind: str
    left: float
    width: float
    text: str


@dataclass(frozen=True)
class Picture:
    """All of it, ``WIDTH`` wide and each track ``HEIGHT`` high."""

    tracks: list[Track]
    hours: list[Hour]
    labels: list[str]
    marks: list[Mark]
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True)
class Happened:
    """Something to be marked: ``text`` says it, ``until`` is None for what is over at once."""

    kind: str
    at: float
    until: float | None
    text: str


def make_picture(samples: Iterable[Sample], until: float, happened: Sequence[Happened], t: Translator) -> Picture:
    """Return the picture of the 24 hours that end with the hour of ``until``."""
    begin = first_of(until)
    count = min(WIDTH, int((until - begin) // COARSE_S))
    bins = _bins(samples, begin, count)
    gpus = [_gpu(one) for one in bins]
    cores = [_cores(one) for one in bins]
    tracks = [_cpu_track(cores, t)]
    columns: list[tuple[Sequence[Value], Callable[[Sequence[float]], str]]] = [(cores, lambda known: _mean(known, t))]
    if any(one.gpus for group in bins for one in group):
        tracks.insert(0, _gpu_track(gpus, t))
        columns.insert(0, (gpus, lambda known: t(PERCENT, percent=f"{max(known):.0f}")))
    starts = [local(begin + hour * HOUR_S) for hour in range(24)]
    return Picture(
        tracks=tracks,
        hours=[
            Hour(_clock(starts[hour], t), [_cell(values, hour, say, t) for values, say in columns])
            for hour in range(math.ceil(count / PER_HOUR))
        ],
        labels=[_clock(one, t) for one in starts[::LABEL_EACH_H]],
        marks=[mark for one in happened if (mark := _mark(one, begin, until)) is not None],
    )


def first_of(until: float) -> float:
    """Return when the picture begins that ends with the hour of ``until``."""
    return math.ceil(until / HOUR_S) * HOUR_S - DAY_S


def _bins(samples: Iterable[Sample], begin: float, count: int) -> list[list[Sample]]:
    by_end: dict[float, list[Sample]] = defaultdict(list)
    for one in coarser(samples):
        by_end[aligned(one.t, COARSE_S)].append(one)
    return [by_end[begin + (place + 1) * COARSE_S] for place in range(count)]


def _gpu(group: Sequence[Sample]) -> Value:
    """Return the highest use; where not all is known, only work that was seen."""
    known = [value for one in group for value in one.gpu_util if value is not None]
    if not known:
        return None
    whole = len(known) == sum(one.gpus for one in group)
    return max(known) if whole or max(known) >= PROOF_PERCENT else None


def _cores(group: Sequence[Sample]) -> Value:
    known = [one.cpu_cores for one in group if one.cpu_cores is not None]
    return sum(known) / len(known) if known and len(known) == len(group) else None


def _gpu_track(values: Sequence[Value], t: Translator) -> Track:
    known = [value for value in values if value is not None]
    busy = sum(value >= PROOF_PERCENT for value in known)
    said = t(
        GPU_SAID,
        least=PROOF_PERCENT,
        busy=_span(busy, t),
        idle=_span(len(known) - busy, t),
        unknown=_span(len(values) - len(known), t),
    )
    return Track(t(N_("GPU (the busiest one)")), "gpu", said, "100 %", areas_of(values, 100), unknown_of(values))


def _cpu_track(values: Sequence[Value], t: Translator) -> Track:
    known = [value for value in values if value is not None]
    top = max(1, math.ceil(max(known, default=0.0)))
    said = t(CPU_NEVER)
    if known:
        most, mean = t.number(max(known)), t.number(sum(known) / len(known))
        said = t(CPU_SAID, most=most, mean=mean, unknown=_span(len(values) - len(known), t))
    return Track(
        t(N_("Processors")), "cpu", said, t(N_("{cores} cores"), cores=top), areas_of(values, top), unknown_of(values)
    )


def _runs(values: Sequence[Value], known: bool) -> list[tuple[int, int]]:
    """Return the stretches of what is known, or is not: their first place, and the one after the last."""
    runs: list[tuple[int, int]] = []
    for place, value in enumerate(values):
        if (value is not None) != known:
            continue
        if runs and runs[-1][1] == place:
            runs[-1] = (runs[-1][0], place + 1)
        else:
            runs.append((place, place + 1))
    return runs


def areas_of(values: Sequence[Value], top: float) -> list[str]:
    """Return each known stretch as steps over the lower edge; of one that is zero, the line on it."""
    areas = []
    for first, after in _runs(values, known=True):
        steps = []
        for place in range(first, after):
            high = HEIGHT - HEIGHT * min(values[place] or 0.0, top) / top
            steps.append(f"L{place} {high:.1f}L{place + 1} {high:.1f}")
        areas.append(f"M{first} {HEIGHT}{''.join(steps)}L{after} {HEIGHT}Z")
    return areas


def unknown_of(values: Sequence[Value]) -> list[tuple[int, int]]:
    """Return left edge and width of each stretch that is not known."""
    return [(first, after - first) for first, after in _runs(values, known=False)]


def _cell(values: Sequence[Value], hour: int, say: Callable[[Sequence[float]], str], t: Translator) -> str:
    part = values[hour * PER_HOUR : (hour + 1) * PER_HOUR]
    known = [value for value in part if value is not None]
    if not known:
        return t(NOT_KNOWN)
    if len(known) == len(part):
        return say(known)
    return t(PARTLY, value=say(known), span=_span(len(part) - len(known), t))


def _mean(known: Sequence[float], t: Translator) -> str:
    return t(N_("{cores} cores"), cores=t.number(sum(known) / len(known)))


def _mark(one: Happened, begin: float, until: float) -> Mark | None:
    """Return where it is in the picture; None for what is outside."""
    last = one.at if one.until is None else min(one.until, until)
    if last < begin or one.at > until:
        return None
    left = max(one.at - begin, 0.0) / COARSE_S
    return Mark(one.kind, round(left, 2), round(max((last - begin) / COARSE_S - left, 0.0), 2), one.text)


def _span(places: int, t: Translator) -> str:
    return t.say(span(places * COARSE_S))


def _clock(when: datetime, t: Translator) -> str:
    return t.moment(when, when)
