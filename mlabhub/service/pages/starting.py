"""The page between "Start" and the server: what it waits for, what it is doing, and what to do if it fails.

Guarantees: one address for a launch from its place in the queue to its server; whoever has the page open is taken to
the server without touching anything, and whoever closed it finds the launch on the home page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import zip_longest

from markupsafe import Markup

from mlabhub.core.tools import TENSORBOARD
from mlabhub.errors import NotFound
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.choices import as_arguments, kept_arguments
from mlabhub.service.pages.queueing import QueueCard, make_queue_card
from mlabhub.service.pages.words import server_title
from mlabhub.service.views import LaunchStatus
from mlabhub.service.wait_views import QueueEntryView


@dataclass(frozen=True)
class Phase:
    """How a launch's state reads on the page."""

    title: str
    line: str
    final: bool


PHASES = {
    "starting": Phase(N_("Starting {server}"), N_("You will be taken to it when it is ready."), final=False),
    "ready": Phase(N_("{server} is ready"), N_("You are being taken to it."), final=True),
    "failed": Phase(N_("{server} did not start"), N_("Nothing is held for it any more."), final=True),
    "ended": Phase(N_("{server} has ended"), N_("It was started here, and was stopped since."), final=True),
    "queued": Phase(N_("{server} waits"), N_("It starts by itself when its turn comes."), final=False),
    "left": Phase(N_("{server} waits no longer"), N_("Nothing is held for it."), final=True),
    "given_back": Phase(N_("{server} was given back"), N_("Nothing is held for it any more."), final=True),
    "refused": Phase(N_("{server} cannot start any more"), N_("Nothing is held for it."), final=True),
}


@dataclass(frozen=True)
class StepLine:
    """One step: when, what, and how it stands."""

    kind: str
    icon: str
    word: str
    text: str
    at: datetime
    took: str


STANDINGS = {
    "done": ("fa-circle-check", N_("done")),
    "active": ("fa-spinner", N_("going on")),
    "broken": ("fa-circle-xmark", N_("failed")),
}


def make_steps(status: LaunchStatus, t: Translator) -> list[StepLine]:
    """Return a launch's steps; how long each took is known when the next has begun."""
    lines = []
    for step, following in zip_longest(status.steps, status.steps[1:]):
        after = following.at if following is not None else None
        kind = "done" if step.done else "broken" if PHASES[status.state].final else "active"
        icon, word = STANDINGS[kind]
        lines.append(
            StepLine(
                kind=kind,
                icon=icon,
                word=t(word),
                text=t.say(step.message),
                at=datetime.fromtimestamp(step.at, timezone.utc).astimezone(),
                took=t(N_("{seconds} s"), seconds=round(after - step.at, 1)) if after is not None else "",
            )
        )
    return lines


class StartingBase(PageHandler):
    """What the page and its live part share."""

    async def status(self, launch_id: str) -> LaunchStatus:
        """Return the launch's state; other people's launches do not exist for those who are not admins."""
        try:
            return await self.queue_desk.status(self.person, launch_id)
        except NotFound:
            raise NotFound(N_("There is no launch by this id. Look at your servers.")) from None

    async def card(self, status: LaunchStatus) -> QueueCard | None:
        """Return what the page shows of one that waits; None of one that does not."""
        if status.state != "queued":
            return None
        entries = await self.queue_desk.queue(self.person)
        entry = next((one for one in entries if one.launch_id == status.launch_id), None)
        return None if entry is None else await self._card(entry, entries)

    async def _card(self, entry: QueueEntryView, entries: Sequence[QueueEntryView]) -> QueueCard:
        view = await self.launcher.catalog_for(self.person)
        names = {profile.slug: profile.display_name for profile in view.profiles}
        return make_queue_card(entry, entries, self.words, names)

    def said(self, card: QueueCard | None) -> str:
        """Return the one line that is read out when it changes: the place, and when it probably starts."""
        if card is None:
            return ""
        place = self.t(N_("Place {position} of {count} in the queue."), position=card.position, count=card.count)
        if not card.wait.clock:
            return place
        if not card.wait.known:
            return self.t(N_("{first} {second}"), first=place, second=card.wait.clock)
        return self.t(N_("{place} {clock}."), place=place, clock=card.wait.clock)

    def tab(self, status: LaunchStatus, card: QueueCard | None) -> str:
        """Return what the browser's tab says: of one that waits, the place first."""
        title = self.title(status)
        return title if card is None else self.t(N_("({position}) {title}"), position=card.position, title=title)

    def fragment(self, status: LaunchStatus, card: QueueCard | None) -> str:
        """Return the part of the page that changes."""
        if card is not None:
            return self.render_text("_waiting.html", card=card)
        return self.render_text(
            "_progress.html",
            status=status,
            phase=PHASES[status.state],
            steps=make_steps(status, self.t),
            again=self.again(status),
        )

    def title(self, status: LaunchStatus) -> str:
        """Return the page's title."""
        return self.t(PHASES[status.state].title, server=server_title(self.t, status))

    def choices(self) -> dict[str, str]:
        """Return the choices that the address carries from the launch page."""
        return kept_arguments({name: self.get_query_argument(name) for name in self.request.query_arguments})

    def again(self, status: LaunchStatus) -> str:
        """Return the address of the launch page with the same choices; a TensorBoard alone has none there."""
        if status.kind == TENSORBOARD:
            return ""
        chosen = self.choices() or as_arguments(status.options or {})
        return self.page_url("launch", **{"server": status.server_name, **chosen})


class StartingHandler(StartingBase):
    """The page."""

    async def get(self, launch_id: str) -> None:
        """Show how far the launch is, or go to the server when it is ready."""
        status = await self.status(launch_id)
        if status.state == "ready":
            self.redirect(status.open_url or status.url)
            return
        card = await self.card(status)
        self.render_page(
            "starting.html",
            status=status,
            title=self.title(status),
            tab=self.tab(status, card),
            said=self.said(card),
            late=card is not None and bool(self.get_query_argument("late", "")),
            phase=PHASES[status.state],
            fragment=Markup(self.fragment(status, card)),
            progress_url=self.page_url(f"starting/{launch_id}/progress", **self.choices()),
            events_url=self.page_url(f"api/v1/launches/{launch_id}/events"),
        )


class ProgressHandler(StartingBase):
    """The page's live part."""

    answers_json = True

    async def get(self, launch_id: str) -> None:
        """Answer with state, title and the part that changes."""
        status = await self.status(launch_id)
        card = await self.card(status)
        self.finish(
            {
                "state": status.state,
                "final": PHASES[status.state].final,
                "url": (status.open_url or status.url) if status.state == "ready" else None,
                "title": self.title(status),
                "tab": self.tab(status, card),
                "said": self.said(card),
                "html": self.fragment(status, card),
            }
        )
