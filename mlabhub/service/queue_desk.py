"""Where people meet the queue: they see it, leave it, change what they ask for, take what starts now instead.

Guarantees: whoever acts on an entry is its person, or an administrator; an entry of somebody else's is answered as one
that does not exist; every act is durable before it is answered, and of two at once the second is told what became of
the entry. What everybody sees is worked out once for each state of the queue, however many look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from mlabhub.core.admission import Capacity
from mlabhub.core.forecast import Forecast, forecast
from mlabhub.core.privacy import Viewer
from mlabhub.core.quote import quote
from mlabhub.errors import LaunchRefused, NotFound, NotPermitted, Unavailable
from mlabhub.ledger import QueueEntry
from mlabhub.messages import N_, Message
from mlabhub.service import queue_views
from mlabhub.service.answers import Refused, refusal
from mlabhub.service.decisions import may_start_later
from mlabhub.service.given_reasons import read_reason
from mlabhub.service.json_views import to_json
from mlabhub.service.launcher import Launcher
from mlabhub.service.looks import check_may_act
from mlabhub.service.queue import acts
from mlabhub.service.queue.scene import request_of
from mlabhub.service.queue.telling import Teller
from mlabhub.service.queue_views import Told
from mlabhub.service.views import LaunchAnswer, LaunchStatus, Person
from mlabhub.service.wait_views import ForecastAccuracy, NoticeView, Queued, QueueEntryView
from mlabhub.service.world import World

FOR_ADMINISTRATORS = N_("This is for administrators.")
NO_NEAREST = N_("Nothing smaller of this profile starts now either. It goes on waiting.")
FRESH_S = 15.0
"""For how long what was worked out of a queue that does not change is true enough: times go by."""
MOST_EXPLAINED = 20
"""Of one person's entries, so many are told what would start instead."""


@dataclass(frozen=True)
class _Other:
    """An entry as others see it who see alike."""

    view: QueueEntryView

    @cached_property
    def json(self) -> bytes:
        """Return it as JSON."""
        return to_json(self.view)


@dataclass
class _Seen:
    """The queue at one change, and what it is for those who looked: one's own entries, and others' by sight."""

    number: int
    at: float
    entries: tuple[QueueEntry, ...]
    told: Told
    own: dict[tuple[object, ...], dict[str, QueueEntryView]] = field(default_factory=dict)
    others: dict[tuple[object, ...], dict[str, _Other]] = field(default_factory=dict)


class QueueDesk:
    """Shows the queue to people, and acts on it for them."""

    def __init__(self, world: World, launcher: Launcher):
        self._world = world
        self._launcher = launcher
        self._seen: _Seen | None = None

    async def queue(self, actor: Person) -> tuple[QueueEntryView, ...]:
        """Return everybody's entries, next first, as far as the actor may know them."""
        capacity = await self._capacity()
        seen, viewer = self._look(), self._launcher.viewer(actor)
        own = self._own_words(seen, viewer, capacity)
        known = seen.others.setdefault(_sight(viewer), {})
        return tuple(
            own.get(entry.launch_id) or _other(known, entry, position, viewer, seen.told).view
            for position, entry in enumerate(seen.entries, 1)
        )

    async def queue_json(self, actor: Person, most: int | None = None) -> tuple[int, bytes]:
        """Return the number of the change that the queue is seen at, and `queue` as JSON for the API.

        With ``most``, the first so many and all of one's own; ``left_out`` is said where there are more.
        """
        capacity = await self._capacity()
        seen, viewer = self._look(), self._launcher.viewer(actor)
        own = self._own_words(seen, viewer, capacity)
        known = seen.others.setdefault(_sight(viewer), {})
        parts = []
        for position, entry in enumerate(seen.entries, 1):
            view = own.get(entry.launch_id)
            if view is not None:
                parts.append(to_json(view))
            elif most is None or position <= most:
                parts.append(_other(known, entry, position, viewer, seen.told).json)
        left_out = len(seen.entries) - len(parts)
        end = b'],"left_out":%d}' % left_out if left_out else b"]}"
        return seen.number, b'{"entries":[' + b",".join(parts) + end

    async def notices(self, actor: Person, user: str) -> tuple[NoticeView, ...]:
        """Return what a person was told to give back."""
        check_may_act(actor, user)
        return queue_views.notice_views(self._world.writer.projection, user, self._launcher.viewer(actor))

    async def accuracy(self, actor: Person) -> ForecastAccuracy:
        """Return how good forecasts were, for administrators. Raises `Unavailable`."""
        if not actor.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)
        return await self._world.forecasts.history.accuracy()

    async def status(self, actor: Person, launch_id: str) -> LaunchStatus:
        """Return how far a launch is: it waits, runs or is over. Raises `NotFound`, also for others' launches."""
        projection = self._world.writer.projection
        entry = projection.queue.get(launch_id)
        if projection.launch(launch_id) is None and (entry is None or entry.state != "waiting"):
            entry = await asyncio.to_thread(self._world.ledger.entry, launch_id) or entry
        if entry is None or entry.state in ("started", "claimed"):
            status = await self._launcher.launch_status(launch_id)
            _check_own(actor, status.user, launch_id)
            return queue_views.with_claim(status, entry, self._again_of(launch_id))
        _check_own(actor, entry.user, launch_id)
        view = None
        if entry.state == "waiting":
            capacity, viewer = await self._capacity(), self._launcher.viewer(actor)
            seen = self._look()
            places = {one.launch_id: (position, one) for position, one in enumerate(seen.entries, 1)}
            if launch_id in places:
                position, entry = places[launch_id]
                view = self._explained(seen, viewer, entry, position, capacity)
        return queue_views.entry_status(entry, self._world.settings.base_url, view)

    async def leave(self, actor: Person, launch_id: str, reason: str = "") -> None:
        """Take an entry out of the queue; its person is told if it was not them, with the reason."""
        self._own_entry(actor, launch_id)
        why = read_reason(reason)
        left = await self._world.writer.submit(acts.leave(launch_id, actor.name, self._world.clock(), why))
        if left.user != actor.name:
            Teller(self._world).removed(left, why)
        self._world.queue.wake()

    async def change(self, actor: Person, launch_id: str, user_options: Mapping[str, Any]) -> Queued | LaunchAnswer:
        """Let an entry ask for something else; it keeps its place only if that is no more.

        What can never start changes nothing. Raises `LaunchRefused`.
        """
        entry = self._own_entry(actor, launch_id)
        options = dict(user_options)
        request = await self._launcher.resolved(actor, entry, options)
        wanted = replace(entry, options=options, **acts.asked(request))
        told = self._forecast(wanted, self._launcher.viewer(actor), await self._world.capacity.get())
        catalog = self._world.catalog
        if told is not None and not may_start_later(told.decision, request, lambda one: catalog.hopeless(one) is None):
            raise refusal(Refused(told.decision.reasons, told.advice, told.nearest))
        await self._world.writer.submit(acts.change(launch_id, request, options, actor.name, self._world.clock()))
        self._world.queue.wake()
        try:
            return await self._launcher.start_waiting(actor, entry, options, may_wait=True)
        except NotFound:
            if (started := self._world.writer.projection.launch(launch_id)) is None:
                raise
            return self._launcher.started(started)  # its turn came in the meantime

    async def nearest(self, actor: Person, launch_id: str) -> LaunchAnswer:
        """Start the nearest choice that can start now, in place of what waits. Raises `LaunchRefused` if none can."""
        entry = self._own_entry(actor, launch_id)
        capacity = await self._world.capacity.get()
        told = self._forecast(entry, self._launcher.viewer(actor), capacity)
        if told is None or told.nearest is None:
            raise LaunchRefused(NO_NEAREST)
        options = {**entry.options, **told.nearest.changes}
        answer = await self._launcher.start_waiting(actor, entry, options, may_wait=False)
        assert isinstance(answer, LaunchAnswer)
        return answer

    async def move(self, actor: Person, launch_id: str, before: str | None = None, reason: str = "") -> None:
        """Move an entry before another one of its person's, None: to the front of these; for administrators."""
        if not actor.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)
        entry, why = self._own_entry(actor, launch_id), read_reason(reason)
        first = acts.own_order(self._world.writer.projection, entry.user)[0]
        if before is None:
            before = first.launch_id
        if before == launch_id:
            return
        await self._world.writer.submit(acts.move(launch_id, before, actor.name, self._world.clock(), why))
        self._world.queue.wake()

    def _own_entry(self, actor: Person, launch_id: str) -> QueueEntry:
        """Return an entry that waits, and that the actor may act on. Raises `NotFound`."""
        projection = self._world.writer.projection
        entry = projection.queue.get(launch_id)
        if entry is None or not _may_act(actor, entry.user):
            raise NotFound(Message.of(acts.NOT_QUEUED, launch_id=quote(launch_id)))
        return acts.waiting_entry(projection, launch_id)

    def _again_of(self, launch_id: str) -> str | None:
        """Return the entry under which a launch waits again that was taken back."""
        queue = self._world.writer.projection.queue
        return next((one.launch_id for one in queue.values() if one.again_of == launch_id), None)

    async def _capacity(self) -> Capacity | None:
        """Return what there is, None where nobody can tell; the forecasts are fresh then."""
        try:
            capacity = await self._world.capacity.get()
        except Unavailable:
            return None
        await self._world.forecasts.look(capacity)
        return capacity

    def _look(self) -> _Seen:
        """Return the queue as it is, worked out once for each change."""
        number, now = self._world.changes.number, self._world.clock()
        seen = self._seen
        if seen is None or seen.number != number or not 0 <= now - seen.at < FRESH_S:
            queue = self._world.queue
            entries = queue_views.in_order(self._world.writer.projection.queue.values(), queue.order())
            blocked = {one.launch_id: queue.blocked_of(one.launch_id) or "" for one in entries}
            seen = self._seen = _Seen(number, now, entries, Told(blocked, self._world.forecasts.latest.waits))
        return seen

    def _own_words(self, seen: _Seen, viewer: Viewer, capacity: Capacity | None) -> dict[str, QueueEntryView]:
        """Return all of a person's own entries, with all that can be said of the first of them."""
        own = [(position, one) for position, one in enumerate(seen.entries, 1) if one.user == viewer.name]
        key = (viewer.name, viewer.groups, viewer.admin)
        if own and key not in seen.own:
            seen.own[key] = {
                one.launch_id: self._explained(seen, viewer, one, position, capacity if n < MOST_EXPLAINED else None)
                for n, (position, one) in enumerate(own)
            }
        return seen.own.get(key, {})

    def _explained(
        self, seen: _Seen, viewer: Viewer, entry: QueueEntry, position: int, capacity: Capacity | None
    ) -> QueueEntryView:
        """Return an entry with why it waits, and what would start instead."""
        if capacity is None:
            return queue_views.entry_view(entry, position, viewer, seen.told)
        told = self._forecast(entry, viewer, capacity)
        reasons = told.decision.reasons if told is not None else ()
        nearest, advice = (told.nearest, told.advice) if told is not None else (None, None)
        return queue_views.entry_view(entry, position, viewer, seen.told, reasons, nearest, advice)

    def _forecast(self, entry: QueueEntry, viewer: Viewer, capacity: Capacity) -> Forecast | None:
        """Return what an entry would be told if it were asked for now; None where its profile is gone."""
        catalog, now = self._world.catalog(), self._world.clock()
        profile = catalog.profiles_by_slug.get(entry.profile)
        if profile is None:
            return None
        projection, request, queue = self._world.writer.projection, request_of(entry), self._world.queue
        waiting = tuple(one for one in queue.waiting() if one.user != entry.user)
        about = projection.holdings, waiting, capacity, now, viewer
        return forecast(request, profile, catalog.quotas, *about, standing=queue.standing(entry.launch_id))


def _sight(viewer: Viewer) -> tuple[object, ...]:
    """Return what those have in common who see others' entries alike."""
    return viewer.admin, viewer.groups if viewer.privacy == "group" else ()


def _other(known: dict[str, _Other], entry: QueueEntry, position: int, viewer: Viewer, told: Told) -> _Other:
    """Return somebody else's entry, never one's own: it is kept for all who see alike."""
    if entry.launch_id not in known:
        known[entry.launch_id] = _Other(queue_views.entry_view(entry, position, viewer, told))
    return known[entry.launch_id]


def _may_act(actor: Person, user: str) -> bool:
    return actor.admin or actor.name == user


def _check_own(actor: Person, user: str, launch_id: str) -> None:
    if not _may_act(actor, user):
        raise NotFound(Message.of(N_("There is no launch {launch_id}."), launch_id=quote(launch_id)))
