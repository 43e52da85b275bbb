"""What the home page says of one server, and what can be done with it.

Guarantees: pure; what is not known is left out, never shown as zero; what cannot be done is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from mlabhub.core.idle.day_use import DayUse
from mlabhub.core.tools import WORKBENCH
from mlabhub.i18n import N_, Translator
from mlabhub.service.listing import tool_url
from mlabhub.service.pages.choices import as_arguments
from mlabhub.service.pages.idling import IdleLine, shelved_text
from mlabhub.service.pages.queueing import loan_text, wanted_text
from mlabhub.service.pages.spark import Spark, gpu_hours, make_sparks
from mlabhub.service.pages.waits import Countdown, countdown
from mlabhub.service.pages.words import TOOL_ICONS, gpus_text, server_title, size_text, tool_title
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
class ToolLink:
    """A tool that can be opened in a server that runs."""

    title: str
    icon: str
    url: str


@dataclass(frozen=True)
class Card:
    """One server as the page shows it; an address that is empty is not offered.

    ``loan`` says that it may be taken back, ``wanted`` that somebody waits for it, ``claim`` until when it is kept for
    somebody whose turn came. ``idle`` is what is said of its idleness; ``shelved`` is what it gave back, and
    ``bring_url`` where it is asked for again. ``safe``: it runs in safe mode, ``safe_url`` is where that is offered.
    ``sparks`` are the pictures of its use.
    """

    name: str
    state: str
    text: State
    since: datetime | None
    facts: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    newer_image: bool = False
    has_saved: bool = False
    ended: str = ""
    tools: list[ToolLink] = field(default_factory=list)
    open_title: str = ""
    open_url: str = ""
    watch_url: str = ""
    start_url: str = ""
    stop_url: str = ""
    reset_url: str = ""
    save_url: str = ""
    loan: str = ""
    wanted: str = ""
    release_url: str = ""
    idle: IdleLine | None = None
    idle_url: str = ""
    shelved: str = ""
    bring_url: str = ""
    safe: bool = False
    safe_url: str = ""
    server: str = ""
    claim: Countdown | None = None
    sparks: list[Spark] = field(default_factory=list)


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
    now: datetime | None = None,
    idle: IdleLine | None = None,
    use: DayUse | None = None,
) -> Card:
    """Return what the page shows of a server; ``options`` are what it was last started with.

    ``now`` is needed to say how long is left of what is kept for somebody, and what it has cost so far; ``use`` is how
    busy it was.
    """
    about = {"user": other, "server": server.server_name}
    stopped, running = server.state == "stopped", server.state == "running"
    kept = server.kind == WORKBENCH
    return Card(
        name=server_title(t, server),
        state=server.state,
        text=STATES[server.state],
        since=time_of(server),
        facts=[*facts_of(server, view, t, simulated), *cost_of(server, now, t)],
        notes=[t.say(note) for note in server.notes],
        newer_image=server.newer_image,
        has_saved=server.has_saved,
        ended=t.say(server.ended) if server.ended else "",
        tools=tool_links(server, t) if running and kept else [],
        open_title=tool_title(t, server.tools[0] if server.tools else "lab"),
        open_url=(server.open_url or server.url) if running else "",
        watch_url=url(f"starting/{server.launch_id}") if server.state == "pending" and server.launch_id else "",
        start_url=url("launch", **{**as_arguments(options or {}), **about}) if stopped else "",
        stop_url=url("stop", **about) if server.state in ("running", "pending", "unknown") else "",
        reset_url=url("reset", **about) if stopped and server.has_saved and kept else "",
        save_url=url("save", **about) if kept and _may_be_saved(server, view) else "",
        loan=loan_text(server, t) if not stopped else "",
        wanted=wanted_text(server, t, simulated=simulated) if running else "",
        release_url=url(f"release/{server.launch_id}") if running and server.launch_id else "",
        idle=idle if running else None,
        idle_url=url(f"servers/{server.launch_id}") if server.launch_id and not stopped else "",
        shelved=shelved_text(server.shelved, t, simulated=simulated),
        bring_url=url("bring-back", **about) if server.shelved and server.shelved.state == "released" else "",
        safe=server.safe and not stopped,
        safe_url=url("safe-mode") if stopped and server.safe_mode_offered and kept else "",
        server=server.server_name,
        sparks=make_sparks(use, server.cpu, t) if running else [],
        claim=countdown(server.claim_by, now, t) if now is not None and server.claim_by and not stopped else None,
    )


def tool_links(server: ServerView, t: Translator) -> list[ToolLink]:
    """Return the tools of a server, in the order of its bar."""
    return [ToolLink(tool_title(t, tool), TOOL_ICONS[tool], tool_url(server.url, tool)) for tool in server.tools]


def time_of(server: ServerView) -> datetime | None:
    """Return when it started, in this machine's time zone."""
    return None if server.since is None else datetime.fromtimestamp(server.since, timezone.utc).astimezone()


def cost_of(server: ServerView, now: datetime | None, t: Translator) -> list[tuple[str, str]]:
    """Return label and value of the GPU time that it has held since it started; nothing for one without GPUs."""
    if now is None or server.since is None or not server.gpus or server.state == "stopped":
        return []
    return [(t(N_("Cost so far")), gpu_hours(server.gpus, now.timestamp() - server.since, t))]


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
