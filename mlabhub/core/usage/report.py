"""Reports of usage: which days are asked for, what is in a line, and lines as CSV.

Guarantees: pure; a day is refused in words with what was written; no cell of a CSV is read as a formula by a
spreadsheet, whatever names people chose.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from mlabhub.core.quote import quote
from mlabhub.core.usage.sums import Sums
from mlabhub.messages import N_, Message

LATELY_DAYS = 30
MOST_DAYS = 5 * 366
MS = 1000
HOUR_S = 3600.0
NO_DAY = N_("{name} must be a day such as 2026-11-27; it is {value}.")
BACKWARDS = N_("The first day, {first}, is after the last one, {last}. Swap them.")
TOO_LONG = N_("From {first} to {last} there are more than {most} days. Ask for fewer at once.")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
HEADINGS = (
    "allocated_gpu_hours",
    "used_gpu_hours",
    "wasted_gpu_hours",
    "unknown_gpu_hours",
    "waited_gpu_hours",
)


class NoPeriod(ValueError):
    """It is no period; ``told`` says why, ``name`` which of the two days is wrong."""

    def __init__(self, told: Message, name: str) -> None:
        super().__init__(str(told))
        self.told, self.name = told, name


@dataclass(frozen=True)
class Period:
    """Days of the calendar, both included."""

    first: date
    last: date

    @property
    def length(self) -> int:
        """How many days there are."""
        return (self.last - self.first).days + 1

    @property
    def before(self) -> Period:
        """As many days right before."""
        return Period(self.first - timedelta(days=self.length), self.first - timedelta(days=1))

    def days(self) -> Iterable[str]:
        """Yield all days."""
        return ((self.first + timedelta(days=number)).isoformat() for number in range(self.length))


@dataclass(frozen=True)
class Line:
    """What one user, group, profile or day comes to."""

    name: str
    sums: Sums


def read_period(first: str | None, last: str | None, today: date) -> Period:
    """Return the period from one day to another; without them the last `LATELY_DAYS`. Raises `NoPeriod`."""
    until = today if not last else _day(last, "to")
    since = until - timedelta(days=LATELY_DAYS - 1) if not first else _day(first, "from")
    if since > until:
        raise NoPeriod(Message.of(BACKWARDS, first=since.isoformat(), last=until.isoformat()), "from")
    if (until - since).days >= MOST_DAYS:
        raise NoPeriod(Message.of(TOO_LONG, first=since.isoformat(), last=until.isoformat(), most=MOST_DAYS), "from")
    return Period(since, until)


def _day(text: str, name: str) -> date:
    try:
        found = date.fromisoformat(text.strip()) if _DAY.fullmatch(text.strip()) else None
    except ValueError:
        found = None
    if found is None or not 1970 <= found.year <= 9000:
        raise NoPeriod(Message.of(NO_DAY, name=name, value=quote(text)), name)
    return found


def by_waste(totals: Mapping[str, Sums]) -> tuple[Line, ...]:
    """Return lines, those first that held most without using it."""
    lines = (Line(name, sums) for name, sums in totals.items())
    return tuple(sorted(lines, key=lambda one: (-one.sums.idle, -one.sums.held, one.name)))


def by_day(totals: Mapping[str, Sums], period: Period) -> tuple[Line, ...]:
    """Return a line for each day of a period."""
    return tuple(Line(day, totals.get(day, Sums())) for day in period.days())


def whole(lines: Iterable[Line]) -> Sums:
    """Return the sums of all lines."""
    total = Sums()
    for line in lines:
        total = total.plus(line.sums)
    return total


def hours(ms: int) -> float:
    """Return milliseconds as hours."""
    return ms / (HOUR_S * MS)


def csv_text(by: str, lines: Sequence[Line]) -> str:
    """Return lines as CSV, with a heading; hours have six decimals, so that each is exact to the second."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([by, *HEADINGS])
    for line in lines:
        sums = line.sums
        parts = (sums.held, sums.used, sums.idle, sums.unknown, sums.waited)
        writer.writerow([defused(line.name) if by != "day" else line.name, *(f"{hours(part):.6f}" for part in parts)])
    return text.getvalue()


def defused(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, and that is one line of text."""
    told = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in cell)
    return f"'{told}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else told
