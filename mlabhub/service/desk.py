"""What spawners are told: may this server start, and exactly what; and what spawners tell: it runs, it is gone.

Guarantees: a spawn that names a launch gets that launch or nothing; one that names none is decided on at the same gate
as the launch page's, and never waits: a launch that waits is no pending spawn; every call can be repeated with the same
result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mlabhub.core.gate import check_launch_id
from mlabhub.core.names import check_user_name
from mlabhub.core.privacy import Viewer
from mlabhub.core.reasons import NEVER
from mlabhub.core.resolve import resolve
from mlabhub.errors import LaunchRefused
from mlabhub.ledger import Reservation, StoredAnswer
from mlabhub.messages import N_, Message, message_json
from mlabhub.service import answers, moving, reservations
from mlabhub.service.answers import Refused, Waits
from mlabhub.service.bodies import PlacedBody, ReleasedBody, ReserveBody, ShortBody
from mlabhub.service.decisions import Ground, Wish
from mlabhub.service.kept import kept_image
from mlabhub.service.queue.asking import ask
from mlabhub.service.queue.outcomes import MOST_ATTEMPTS
from mlabhub.service.report_tokens import VARIABLE, ReportTokens, Subject
from mlabhub.service.shortage import why_short
from mlabhub.service.world import World

TO_WAIT = N_("To wait for your turn, start it from the launch page; there it can join the queue.")


class SpawnerDesk:
    """Answers spawners. ``supersede`` gives back an old launch of a server that the hub starts anew."""

    def __init__(
        self,
        world: World,
        supersede: Callable[[str, str, str], Awaitable[None]],
        wake_reconciler: Callable[[], None],
        tokens: ReportTokens,
    ):
        self._world = world
        self._tokens = tokens
        self._supersede = supersede
        self._wake = wake_reconciler

    async def reserve(self, user: str, server: str, body: ReserveBody) -> dict[str, Any]:
        """Redeem the launch that the options name, or decide on the spot."""
        options = dict(body.user_options)
        launch_id = options.pop("launch_id", None)
        if launch_id is not None:
            check_launch_id(launch_id)
            return self._admitted(await self._redeem(launch_id, user, server, options, body))
        answer = await self._decide(user, server, options, body)
        if isinstance(answer, Refused):
            return _refused(answer)
        return self._admitted(answer)

    async def held(self, user: str, server: str, launch_id: str, notes: tuple[Message, ...] = ()) -> dict[str, Any]:
        """Note that it runs. Raises `LaunchRefused` if it has to stop again, for its launch was given up."""
        now, before = self._world.clock(), self._world.writer.projection.launch(launch_id)
        one = await self._world.writer.submit(reservations.hold(launch_id, user, server, now, notes))
        if before is not None and before.held is None:
            self._world.metrics.start_seconds.observe(now - one.created)
        self._wake()
        return {"state": one.state, "launch_id": launch_id}

    async def placed(self, user: str, server: str, body: PlacedBody) -> dict[str, Any]:
        """Note on which node the cluster put it. Raises `LaunchRefused` if its launch was given up."""
        capacity, servers = await asyncio.gather(self._world.capacity.get(), self._world.backend.servers())
        act = moving.place(
            body.launch_id,
            user,
            server,
            body.node,
            self._world.clock(),
            actor="spawner",
            capacity=capacity,
            placed={one.launch_id for one in servers if one.node},
        )
        one = await self._world.writer.submit(act)
        return {"state": one.state, "launch_id": body.launch_id, "node": one.node, "gpus": list(one.gpus)}

    async def short(self, user: str, server: str, body: ShortBody) -> dict[str, Any]:
        """Say what there is too little of for a launch. Raises `LaunchRefused` if it was given up."""
        capacity = await self._world.capacity.look()
        projection = self._world.writer.projection
        known = projection.launch(body.launch_id)
        if known is None or (known.user, known.server) != (user, server):
            raise answers.unknown(body.launch_id)
        short = why_short(known, projection, capacity, self._world.catalog().quotas.cpu_overcommit)
        return {"launch_id": body.launch_id, "short": None if short is None else message_json(short)}

    async def released(self, user: str, server: str, body: ReleasedBody) -> dict[str, Any]:
        """Note that nothing of it runs any more; fine for a launch that is not known (any more).

        Where the backend says that nobody can tell, it stays counted. Where its end was asked for, ``reason`` is not
        shown to anybody: a hub that was killed in the middle of a stop finds a server that it did not see end.
        """
        known = self._world.writer.projection.launch(body.launch_id)
        if known is not None and (known.user, known.server) != (user, server):
            raise answers.unknown(body.launch_id)
        lost = await self._world.backend.lost(body.launch_id) if known is not None else None
        if known is not None and lost is not None:
            return await self._keep(known, lost)
        why = body.note or (Message.of(N_("{reason}"), reason=body.reason) if body.reason else None)
        if known is not None and known.state == "stopping":
            why = None
        act = reservations.release(
            body.launch_id,
            self._world.clock(),
            actor="spawner",
            why=why or Message(N_("the hub's spawner says that it ended")),
            failure=None if body.passing and self._waits_again(body.launch_id) else why,
            served=body.served,
        )
        one = await self._world.writer.submit(act)
        return {"state": "released", "launch_id": body.launch_id, "was_held": one is not None}

    def _admitted(self, one: Reservation) -> dict[str, Any]:
        # The token stands in what the spawner is told and not in the plan that is kept: the ledger needs no secret.
        plan = one.plan
        if plan is not None:
            token = self._tokens.make(Subject(one.user, one.server, one.launch_id))
            plan = {**plan, "environment": {**plan.get("environment", {}), VARIABLE: token}}
        return {
            "decision": "admit",
            "launch_id": one.launch_id,
            "payer": one.group,
            "placement": {"node": one.node, "gpus": list(one.gpus)},
            "plan": plan,
            "reasons": [],
        }

    def _waits_again(self, launch_id: str) -> bool:
        """Whether a launch came from the queue, where it may wait again; the last time its reason is told."""
        entry = self._world.writer.projection.queue.get(launch_id)
        return entry is not None and entry.state == "started" and entry.attempts + 1 < MOST_ATTEMPTS

    async def _keep(self, known: Reservation, lost: Message) -> dict[str, Any]:
        """Go on counting a server that the hub has given up, for its node does not answer: it may still run there."""
        if known.state != "unknown" or known.failure is None:
            now, act = self._world.clock(), "unreachable"
            await self._world.writer.submit(
                reservations.change(known, now, actor="spawner", act_name=act, why=lost, state="unknown", failure=lost)
            )
        self._wake()
        return {"state": "unknown", "launch_id": known.launch_id, "was_held": True}

    async def _redeem(
        self, launch_id: str, user: str, server: str, options: dict[str, Any], body: ReserveBody
    ) -> Reservation:
        now = self._world.clock()
        act = reservations.redeem(launch_id, user, server, options, now + body.deadline, now)
        try:
            return await self._world.writer.submit(act)
        except LaunchRefused as error:
            if error.data.get("code") == "launch_unknown" and await self._was_made(launch_id):
                raise answers.used(launch_id) from error
            raise

    async def _was_made(self, launch_id: str) -> bool:
        past = await asyncio.to_thread(self._world.ledger.reservation, launch_id)
        return past is not None and not past.active

    async def _decide(
        self, user: str, server: str, options: dict[str, Any], body: ReserveBody
    ) -> Reservation | Refused:
        check_user_name(user)
        check_launch_id(body.launch_id)
        world = self._world
        catalog = world.catalog()
        capacity = await world.capacity.get()
        kept = await kept_image(world.ledger, catalog, user, server)
        request = resolve(catalog, user, body.groups, options, server, present=capacity.gpu_types, kept_images=kept)
        await world.fetcher.require(request)
        await world.census.ensure()
        facts = await world.accounts.look_up(user, body.groups)
        other = world.writer.projection.of_server(user, server)
        if other is not None and other.launch_id != body.launch_id:
            await self._supersede(user, server, body.launch_id)
        wish = Wish(
            launch_id=body.launch_id,
            request=request,
            options=options,
            actor=user,
            viewer=Viewer(user, frozenset(body.groups), privacy=catalog.quotas.privacy),
            deadline_s=body.deadline,
            by_spawner=True,
        )
        ground = Ground(catalog, capacity, facts.choose)
        answer = await ask(world, wish, ground)
        assert not isinstance(answer, StoredAnswer | Waits)  # there was no Idempotency-Key; spawners do not wait
        if isinstance(answer, Refused):
            world.note_decision(admitted=False)
            return answer
        world.note_decision(admitted=True)
        return answer.reservation


def _refused(refused: Refused) -> dict[str, Any]:
    reasons = answers.reasons_json(refused.reasons)
    if refused.advice is not None:
        reasons.append({"code": "advice", "message": str(refused.advice), "resource": ""})
    if not any(one.code in NEVER or one.code == "name_in_use" for one in refused.reasons):
        reasons.append({"code": "advice", "message": str(Message(TO_WAIT)), "resource": ""})
    return {"decision": "refuse", "payer": None, "placement": None, "plan": None, "reasons": reasons}
