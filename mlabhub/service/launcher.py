"""Launch, watch, stop and reset servers: the one way for pages, API and command line alike.

Guarantees: whoever acts for somebody else is an administrator; a launch is durable before the hub hears of it, and is
given back when the hub refuses it; when nobody knows whether the hub heard of it, it stays pending and the reconciler
finds out. An ``Idempotency-Key`` gives the same answer again once a launch was decided on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlabhub.client.transport import NoAnswer, NotSent
from mlabhub.core.names import check_display_name, check_user_name, is_server_name
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quote import plain, quote
from mlabhub.core.reasons import Reason
from mlabhub.core.resolve import resolve
from mlabhub.errors import InvalidLaunch, LaunchRefused, MLabError, NotFound, Unavailable
from mlabhub.ledger import AuditEntry, QueueEntry, Reservation, StoredAnswer
from mlabhub.messages import N_, Message
from mlabhub.service import listing, reservations
from mlabhub.service.answers import Admitted, Refused, Waits, reasons_json, refusal
from mlabhub.service.decisions import START_DEADLINE_S, Ground, Wish
from mlabhub.service.kept import kept_image, kept_images
from mlabhub.service.looks import Looks, check_may_act
from mlabhub.service.previews import Scene, make_preview, with_every_choice
from mlabhub.service.queue.asking import ask
from mlabhub.service.queue.scene import request_of
from mlabhub.service.queue_views import NOT_KNOWN
from mlabhub.service.repeats import answer_to_keep, check_key, fingerprint_of, refusal_to_keep, repeat
from mlabhub.service.safe_mode import CALLED_OFF, safe_options
from mlabhub.service.shelving.acts import call_off
from mlabhub.service.views import (
    CatalogView,
    LaunchAnswer,
    LaunchStatus,
    Person,
    Preview,
    PreviewAnswer,
    ServerView,
    Step,
)
from mlabhub.service.wait_views import Queued
from mlabhub.service.world import World
from mlabhub.service.writer import Outcome

__all__ = ["CatalogView", "LaunchAnswer", "LaunchStatus", "Launcher", "Person", "Preview", "ServerView", "Step"]

log = logging.getLogger(__name__)
NEVER_STARTED = N_("This server was never started. Start it from the launch page.")
Settle = Callable[[str, str], Awaitable[None]]


class Launcher(Looks):
    """Acts on servers for people. ``settle`` looks at one server at once when the ledger may be behind."""

    def __init__(self, world: World, settle: Settle, wake_reconciler: Callable[[], None]):
        super().__init__(world)
        self._settle = settle
        self._wake = wake_reconciler

    async def launch(
        self,
        actor: Person,
        *,
        user: str,
        server_name: str,
        display_name: str,
        user_options: dict[str, Any],
        idempotency_key: str | None = None,
        queue: bool = False,
    ) -> LaunchAnswer | Queued:
        """Start a server: decide, reserve, ask the hub. Raises an `MLabError` with the reason if it does not start.

        With ``queue``, one that does not start now but may later waits for its turn instead.
        """
        check_may_act(actor, user)
        _check_server_name(server_name)
        key = None if idempotency_key is None else (actor.name, check_key(idempotency_key))
        # An administrator's refusal names people whom another token of theirs may not be told of.
        may_wait = ("queue",) if queue else ()
        fingerprint = fingerprint_of(user, server_name, display_name, user_options, actor.admin, *may_wait)
        if key is not None and (stored := self._world.writer.projection.answer(*key)) is not None and stored.final:
            return repeat(stored, fingerprint)
        wish, ground = await self._prepare(actor, user, server_name, display_name, user_options)
        wish = replace(wish, may_wait=queue)
        if queue:
            await self._world.forecasts.look(ground.capacity)
        self._world.in_flight.add(wish.launch_id)
        try:
            return await self._decide(wish, ground, key, fingerprint)
        finally:
            self._world.in_flight.discard(wish.launch_id)

    async def launch_safe(self, actor: Person, user: str, server_name: str) -> LaunchAnswer:
        """Start a server in safe mode, as the least that has its image; raises as `launch`, or `NotFound`."""
        check_may_act(actor, user)
        recent = await asyncio.to_thread(self._world.ledger.recent, user)
        last = next((one for one in recent if one.server == server_name), None)
        if last is None:
            raise NotFound(NEVER_STARTED)
        hub_user, capacity = await asyncio.gather(self._world.hub.user(user), self._world.capacity.get())
        catalog, types = self._world.catalog(), capacity.gpu_types
        kept = await kept_image(self._world.ledger, catalog, user, server_name)
        options = safe_options(catalog, hub_user.groups, last, present=types, kept_images=kept)
        answer = await self.launch(
            actor, user=user, server_name=server_name, display_name=last.display_name, user_options=options
        )
        assert isinstance(answer, LaunchAnswer)  # it was not to wait
        return answer

    async def _decide(
        self, wish: Wish, ground: Ground, key: tuple[str, str] | None, fingerprint: str
    ) -> LaunchAnswer | Queued:
        """Decide on a launch, and start what is admitted; what is answered is kept under its ``Idempotency-Key``."""
        now = self._world.clock()
        kept: list[StoredAnswer] = []

        def keep(answer: Admitted | Refused | Waits) -> StoredAnswer:
            assert key is not None
            if isinstance(answer, Refused):
                return refusal_to_keep(key, fingerprint, now, refusal(answer))
            kept.append(answer_to_keep(key, fingerprint, now, self._answer(answer)))
            return kept[-1]

        answer = await ask(self._world, wish, ground, key=key, keep=keep if key else None)
        if isinstance(answer, StoredAnswer):
            return repeat(answer, fingerprint)
        if isinstance(answer, Admitted):
            self._world.note_decision(admitted=True)
            give_up = lambda error: key and refusal_to_keep(key, fingerprint, now, error)  # noqa: E731
            await self._ask_hub(answer.reservation, give_up)
        told = self._told(wish, answer)
        return repeat(kept[-1], fingerprint) if kept else told

    async def resolved(self, actor: Person, entry: QueueEntry, options: dict[str, Any]) -> LaunchRequest:
        """Return what launch options come to for one that waits. Raises an `MLabError` if they are wrong."""
        wish, _ = await self._prepare(actor, entry.user, entry.server, entry.display_name, options)
        return wish.request

    async def start_waiting(
        self, actor: Person, entry: QueueEntry, options: dict[str, Any], *, may_wait: bool
    ) -> LaunchAnswer | Queued:
        """Start one that waits with these options, if that is possible now; with ``may_wait`` it goes on waiting.

        Raises `LaunchRefused` without.
        """
        wish, ground = await self._prepare(actor, entry.user, entry.server, entry.display_name, options)
        wish = replace(wish, launch_id=entry.launch_id, may_wait=may_wait, of_entry=True)
        answer = await ask(self._world, wish, ground)
        assert not isinstance(answer, StoredAnswer)  # there was no Idempotency-Key
        if isinstance(answer, Admitted):
            self._world.queue.begin(answer.reservation)
        return self._told(wish, answer)

    def started(self, one: Reservation) -> LaunchAnswer:
        """Return what is told of a launch that starts."""
        url = f"{self._world.settings.service_prefix}starting/{one.launch_id}"
        return LaunchAnswer("starting", one.launch_id, url)

    def _told(self, wish: Wish, answer: Admitted | Refused | Waits) -> LaunchAnswer | Queued:
        """Return what somebody is told of a decision. Raises `LaunchRefused`."""
        if isinstance(answer, Refused):
            self._world.note_decision(admitted=False)
            raise refusal(answer)
        if isinstance(answer, Waits):
            self._world.metrics.decisions.labels("queue").inc()
            self._world.queue.wake()
        return self._answer(answer)

    async def preview(
        self, actor: Person, user: str, user_options: dict[str, Any], server_name: str = "", *, every: bool = False
    ) -> PreviewAnswer:
        """Return what a launch would be answered, and what starts now if it does not, reserving nothing.

        With ``every``, also the forecast for every profile, type and number of GPUs that the person may choose.
        """
        scene = await self._scene(actor, user)
        preview = make_preview(scene, user_options, server_name, nearest=True)
        return with_every_choice(scene, user_options, preview) if every else PreviewAnswer(**vars(preview))

    async def previews(
        self, actor: Person, user: str, choices: Sequence[dict[str, Any]], server_name: str = "", *, nearest: int = 0
    ) -> tuple[Preview, ...]:
        """Return what each of these launch options would be answered, by one and the same state of the hub.

        For the first ``nearest`` of them, also what starts now where they do not.
        """
        scene = await self._scene(actor, user)
        return tuple(
            make_preview(scene, user_options, server_name, nearest=number < nearest)
            for number, user_options in enumerate(choices)
        )

    async def _scene(self, actor: Person, user: str) -> Scene:
        check_may_act(actor, user)
        hub_user, capacity = await asyncio.gather(self._world.hub.user(user), self._world.capacity.get())
        world, catalog = self._world, self._world.catalog()
        kept = await kept_images(world.ledger, catalog, user)
        seen = await world.forecasts.look(capacity)
        return Scene(
            catalog=catalog,
            user=user,
            groups=hub_user.groups,
            viewer=self.viewer(actor, hub_user),
            holdings=world.writer.projection.holdings,
            queue=world.queue.waiting(),
            capacity=capacity,
            now=world.clock(),
            kept_images=kept,
            seen=seen,
            standing=world.queue.standing(),
        )

    async def launch_status(self, launch_id: str) -> LaunchStatus:
        """Return how far a launch came. Raises `NotFound`."""
        one = self._world.writer.projection.launch(launch_id)
        if one is None:
            one = await asyncio.to_thread(self._world.ledger.reservation, launch_id)
        elif one.state == "held" and one.ready is None:
            one = await self._look_whether_ready(one)
        if one is None:
            raise NotFound(Message.of(N_("There is no launch {launch_id}."), launch_id=quote(launch_id)))
        told = await self._world.hub.last_told(one.user, one.server) if listing.is_prepared(one) else None
        return listing.launch_status(one, self._world.settings.base_url, told)

    async def stop(self, actor: Person, user: str, server_name: str) -> None:
        """Stop a server. Fine if it does not run. One that gives its GPUs back does not start again by itself."""
        check_may_act(actor, user)
        _check_server_name(server_name)
        now = self._world.clock()
        if (user, server_name) in self._world.writer.projection.shelved:
            await self._world.writer.submit(call_off(user, server_name, actor.name, now))
        one = self._world.writer.projection.of_server(user, server_name)
        marked = None
        if one is not None and one.state != "stopping":
            why = Message.of(N_("{actor} asked for it"), actor=actor.name)
            called_off = one.failure if one.ready is not None else Message.of(CALLED_OFF, actor=actor.name)
            marked = await self._world.writer.submit(
                reservations.change(
                    one, now, actor=actor.name, act_name="stop", why=why, state="stopping", failure=called_off
                )
            )
        try:
            await self._world.hub.stop(user, server_name)
        except MLabError as error:
            if one is not None and marked is not None:
                undo = reservations.change(
                    marked,
                    now,
                    actor="service",
                    act_name="stop",
                    why=error.message,
                    state=one.state,
                    failure=one.failure,
                )
                await self._world.writer.submit(undo)
            raise
        finally:
            self._wake()

    async def reset(self, actor: Person, user: str, server_name: str) -> None:
        """Forget what was installed in a server, so that its next start begins from the image."""
        check_may_act(actor, user)
        _check_server_name(server_name)
        if self._world.writer.projection.of_server(user, server_name) is not None:
            raise LaunchRefused(N_("The server is running. Stop it first; what was installed can be reset then."))
        why = Message.of(N_("{actor} asked to forget what was installed"), actor=plain(actor.name))
        entry = AuditEntry(self._world.clock(), actor.name, "reset", why, user=user, server=server_name)
        await self._world.writer.submit(lambda _: Outcome(None, (entry,)))
        await self._world.backend.reset(user, server_name)

    async def _prepare(
        self, actor: Person, user: str, server_name: str, display_name: str, options: dict[str, Any]
    ) -> tuple[Wish, Ground]:
        check_user_name(user)
        if display_name:
            check_display_name(display_name)
        if "launch_id" in options:
            raise InvalidLaunch(N_("A launch is given its launch_id by the service. Leave it out."), key="launch_id")
        hub_user, capacity = await asyncio.gather(self._world.hub.user(user), self._world.capacity.get())
        catalog = self._world.catalog()
        kept = await kept_image(self._world.ledger, catalog, user, server_name)
        types = capacity.gpu_types
        request = resolve(catalog, user, hub_user.groups, options, server_name, present=types, kept_images=kept)
        await self._world.fetcher.require(request)
        await self._world.census.ensure()
        facts = await self._world.accounts.look_up(user, hub_user.groups)
        if self._world.writer.projection.of_server(user, server_name) is not None:
            await self._settle(user, server_name)
        wish = Wish(
            launch_id=self._world.make_launch_id(),
            request=request,
            options=options,
            actor=actor.name,
            viewer=self.viewer(actor, hub_user),
            deadline_s=START_DEADLINE_S,
            display_name=display_name,
        )
        return wish, Ground(catalog, capacity, facts.choose)

    async def _ask_hub(self, one: Reservation, stored: Callable[[MLabError], StoredAnswer | None]) -> None:
        """Ask the hub to start it. What comes of it is told by the spawner; only a clear refusal is acted on."""
        try:
            await self._world.hub.start(
                one.user,
                one.server,
                display_name=one.display_name,
                user_options={**one.options, "launch_id": one.launch_id},
            )
            return
        except NoAnswer:
            self._wake()
            return
        except NotSent as error:
            refusal: MLabError = Unavailable(
                Message.of(
                    N_("The hub cannot be reached ({reason}); nothing was started. Try again in a minute."),
                    reason=str(error),
                )
            )
        except MLabError as error:
            refusal = error
        await self._give_back(one, refusal, stored(refusal))
        raise refusal

    async def _give_back(self, one: Reservation, refusal: MLabError, answer: StoredAnswer | None) -> None:
        """Release a launch that the hub refused, and keep the reason, whoever released it first.

        Where something of it may still run, as its spawner could not end it, it stays counted: the reconciler ends it.
        """
        if await self._world.may_run(one.launch_id):
            self._wake()
            return
        why = Message.of(N_("The hub did not start it: {reason}"), reason=refusal.message)
        act = reservations.release(
            one.launch_id, self._world.clock(), actor="service", why=why, failure=refusal.message, answer=answer
        )
        if await self._world.writer.submit(act) is None:
            past = await asyncio.to_thread(self._world.ledger.reservation, one.launch_id)
            if past is not None and not past.active and past.failure is None:
                await self._world.writer.submit(reservations.note_failure(past, refusal.message))
        self._wake()

    async def _look_whether_ready(self, one: Reservation) -> Reservation:
        try:
            server = (await self._world.hub.user(one.user)).server(one.server)
        except MLabError:
            return one
        if server is None or not server.ready:
            return one
        act = reservations.note_ready(one, self._world.clock())
        return await self._world.writer.submit(act) or one

    def _answer(self, answer: Admitted | Waits) -> LaunchAnswer | Queued:
        """Return what is told of a launch that starts or waits."""
        prefix = self._world.settings.service_prefix
        if isinstance(answer, Admitted):
            launch_id = answer.reservation.launch_id
            return LaunchAnswer("starting", launch_id, f"{prefix}starting/{launch_id}", _notes(answer.notes))
        launch_id = answer.entry.launch_id
        queue, seen = self._world.queue, self._world.forecasts.latest
        return Queued(
            state="queued",
            launch_id=launch_id,
            url=f"{prefix}starting/{launch_id}",
            position=queue.position_of(launch_id) or len(queue.order()) + 1,
            wait=seen.waits.get(launch_id) or seen.wait_for(request_of(answer.entry)) or NOT_KNOWN,
            reasons=_notes(answer.reasons),
            nearest=answer.nearest.changes if answer.nearest else None,
            advice=answer.advice,
        )


def _notes(reasons: tuple[Reason, ...]) -> tuple[Mapping[str, str], ...]:
    return tuple(reasons_json(reasons))


def _check_server_name(name: str) -> None:
    if name and not is_server_name(name):
        raise InvalidLaunch(
            Message.of(
                N_("{name} cannot be a server's name: use a to z, 0 to 9 and single dashes, 1 to 30, a letter first."),
                name=quote(name),
            ),
            key="server_name",
        )
