"""The page between "Start" and the server: what it is doing, since when, and what to do if it fails."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from markupsafe import Markup

from mlabhub.core.tools import TENSORBOARD
from mlabhub.errors import NotFound
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.choices import kept_arguments
from mlabhub.service.pages.words import server_title
from mlabhub.service.views import LaunchStatus


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
    nexts = [*(step.at for step in status.steps[1:]), None]
    for step, after in zip(status.steps, nexts, strict=True):
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
        status = await self.launcher.launch_status(launch_id)
        if status.user != self.person.name and not self.person.admin:
            raise NotFound(N_("There is no launch by this id. Look at your servers."))
        return status

    def fragment(self, status: LaunchStatus) -> str:
        """Return the part of the page that changes."""
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
        return self.page_url("launch", **{"server": status.server_name, **self.choices()})


class StartingHandler(StartingBase):
    """The page."""

    async def get(self, launch_id: str) -> None:
        """Show how far the launch is, or go to the server when it is ready."""
        status = await self.status(launch_id)
        if status.state == "ready":
            self.redirect(status.open_url or status.url)
            return
        self.render_page(
            "starting.html",
            status=status,
            title=self.title(status),
            phase=PHASES[status.state],
            fragment=Markup(self.fragment(status)),
            progress_url=self.page_url(f"starting/{launch_id}/progress", **self.choices()),
        )


class ProgressHandler(StartingBase):
    """The page's live part."""

    answers_json = True

    async def get(self, launch_id: str) -> None:
        """Answer with state, title and the part that changes."""
        status = await self.status(launch_id)
        self.finish(
            {
                "state": status.state,
                "final": PHASES[status.state].final,
                "url": (status.open_url or status.url) if status.state == "ready" else None,
                "title": self.title(status),
                "html": self.fragment(status),
            }
        )
