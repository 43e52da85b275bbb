"""What a replay came to, in numbers.

Guarantees: made from workload, quotas and events alone, alike for every policy; GPU-hours and seconds. Each request
counts once. ``span``: from the first arrival to the last one, while the workload still comes; ``whole``: to the last
end.

Utilisation is GPU time held by anybody, goodput is without the runs that were reclaimed later; both as a share of all
GPUs. A wait is all the time that a request waited, after reclaims as well, until its last start.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import fmean, median
from typing import Any

from mlabhub.core.quotas import Quotas
from mlabhub.replay.debt import Debt
from mlabhub.replay.fragmentation import Fragmentation
from mlabhub.replay.model import Outcome, Workload
from mlabhub.replay.timeline import Life, Timeline

HOUR = 3600.0
STARVED_TIMES = 10.0
STARVED_LEAST_S = 3600.0
STARVED_OVERTAKEN = 10


@dataclass(frozen=True)
class Waits:
    """Seconds waited by a number of requests."""

    count: int
    mean: float
    p50: float
    p95: float
    longest: float

    @classmethod
    def of(cls, waits: Iterable[float]) -> Waits:
        """Sum up."""
        found = sorted(waits)
        if not found:
            return cls(0, 0.0, 0.0, 0.0, 0.0)
        return cls(len(found), fmean(found), _rank(found, 0.5), _rank(found, 0.95), found[-1])


@dataclass(frozen=True)
class Shares:
    """Over one span of time: how much of all GPUs was used, and usefully."""

    seconds: float
    utilisation: float
    goodput: float


@dataclass(frozen=True)
class Report:
    """All figures of one replay."""

    requests: int
    refused: int
    ended: int
    unfinished: int
    span: Shares
    whole: Shares
    waits: Waits
    first_waits: Waits
    waits_by_group: dict[str, Waits]
    debt_gpu_hours: float
    debt_by_group: dict[str, float]
    reclaims: int
    most_reclaims: int
    lost_gpu_hours: float
    withdrawn: int
    starved: int
    starved_ids: tuple[str, ...]
    unusable_gpus: float
    """On average over the span, the free GPUs that the workload's mix could not use."""
    fragmented: float
    """These as a share of the free ones."""
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def report(workload: Workload, quotas: Quotas, outcome: Outcome, notice_s: float | None = None) -> Report:
    """Sum up a replay. ``notice_s`` is what a notice excuses; without it, what the quotas say."""
    timeline = Timeline(workload, outcome.events, quotas.cpu_overcommit)
    debt = Debt(quotas, quotas.notice_seconds if notice_s is None else notice_s)
    pieces = Fragmentation(timeline)
    first, last = _span(workload)
    end = first
    for now, lasts in timeline.steps():
        debt.step(timeline, now, lasts)
        pieces.step(timeline, max(0.0, min(now + lasts, last) - now))
        end = max(end, now + lasts)
    lives = tuple(timeline.lives.values())
    served = [life for life in lives if not life.refused]
    starved = _starved(served, end)
    fair = max(last - first, 1e-9)
    return Report(
        requests=len(lives),
        refused=len(lives) - len(served),
        ended=sum(life.ended is not None for life in served),
        unfinished=sum(life.ended is None and not _given_up(life) for life in served),
        span=_shares(served, workload.gpus, first, last),
        whole=_shares(served, workload.gpus, first, end),
        waits=Waits.of(_wait(life, end) for life in served),
        first_waits=Waits.of(
            (end if life.first_start is None else life.first_start) - life.request.t for life in served
        ),
        waits_by_group=_by_group(served, end),
        debt_gpu_hours=debt.gpu_seconds / HOUR,
        debt_by_group={name: seconds / HOUR for name, seconds in sorted(debt.by_group.items())},
        reclaims=sum(life.reclaims for life in served),
        most_reclaims=max((life.reclaims for life in served), default=0),
        lost_gpu_hours=sum(life.lost_gpu_s for life in served) / HOUR,
        withdrawn=outcome.withdrawn,
        starved=len(starved),
        starved_ids=tuple(starved[:20]),
        unusable_gpus=pieces.unusable_gpu_s / fair,
        fragmented=pieces.unusable_gpu_s / pieces.free_gpu_s if pieces.free_gpu_s else 0.0,
        notes=workload.notes,
    )


def _span(workload: Workload) -> tuple[float, float]:
    requests = workload.requests
    return (requests[0].t, requests[-1].t) if requests else (0.0, 0.0)


def _given_up(life: Life) -> bool:
    """Whether it was reclaimed and its profile ended it."""
    return life.waits_since is None and life.reclaims > 0


def _wait(life: Life, end: float) -> float:
    return life.waited + (end - life.waits_since if life.waits_since is not None else 0.0)


def _by_group(lives: Sequence[Life], end: float) -> dict[str, Waits]:
    groups: dict[str, list[float]] = {}
    for life in lives:
        groups.setdefault(life.request.group or "", []).append(_wait(life, end))
    return {name: Waits.of(waits) for name, waits in sorted(groups.items())}


def _shares(lives: Sequence[Life], gpus: int, start: float, end: float) -> Shares:
    """Integrate over ``start`` to ``end``."""
    kept = sum(life.request.gpus * _within(life.kept, start, end) for life in lives)
    lost = sum(life.request.gpus * _within(life.lost, start, end) for life in lives)
    whole = gpus * (end - start)
    if whole <= 0:
        return Shares(end - start, 0.0, 0.0)
    return Shares(end - start, (kept + lost) / whole, kept / whole)


def _within(spans: Iterable[tuple[float, float]], start: float, end: float) -> float:
    return sum(max(0.0, min(until, end) - max(since, start)) for since, until in spans)


def _rank(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all do not exceed."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)]


def _starved(lives: Sequence[Life], end: float) -> list[str]:
    """Return those who waited far longer than the median of their kind while later ones of it were served.

    A kind is a group, a type of GPU and a number of them. Far longer: ten times the median, and an hour at least;
    ten of its kind that came later started first.
    """
    kinds: dict[tuple[str | None, str | None, int], list[Life]] = {}
    for life in lives:
        request = life.request
        kinds.setdefault((request.group, request.gpu_type, request.gpus), []).append(life)
    found = []
    for members in kinds.values():
        usual = median(_wait(life, end) for life in members)
        bound = max(STARVED_TIMES * usual, STARVED_LEAST_S)
        for life in members:
            if _wait(life, end) > bound and _overtaken(life, members, end) >= STARVED_OVERTAKEN:
                found.append((_wait(life, end), life.request.id))
    return [name for _, name in sorted(found, reverse=True)]


def _overtaken(life: Life, members: Sequence[Life], end: float) -> int:
    """Count those of the kind that came after it and started before it."""
    began = end if life.last_start is None else life.last_start
    return sum(
        one.request.t > life.request.t and one.first_start is not None and one.first_start < began for one in members
    )
