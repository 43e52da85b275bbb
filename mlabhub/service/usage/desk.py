"""Where people ask who used how many GPU-hours.

Guarantees: people see their own, what their groups pay for, and single others only as far as the installation's privacy
gives (`core.privacy`); administrators see all. The ledger is read in a thread, once for all who ask the same, until
there is more to say.
"""

from __future__ import annotations

import asyncio
from datetime import date, datetime
from typing import TYPE_CHECKING, NamedTuple

from mlabhub.core.privacy import Viewer
from mlabhub.core.usage.report import NoPeriod, Period, by_day, by_waste, read_period, whole
from mlabhub.errors import InvalidLaunch
from mlabhub.ledger.usage import By, Scope
from mlabhub.service.usage.views import Covers, Report, seconds
from mlabhub.service.views import Person

if TYPE_CHECKING:
    from mlabhub.service.world import World

MOST_KEPT = 200
"""So many answers are kept at hand; one of all users of a large site takes some MB."""


class _Asked(NamedTuple):
    by: By
    period: Period
    scope: Scope


class UsageDesk:
    """Answers about usage."""

    def __init__(self, world: World):
        self._world = world
        self._until: float | None = None
        self._answers: dict[_Asked, asyncio.Task[Report]] = {}

    def today(self) -> date:
        """Return the day it is in this machine's zone."""
        return datetime.fromtimestamp(self._world.clock()).date()

    def period(self, first: str | None, last: str | None) -> Period:
        """Return the days from one to another. Raises `InvalidLaunch` with a sentence."""
        try:
            return read_period(first, last, self.today())
        except NoPeriod as error:
            raise InvalidLaunch(error.told, key=error.name) from None

    async def report(self, person: Person, by: By, period: Period) -> Report:
        """Return what a person may know of these days. Raises `LedgerUnavailable`."""
        viewer = Viewer(person.name, frozenset(person.groups), person.admin, self._world.catalog().quotas.privacy)
        asked, until = _Asked(by, period, scope_of(viewer, by)), self._world.usage_loop.until
        if until != self._until or len(self._answers) >= MOST_KEPT:
            self._answers, self._until = {}, until
        task = self._answers.get(asked)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = self._answers[asked] = asyncio.create_task(asyncio.to_thread(self._read, asked, until))
        return await asyncio.shield(task)

    def _read(self, asked: _Asked, until: float | None) -> Report:
        store, by, period, everybody = self._world.usage, asked.by, asked.period, asked.scope.everybody
        first, last = period.first.isoformat(), period.last.isoformat()
        totals = store.totals(by, first, last, asked.scope)
        lines = by_day(totals, period) if by == "day" else by_waste(totals)
        there = store.there(first, last) if by == "day" and everybody else {}
        covers: Covers = "everybody" if everybody else "own"
        return Report(by, period, covers, until, seconds(whole(lines)), lines, there)


def scope_of(viewer: Viewer, by: By) -> Scope:
    """Return what a person may know, by what it is told apart.

    By profile and day that is what they used themselves; by group what each of their groups did, without names; by user
    themselves, and others of their groups where the installation says so.
    """
    if viewer.sees_all:
        return Scope()
    if by == "group":
        return Scope(groups=viewer.groups)
    if by == "user" and viewer.privacy == "group":
        return Scope(viewer.name, viewer.groups)
    return Scope(viewer.name)
