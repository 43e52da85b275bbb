"""Home: the servers that a person has, what each is doing, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from typing import Any

from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.choices import as_arguments
from mlabhub.service.pages.confirm import QUESTIONS
from mlabhub.service.pages.folders import make_folders
from mlabhub.service.pages.words import gpus_text, server_title, size_text
from mlabhub.service.views import CatalogView, ServerView


@dataclass(frozen=True)
class State:
    """A server's state in words: a tag, what it means, and what its time is."""

    tag: str
    explanation: str
    since: str


STATES = {
    "pending": State(N_("Starting"), N_("It is being made ready."), N_("Began")),
    "running": State(N_("Running"), N_("It keeps running when you close the browser."), N_("Started")),
    "stopping": State(N_("Stopping"), N_("What you installed is being saved."), N_("Started")),
    "stopped": State(N_("Stopped"), N_("It holds nothing. Your files are kept."), N_("Stopped")),
    "unknown": State(
        N_("Unknown"), N_("The hub cannot see it at the moment, and leaves it alone until it can."), N_("Started")
    ),
}


@dataclass(frozen=True)
class Card:
    """One server as the page shows it; an address that is empty is not offered."""

    name: str
    state: str
    text: State
    since: datetime | None
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    newer_image: bool = False
    has_saved: bool = False
    open_url: str = ""
    watch_url: str = ""
    start_url: str = ""
    stop_url: str = ""
    reset_url: str = ""
    save_url: str = ""


class HomeHandler(PageHandler):
    """The page."""

    async def get(self) -> None:
        """Show a person's servers: one's own, or for admins anybody's."""
        user = self.subject()
        servers, view, past, storage = await asyncio.gather(
            self.launcher.servers(user),
            self.launcher.catalog_for(replace(self.person, name=user)),
            self.launcher.past_launches(user),
            self.launcher.storage(self.person, user),
        )
        last = {one.server_name: one.options for one in past}
        other = self.other(user)
        make = partial(
            make_card, view=view, t=self.t, url=self.page_url, other=other, simulated=bool(self.site.simulate_gpus)
        )
        self.render_page(
            "home.html",
            title=self.t(N_("Servers of {user}"), user=user) if other else self.t(N_("My servers")),
            other=other,
            notice=self._notice(servers),
            cards=[make(server, options=last.get(server.server_name)) for server in in_order(servers)],
            folders=make_folders(storage, self.t),
        )

    def _notice(self, servers: Sequence[ServerView]) -> str:
        """Say that an act was done, if it was: the address is only believed as far as the servers bear it out."""
        question = QUESTIONS.get(self.get_query_argument("done", ""))
        name = self.get_query_argument("server", "")
        server = next((one for one in servers if one.server_name == name), None)
        if question is None or server is None or server.state == "running":
            return ""
        return self.t(question.done, server=server_title(self.t, server))


def in_order(servers: Sequence[ServerView]) -> list[ServerView]:
    """Return servers that run or are about to first, the newest first among them; the stopped ones by name."""
    return sorted(
        servers, key=lambda one: (one.state == "stopped", -(one.since or 0), one.display_name or one.server_name)
    )


def make_card(
    server: ServerView,
    *,
    view: CatalogView,
    t: Translator,
    url: Callable[..., str],
    other: str | None = None,
    simulated: bool = False,
    options: Mapping[str, Any] | None = None,
) -> Card:
    """Return what the page shows of a server; ``options`` are what it was last started with."""
    about = {"user": other, "server": server.server_name}
    stopped = server.state == "stopped"
    return Card(
        name=server_title(t, server),
        state=server.state,
        text=STATES[server.state],
        since=datetime.fromtimestamp(server.since, timezone.utc).astimezone() if server.since is not None else None,
        facts=facts_of(server, view, t, simulated),
        notes=[t.say(note) for note in server.notes],
        newer_image=server.newer_image,
        has_saved=server.has_saved,
        open_url=server.url if server.state == "running" else "",
        watch_url=url(f"starting/{server.launch_id}") if server.state == "pending" and server.launch_id else "",
        start_url=url("launch", **{**as_arguments(options or {}), **about}) if stopped else "",
        stop_url=url("stop", **about) if server.state in ("running", "pending", "unknown") else "",
        reset_url=url("reset", **about) if stopped and server.has_saved else "",
        save_url=url("save", **about) if _may_be_saved(server, view) else "",
    )


def _may_be_saved(server: ServerView, view: CatalogView) -> bool:
    """Whether there is something to save, and a profile that an image of one's own may be started by."""
    there = server.state == "running" or (server.state == "stopped" and server.has_saved)
    return there and any(profile.own_images for profile in view.profiles)


def facts_of(server: ServerView, view: CatalogView, t: Translator, simulated: bool) -> list[tuple[str, str]]:
    """Return label and value of what is known about a server; what is not known is left out, never shown as zero."""
    names = {profile.slug: profile.display_name for profile in view.profiles}
    images = {image.slug: image.display_name for image in view.images}
    gpus = gpus_text(t, server.gpus, server.gpu_type, simulated)
    facts = [
        (t(N_("Profile")), names.get(server.profile, server.profile)),
        (t(N_("Size")), size_text(server.cpu, server.memory_gib, gpus)),
        (t(N_("Image")), images.get(server.image, server.image)),
        (t(N_("Group that pays")), server.group or ""),
    ]
    return [(label, value) for label, value in facts if value]
