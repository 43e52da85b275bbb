"""What API and pages answer about usage: plain values, in seconds of one GPU.

Guarantees: pure; GPU time that nobody measured stands beside what was wasted and is never part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlabhub.core.usage.report import Line, Period
from mlabhub.core.usage.sums import Sums
from mlabhub.ledger.usage import By, There

Covers = Literal["everybody", "own"]


@dataclass(frozen=True)
class UsageSums:
    """GPU seconds: allocated (reserved until released), of them used, wasted (held but idle) and not known; waited for.

    An hour has 3600 of them.
    """

    allocated_s: float
    used_s: float
    wasted_s: float
    unknown_s: float
    waited_s: float


@dataclass(frozen=True)
class UsageRow(UsageSums):
    """What one user, group, profile or day comes to; ``name`` is a day such as ``2026-11-27`` where it is by day.

    ``there_s`` are the GPU seconds that there were in a day, as far as it was known which GPUs there are; None: by
    anything else, or not known at all.
    """

    name: str
    there_s: float | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """What is asked for: all lines, and all together. ``until`` is up to when it is added up; None: not at all yet."""

    by: By
    period: Period
    covers: Covers
    until: float | None
    total: UsageSums
    lines: Sequence[Line]
    there: Mapping[str, There]

    @property
    def rows(self) -> tuple[UsageRow, ...]:
        """All lines."""
        return self.page(0, len(self.lines))

    def page(self, offset: int, limit: int) -> tuple[UsageRow, ...]:
        """Return some lines."""
        return tuple(self._row(line) for line in self.lines[offset : offset + limit])

    def _row(self, line: Line) -> UsageRow:
        there = self.there.get(line.name) if self.by == "day" else None
        parts = vars(seconds(line.sums))
        return UsageRow(**parts, name=line.name, there_s=None if there is None else there.gpus / 1000)


def seconds(sums: Sums) -> UsageSums:
    """Return sums in seconds."""
    parts = (sums.held, sums.used, sums.idle, sums.unknown, sums.waited)
    return UsageSums(*(part / 1000 for part in parts))
