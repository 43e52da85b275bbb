"""Idleness for people: why a server is kept or at risk, keeping it for a while, and what administrators see of all.

Guarantees: what is not theirs is not there for anybody but administrators. That something is kept is durable and in the
audit, with who asked and why, before it is answered; nobody keeps a server for longer or more often than its policy
lets them, whoever asks: a person on a page, a tool, or their server's agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from mlabhub.core.idle.keeping import keeps_left
from mlabhub.core.quote import quote
from mlabhub.core.units import GPU
from mlabhub.errors import InvalidLaunch, NotFound
from mlabhub.ledger import Keeping, Reservation, WouldStop
from mlabhub.messages import N_, Message
from mlabhub.service.idle import acts
from mlabhub.service.idle.standing import Standing
from mlabhub.service.idle.views import AgentStatus, IdleOverview, IdleView, WouldStopView, in_all_languages
from mlabhub.service.views import Person
from mlabhub.service.world import World

BACK_S = 30 * 86400.0
"""How far back administrators see."""
LONGEST_REASON = 500

NOT_RUNNING = N_("No server {server} of {user} runs.")
LONG_REASON = N_("A reason has at most {most} characters.")

Order = Callable[[str], Any]
"""Returns what the agent of a launch is asked to do now; None for nothing."""


class IdleDesk:
    """Shows what is idle, and keeps it where somebody asks for that."""

    def __init__(self, world: World, order: Order = lambda _: None):
        self._world = world
        self._loop = world.idle
        self.order = order

    def explain(self, person: Person, user: str, server: str) -> IdleView:
        """Return the verdict on a server that runs, signal by signal. Raises `NotFound`."""
        one = self._world.writer.projection.of_server(user, server)
        if one is None or not (person.admin or person.name == user):
            raise NotFound(Message.of(NOT_RUNNING, server=quote(server), user=quote(user)))
        return self._view(one)

    async def extend(self, person: Person, user: str, server: str, seconds: float, reason: str = "") -> IdleView:
        """Keep a server for a while. Raises `NotFound`, or `LaunchRefused` if its policy does not let them."""
        launch = self.explain(person, user, server).launch
        return await self._keep(launch, seconds, reason, by=person.name, actor=person.name)

    async def extend_own(self, launch_id: str, seconds: float, reason: str = "") -> IdleView:
        """Keep the server of an agent for a while, as its person asked for in a tool. Raises as `extend` does."""
        one = self._world.writer.projection.launch(launch_id)
        if one is None:
            raise NotFound(Message.of(NOT_RUNNING, server="", user=""))
        return await self._keep(one, seconds, reason, by="agent", actor=one.user)

    async def seen(self, launch_id: str, warning_at: float) -> None:
        """An open tool showed the warning of then."""
        await self._loop.delivery.seen(launch_id, warning_at)

    def status(self, launch_id: str) -> AgentStatus | None:
        """Return what the agent of a launch is told; None where nothing is known of it."""
        projection = self._world.writer.projection
        one, standing = projection.launch(launch_id), self._loop.standing(launch_id)
        if one is None or standing is None:
            return None
        verdict, now = standing.verdict, self._world.clock()
        return {
            "now": now,
            "verdict": verdict.kind.value,
            "text": in_all_languages(standing.said),
            "since": verdict.since,
            "due": verdict.due,
            "deadline": verdict.deadline,
            "warning": self._warning(one, standing),
            **self._use(one),
            "quota": self._quota(one),
            "keep": {
                "left": keeps_left(standing.state, standing.policy, verdict.since),
                "most_s": standing.policy.keep_most_s,
            },
            "can_release": self._can_release(one),
            "page": f"{self._world.settings.service_prefix}servers/{launch_id}",
            "order": self._order_of(launch_id),
        }

    def _order_of(self, launch_id: str) -> dict[str, Any] | None:
        order = self.order(launch_id)
        return None if order is None else asdict(order)

    async def overview(self) -> IdleOverview:
        """Return what administrators see."""
        ledger, since = self._world.ledger, self._world.clock() - BACK_S
        would_stops = await asyncio.to_thread(ledger.would_stops, since)
        keepings = await asyncio.to_thread(ledger.keepings, since)
        launches = await asyncio.to_thread(self._launches, {one.launch_id for one in keepings})
        projection, loop = self._world.writer.projection, self._loop
        unknown = ((projection.launch(one.launch_id), one) for one in loop.unknown())
        undeliverable = (projection.launch(one) for one in loop.undeliverable())
        return IdleOverview(
            would_stops=tuple(self._would_stop(one) for one in reversed(would_stops)),
            unknown=tuple((one, standing) for one, standing in unknown if one is not None),
            undeliverable=tuple(one for one in undeliverable if one is not None),
            keepings=tuple((one, launches.get(one.launch_id)) for one in reversed(keepings)),
            verdicts=dict(loop.verdicts),
        )

    def _launches(self, launch_ids: set[str]) -> dict[str, Reservation]:
        found = (self._world.ledger.reservation(one) for one in sorted(launch_ids))
        return {one.launch_id: one for one in found if one is not None}

    def _would_stop(self, one: WouldStop) -> WouldStopView:
        over = one.again if one.again is not None else one.ended
        until = over if over is not None else self._world.clock()
        return WouldStopView(one, max(until - one.at, 0.0) * one.gpus / 3600)

    def _view(self, one: Reservation) -> IdleView:
        projection, standing = self._world.writer.projection, self._loop.judge(one)
        verdict, policy = standing.verdict, standing.policy
        return IdleView(
            launch=one,
            now=self._world.clock(),
            verdict=verdict.kind.value,
            said=standing.said,
            signals=standing.signals,
            reasons=standing.reasons,
            policy=policy,
            since=verdict.since,
            due=verdict.due,
            deadline=verdict.deadline,
            warning=projection.warnings.get(one.launch_id),
            keepings=projection.keepings.get(one.launch_id, ()),
            keep_left=keeps_left(standing.state, policy, verdict.since),
            keep_most_s=policy.keep_most_s,
            can_release=self._can_release(one),
        )

    async def _keep(self, one: Reservation, seconds: float, reason: str, *, by: str, actor: str) -> IdleView:
        reason = " ".join(reason.split())
        if len(reason) > LONGEST_REASON:
            raise InvalidLaunch(Message.of(LONG_REASON, most=LONGEST_REASON))
        now, standing = self._world.clock(), self._loop.judge(one)
        policy, since = standing.policy, standing.verdict.since
        warning = self._world.writer.projection.warnings.get(one.launch_id)
        act = acts.keep(
            one.launch_id,
            policy,
            lambda known, projection: self._loop.state_of(known, projection, policy),
            since,
            seconds,
            now,
            by=by,
            actor=actor,
            reason=reason,
        )
        kept: Keeping = await self._world.writer.submit(act)
        self._loop.kept(kept, warning)
        return self._view(one)

    def _can_release(self, one: Reservation) -> bool:
        gives_back = self._loop.stopping.release is not None and bool(one.gpus) and one.state == "held"
        return gives_back and (one.user, one.server) not in self._world.writer.projection.shelved

    def _warning(self, one: Reservation, standing: Standing) -> dict[str, Any] | None:
        """Return the warning in force; one that was said again has the time of that."""
        warning = acts.warning_of(self._world.writer.projection, one.launch_id)
        if warning is None:
            return None
        item = self._loop.delivery.item(one, warning, standing)
        at = warning.changed if warning.reminded else warning.at
        return {"at": at, "title": in_all_languages(item.title), "body": in_all_languages(item.body)}

    def _use(self, one: Reservation) -> dict[str, Any]:
        usage = self._world.watch.usage(one.launch_id)
        cores = None if usage is None else usage.cpu_cores
        if not one.gpus:
            return {"gpu": None, "cpu_cores": cores}
        known = [value for value in (usage.gpu_util if usage else ()) if value is not None]
        memory = [value for value in (usage.gpu_mem_used if usage else ()) if value is not None]
        gpu = {
            "count": len(one.gpus),
            "percent": max(known) if known else None,
            "memory_used": sum(memory) if memory and len(memory) == len(one.gpus) else None,
            "memory_total": self._loop.gpu_memory(one.gpus),
        }
        return {"gpu": gpu, "cpu_cores": cores}

    def _quota(self, one: Reservation) -> dict[str, Any] | None:
        if one.group is None:
            return None
        quotas, holdings = self._world.catalog().quotas, self._world.writer.projection.holdings
        entry = quotas.groups.get(one.group)
        used = holdings.group(one.group).as_amounts().get(GPU, 0.0)
        guaranteed = None if entry is None else entry.guaranteed.get(GPU)
        limit = None if entry is None else entry.limit.get(GPU)
        return {"group": one.group, "used": used, "guaranteed": guaranteed, "limit": limit}
