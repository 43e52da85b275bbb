"""A queue in memory: entries that tests put there, in their order, seen by the real rules of privacy."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlabhub.core.privacy import Viewer
from mlabhub.core.reasons import Reason, name_holder
from mlabhub.errors import NotFound, Unavailable
from mlabhub.ledger import QueueEntry
from mlabhub.messages import Message
from mlabhub.service.views import LaunchAnswer, LaunchStatus, Person
from mlabhub.service.wait_views import ForecastAccuracy, NoticeView, Queued, QueueEntryView, WaitRange

if TYPE_CHECKING:
    from tests.pages.launcher import MemoryLauncher

WHY = Message.of("4 A100 wait: {free} are free.", free=2)
NOT_KNOWN = WaitRange(None, None, Message("When it starts is not known."))


def in_minutes(earliest: float, latest: float | None) -> WaitRange:
    """Return a range that begins and ends so many minutes from now."""
    now = time.time()
    return WaitRange(now + 60 * earliest, None if latest is None else now + 60 * latest, Message("Soon."))


def good_forecasts(told: int, *, within: float = 0.85, unknown: int = 0) -> ForecastAccuracy:
    """Return how good forecasts were whose misses were late starts, but for three."""
    late = max(0, round(told * (1 - within)) - 3)
    return ForecastAccuracy(8, told + unknown, unknown, within if told else None, 3, late, 700.0, 2100.0)


@dataclass
class MemoryQueue:
    """What waits. ``ended`` says how entries ended that wait no longer; ``told`` are notices by user.

    ``good`` is how good forecasts were, None while nobody can look it up.
    """

    launcher: MemoryLauncher
    entries: list[QueueEntry] = field(default_factory=list)
    waits: dict[str, WaitRange] = field(default_factory=dict)
    nearest_of: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    ended: dict[str, QueueEntry] = field(default_factory=dict)
    told: dict[str, list[NoticeView]] = field(default_factory=dict)
    good: ForecastAccuracy | None = field(default_factory=lambda: good_forecasts(214, within=0.8131))

    def add(
        self,
        user: str,
        server: str = "exp",
        *,
        gpus: int = 4,
        group: str | None = "vision",
        wait: WaitRange = NOT_KNOWN,
        nearest: Mapping[str, Any] | None = None,
        minutes: float = 0,
        reclaims: int = 0,
    ) -> str:
        """Let somebody wait since some minutes; return the entry's id."""
        launch_id = f"01Q{len(self.entries) + len(self.ended):023d}"
        since = time.time() - 60 * minutes
        options = {"profile": "gpu", "gpus": gpus, "gpu_type": "a100", **({"group": group} if group else {})}
        entry = QueueEntry(
            launch_id=launch_id,
            user=user,
            server=server,
            state="waiting",
            since=since,
            created=since,
            changed=since,
            display_name=server,
            group=group,
            profile="gpu",
            image="pytorch",
            gpu_type="a100",
            gpus=gpus,
            cpu=8,
            memory_gib=32,
            options=options,
            reclaims=reclaims,
        )
        self.entries.append(entry)
        self.waits[launch_id] = wait
        if nearest:
            self.nearest_of[launch_id] = nearest
        return launch_id

    async def turn(self, launch_id: str) -> None:
        """Let its turn come: it starts under the same id."""
        entry = self._take(launch_id, "started")
        for user, held in list(self.launcher.views):
            if self.launcher.views[user, held].state != "stopped" and user != entry.user:
                await self.launcher.stop(Person(user), user, held)
        await self.launcher.launch(
            Person(entry.user),
            user=entry.user,
            server_name=entry.server,
            display_name=entry.display_name,
            user_options=entry.options,
            launch_id=launch_id,
        )

    def end(self, launch_id: str, state: str, reason: str = "") -> None:
        """Let it wait no longer."""
        entry = self._take(launch_id, state)
        self.ended[launch_id] = replace(entry, reason=Message.of("{why}", why=reason) if reason else None)

    def _take(self, launch_id: str, state: str) -> QueueEntry:
        entry = self._own(None, launch_id)
        self.entries.remove(entry)
        return replace(entry, state=state)  # type: ignore[arg-type]

    async def queue(self, actor: Person) -> tuple[QueueEntryView, ...]:
        """Return everybody's entries, as the actor may know them."""
        self.launcher.check()
        viewer = self.launcher.viewer(actor)
        return tuple(self._view(entry, number, viewer) for number, entry in enumerate(self.entries, 1))

    def _view(self, entry: QueueEntry, position: int, viewer: Viewer) -> QueueEntryView:
        own = entry.user == viewer.name
        may_act, named = own or viewer.admin, viewer.may_know(entry.user, entry.group)
        nearest = self.nearest_of.get(entry.launch_id) if may_act else None
        return QueueEntryView(
            launch_id=entry.launch_id,
            user=entry.user if named else name_holder(entry, viewer),
            own=own,
            may_act=may_act,
            server_name=entry.server if named else "",
            display_name=entry.display_name if named else "",
            group=entry.group,
            profile=entry.profile if named else "",
            gpu_type=entry.gpu_type,
            gpus=entry.gpus,
            cpu=entry.cpu,
            memory_gib=entry.memory_gib,
            since=entry.since,
            position=position,
            reasons=(Reason("room", WHY),),
            wait=self.waits[entry.launch_id],
            reclaims=entry.reclaims if may_act else 0,
            nearest=nearest,
            advice=Message("2 A100 start now.") if nearest else None,
            options=dict(entry.options) if may_act else None,
        )

    async def notices(self, actor: Person, user: str) -> tuple[NoticeView, ...]:
        """Return what a person was told to give back."""
        return tuple(self.told.get(user, ()))

    async def accuracy(self, actor: Person) -> ForecastAccuracy:
        """Return how good forecasts were, as the test says."""
        assert actor.admin
        if self.good is None:
            raise Unavailable("The ledger does not answer.")
        return self.good

    async def status(self, actor: Person, launch_id: str) -> LaunchStatus:
        """Return how far it is."""
        found = next((one for one in self.entries if one.launch_id == launch_id), self.ended.get(launch_id))
        if found is None:
            status = await self.launcher.launch_status(launch_id)
        else:
            state: Any = "queued" if found.state == "waiting" else found.state
            status = LaunchStatus(
                launch_id, found.user, found.server, found.display_name, state, (), "", failure=found.reason
            )
        if status.user != actor.name and not actor.admin:
            raise NotFound("There is no launch by this id.")
        return status

    async def leave(self, actor: Person, launch_id: str, reason: str = "") -> None:
        """Take it out."""
        self._own(actor, launch_id)
        self.launcher.calls.append(("leave", actor.name, launch_id, *([reason] if reason else [])))
        self.end(launch_id, "left")

    async def change(self, actor: Person, launch_id: str, user_options: Mapping[str, Any]) -> Queued | LaunchAnswer:
        """Let it ask for something else."""
        entry = self._own(actor, launch_id)
        self.launcher.calls.append(("change", actor.name, launch_id, dict(user_options)))
        self.entries[self.entries.index(entry)] = replace(
            entry, options=dict(user_options), gpus=user_options.get("gpus", 0)
        )
        return Queued("queued", launch_id, "", 1, NOT_KNOWN)

    async def nearest(self, actor: Person, launch_id: str) -> LaunchAnswer:
        """Start what can start now instead."""
        entry = self._own(actor, launch_id)
        answer = await self.launcher.launch(
            actor,
            user=entry.user,
            server_name=entry.server,
            display_name=entry.display_name,
            user_options={**entry.options, **self.nearest_of[launch_id]},
            queue=False,
        )
        assert isinstance(answer, LaunchAnswer)
        self.entries.remove(entry)
        return answer

    async def move(self, actor: Person, launch_id: str, before: str | None = None, reason: str = "") -> None:
        """Move it before the others of its person's."""
        entry = self._own(actor, launch_id)
        self.launcher.calls.append(("move", actor.name, launch_id, before))
        first = next(number for number, one in enumerate(self.entries) if one.user == entry.user)
        self.entries.remove(entry)
        self.entries.insert(first, entry)

    def wait(self, user: str, server: str, options: Mapping[str, Any], group: str | None) -> Queued:
        """Let a launch wait that does not start now."""
        launch_id = self.add(user, server, gpus=options.get("gpus", 1), group=group)
        return Queued("queued", launch_id, f"starting/{launch_id}", len(self.entries), NOT_KNOWN)

    def _own(self, actor: Person | None, launch_id: str) -> QueueEntry:
        for entry in self.entries:
            if entry.launch_id == launch_id and (actor is None or actor.admin or actor.name == entry.user):
                return entry
        raise NotFound("There is no entry by this id.")
