"""Days of GPU-hours as one picture: what was used, held but idle, not known and free, one upon the other.

Guarantees: pure; the picture says what its table says, so that nobody has to see it; bands differ by more than their
colour; nothing of it needs a style in the page. Where nobody knew which GPUs there were, no band says that they were
free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mlabhub.i18n import N_, Translator
from mlabhub.service.usage.views import UsageRow

HEIGHT = 200
MOST_LABELS = 5
BANDS = {
    "used": N_("used"),
    "wasted": N_("held but idle"),
    "unknown": N_("held, use not known"),
    "free": N_("free"),
}
HOUR_S = 3600.0


@dataclass(frozen=True)
class Band:
    """One band: ``path`` is its area."""

    key: str
    name: str
    path: str


@dataclass(frozen=True)
class DayLine:
    """One line of the table: a day, and its hours in words and as numbers, those of `BANDS` in their order."""

    day: str
    name: str
    cells: list[str]
    hours: list[float | None]


@dataclass(frozen=True)
class Chart:
    """The picture, ``width`` wide: one for each day. ``top`` is what the upper edge stands for."""

    width: int
    bands: list[Band]
    top: str
    labels: list[str]
    headings: list[str]
    lines: list[DayLine]
    height: int = HEIGHT


def make_chart(rows: Sequence[UsageRow], t: Translator) -> Chart:
    """Return the picture of days, which are in order."""
    hours = [_hours(row) for row in rows]
    keys = [key for key in BANDS if key != "free" or any(one[-1] is not None for one in hours)]
    stacks = [_stack(one[: len(keys)]) for one in hours]
    top = nice(max((stack[-1] for stack in stacks), default=0.0))
    names = {key: t(text) for key, text in BANDS.items()}
    return Chart(
        width=len(rows),
        bands=[Band(key, names[key], _area(stacks, place, top)) for place, key in enumerate(keys)],
        top=t(N_("{hours} GPU-hours a day"), hours=t.number(top)),
        labels=_labels([row.name for row in rows], t),
        headings=[names[key] for key in keys],
        lines=[_line(row, one[: len(keys)], t) for row, one in zip(rows, hours, strict=True)],
    )


def nice(value: float) -> float:
    """Return a round number that is not less: 1, 2 or 5 times a power of ten."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1.0, 2.0, 5.0, 10.0) if step * power >= value)


def hours_text(seconds: float, t: Translator) -> str:
    """Return GPU seconds as hours with one decimal."""
    return t.number(round(seconds / HOUR_S, 1))


def day_text(day: str, t: Translator) -> str:
    """Return a day as the language writes it."""
    return t.day(date.fromisoformat(day))


def _hours(row: UsageRow) -> list[float | None]:
    free = None if row.there_s is None else max(row.there_s - row.allocated_s, 0.0)
    parts = (row.used_s, row.wasted_s, row.unknown_s, free)
    return [None if part is None else round(part / HOUR_S, 2) for part in parts]


def _stack(hours: Sequence[float | None]) -> list[float]:
    """Return the lower edge of the first band, and the upper edge of each."""
    edges = [0.0]
    for one in hours:
        edges.append(edges[-1] + (one or 0.0))
    return edges


def _area(stacks: Sequence[Sequence[float]], place: int, top: float) -> str:
    """Return a band as steps, there along its upper edge and back along its lower one."""

    def high(edge: float) -> str:
        return f"{HEIGHT - HEIGHT * edge / top:.1f}"

    there = "".join(f"L{x} {high(one[place + 1])}L{x + 1} {high(one[place + 1])}" for x, one in enumerate(stacks))
    back = "".join(f"L{x + 1} {high(one[place])}L{x} {high(one[place])}" for x, one in reversed([*enumerate(stacks)]))
    return f"M0 {high(stacks[0][place])}{there}{back}Z" if stacks else ""


def _labels(days: Sequence[str], t: Translator) -> list[str]:
    count = min(MOST_LABELS, len(days))
    places = [round(number * (len(days) - 1) / max(count - 1, 1)) for number in range(count)]
    return [t.short_day(date.fromisoformat(days[place])) for place in places]


def _line(row: UsageRow, hours: list[float | None], t: Translator) -> DayLine:
    cells = [t(N_("not known")) if one is None else t.number(round(one, 1)) for one in hours]
    return DayLine(row.name, day_text(row.name, t), cells, hours)
