"""What API and pages look at of idleness, beside one verdict: a launch by its id, how busy it was, and all of it.

Guarantees: what is not theirs is not there for anybody but administrators, also once it is over; nothing here changes
anything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mlabhub.core.idle.day_use import DayUse, day_use
from mlabhub.core.quote import quote
from mlabhub.core.readings import Sample
from mlabhub.errors import NotFound, NotPermitted
from mlabhub.ledger import Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.idle.answers import OverviewAnswer, overview_answer, silent_agents
from mlabhub.service.idle.desk import NOT_RUNNING, IdleDesk
from mlabhub.service.idle.views import IdleView
from mlabhub.service.reports import Reports
from mlabhub.service.views import Person
from mlabhub.service.worked_out import WorkedOut

if TYPE_CHECKING:
    from mlabhub.service.world import World

LASTS_S = 60.0
"""A sample comes once a minute."""

OVERVIEW_S = 5.0
OVERVIEW_OLD_S = 15.0
"""It is true enough for some seconds, and good enough for some more while it is worked out anew."""
ADMINISTRATORS = N_("This is for administrators.")
NO_LAUNCH = N_("There is no launch by this id, or it is not yours.")


class IdleLooks:
    """Looks at idleness for people."""

    def __init__(self, world: World, desk: IdleDesk, reports: Reports):
        self._world = world
        self._desk = desk
        self._reports = reports
        self._uses: dict[str, DayUse | None] = {}
        self._uses_of: float | None = None
        self._overview = WorkedOut(self._work_out, world.clock, fresh_s=OVERVIEW_S, old_s=OVERVIEW_OLD_S)
        self._histories: dict[tuple[str, str, float], asyncio.Task[tuple[Sample, ...]]] = {}
        self._histories_of = -1.0

    def view(self, person: Person, user: str, server: str) -> IdleView:
        """Return the verdict on a server that runs. Raises `NotFound`."""
        return self._desk.explain(person, user, server)

    def of_user(self, person: Person, user: str) -> Mapping[str, IdleView]:
        """Return the verdicts on a user's servers that run, by launch."""
        running = (one for one in self._world.writer.projection.of_user(user) if one.state == "held")
        return {one.launch_id: self._desk.explain(person, user, one.server) for one in running}

    async def find(self, person: Person, launch_id: str) -> Reservation:
        """Return a launch that runs, or is over. Raises `NotFound`."""
        one = self._world.writer.projection.launch(launch_id)
        if one is None:
            one = await asyncio.to_thread(self._world.ledger.reservation, launch_id)
        if one is None or not (person.admin or person.name == one.user):
            raise NotFound(NO_LAUNCH)
        return one

    async def history(self, person: Person, user: str, server: str, since: float, until: float) -> tuple[Sample, ...]:
        """Return how busy a server was, oldest first, read once a minute for all who look.

        Raises `NotFound` or `LedgerUnavailable`.
        """
        if not (person.admin or person.name == user):
            raise NotFound(Message.of(NOT_RUNNING, server=quote(server), user=quote(user)))
        minute = self._world.clock() // LASTS_S
        if minute != self._histories_of:
            self._histories, self._histories_of = {}, minute
        asked = (user, server, until // LASTS_S)
        task = self._histories.get(asked)
        if task is None or (task.done() and task.exception() is not None):
            task = asyncio.ensure_future(self._world.watch.history(user, server, since, until))
            self._histories[asked] = task
        return await asyncio.shield(task)

    def use(self, launch_id: str) -> DayUse | None:
        """Return how busy a launch was in the last day, worked out once a minute for all who look."""
        watch = self._world.watch
        if self._uses_of != watch.ticked:
            self._uses, self._uses_of = {}, watch.ticked
        if launch_id not in self._uses:
            samples = watch.samples(launch_id)
            until = watch.ticked if watch.ticked is not None else self._world.clock()
            self._uses[launch_id] = None if samples is None else day_use(samples, until)
        return self._uses[launch_id]

    async def overview(self, person: Person) -> OverviewAnswer:
        """Return what administrators see, worked out once in a few seconds for all of them. Raises `NotPermitted`."""
        if not person.admin:
            raise NotPermitted(ADMINISTRATORS)
        return await self._overview.get()

    async def _work_out(self) -> OverviewAnswer:
        now = self._world.clock()
        silent = silent_agents(self._world.writer.projection, self._reports.latest, now)
        return overview_answer(await self._desk.overview(), silent, now)
