"""Idleness in memory, for the pages."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlabhub.core.idle.day_use import DayUse
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.words import Signal
from mlabhub.core.readings import Sample
from mlabhub.errors import LaunchRefused, NotFound, NotPermitted, Unavailable
from mlabhub.ledger import IdleWarning, Keeping, Reservation
from mlabhub.messages import Message
from mlabhub.service.idle.answers import OverviewAnswer
from mlabhub.service.idle.views import IdleView
from mlabhub.service.views import LaunchAnswer, Person
from mlabhub.service.wait_views import WaitRange
from tests.pages.queue import in_minutes

if TYPE_CHECKING:
    from tests.pages.launcher import MemoryLauncher

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


class MemoryIdle:
    """Verdicts in memory: looks and desk in one. ``shown`` are servers whose home page says how idle they are, and
    ``warned`` those with a warning in force; ``waits``: GPUs that are asked for again are not free; ``over``: nothing
    runs any more. What is kept was kept ``kept_ago`` seconds ago, for a minute.
    """

    def __init__(self, launcher: MemoryLauncher) -> None:
        self.launcher = launcher
        self.kept: list[tuple[Any, ...]] = []
        self.left = 1
        self.shown: set[str] = set()
        self.warned: set[str] = set()
        self.waits = self.away = self.over = False
        self.said, self.kept_ago = "GPU idle for 2 h.", 0.0
        self.began = time.time()
        self.told = OverviewAnswer(self.began, {}, 0.0, 0, (), (), (), (), ())
        self.samples: tuple[Sample, ...] = ()
        self.uses: dict[str, DayUse] = {}

    async def find(self, person: Person, launch_id: str) -> Reservation:
        one = self.launcher.projection.launch(launch_id)
        past = next((it for it in self.launcher.before if it.launch_id == launch_id), None)
        if one is None and past is not None and person.name == past.user:
            return past
        if one is None or not (person.admin or person.name == one.user):
            raise NotFound("There is no launch by this id.")
        return replace(one, state="released" if self.over else "held")

    def of_user(self, person: Person, user: str) -> Mapping[str, IdleView]:
        found = (self.launcher.projection.of_server(user, server) for server in self.shown)
        return {one.launch_id: self.view(person, user, one.server) for one in found if one is not None}

    def view(self, person: Person, user: str, server: str) -> IdleView:
        one, now = self.launcher.projection.of_server(user, server), time.time()
        assert one is not None
        warning = (
            IdleWarning(one.launch_id, self.began - 120, told=self.began - 60, way="home")
            if server in self.warned
            else None
        )
        signals = (
            Signal("gpu", "unknown", Message("Not measured."), True),
            Signal("work", "idle", Message(HOSTILE), False),
        )
        at = now - self.kept_ago
        keepings = tuple(Keeping(one.launch_id, at, at + 60, by=HOSTILE, reason=kept[-1]) for kept in self.kept)
        return IdleView(
            one, now, "warned", Message(self.said), signals, (), Policy(), now - 7200, now - 60, now + 840,
            warning, keepings, self.left, 7200.0, bool(one.gpus),
        )  # fmt: skip

    async def history(self, person: Person, user: str, server: str, since: float, until: float) -> tuple[Sample, ...]:
        if self.away:
            raise Unavailable("The ledger does not answer.")
        return self.samples

    def use(self, launch_id: str) -> DayUse | None:
        return self.uses.get(launch_id)

    async def extend(self, person: Person, user: str, server: str, seconds: float, reason: str) -> None:
        if not self.left:
            raise LaunchRefused("It was kept often enough already.")
        self.left -= 1
        self.kept.append((person.name, user, server, seconds, reason))

    async def release(self, person: Person, user: str, server: str) -> None:
        self.launcher.calls.append(("release-gpu", person.name, user, server))

    async def bring_back(self, person: Person, user: str, server: str, *, queue: bool) -> LaunchAnswer:
        if self.waits and not queue:
            raise LaunchRefused("Its GPUs are not free.", code="would_wait")
        self.launcher.calls.append(("bring-back", person.name, user, server, queue))
        return LaunchAnswer("starting", "01BACK", "starting/01BACK")

    async def foresee(self, person: Person, user: str, server: str) -> WaitRange | None:
        return in_minutes(25, 65) if self.waits else None

    async def overview(self, person: Person) -> OverviewAnswer:
        if not person.admin:
            raise NotPermitted("This is for administrators.")
        return self.told
