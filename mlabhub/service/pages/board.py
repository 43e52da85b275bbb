"""TensorBoard on the home page: a small server of its own, which shows log folders while no environment runs.

Guarantees: pure; there is one section whatever servers there are, and none where it could do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlabhub.core.tools import TENSORBOARD
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.cards import STATES as USUAL
from mlabhub.service.pages.cards import State, in_order, time_of
from mlabhub.service.pages.words import size_text
from mlabhub.service.views import CatalogView, ServerView

STATES = USUAL | {
    "running": State(N_("Running"), N_("It ends by itself when nobody has looked at it for a while."), N_("Started")),
    "stopping": State(N_("Stopping"), N_("In a moment you can start it again."), N_("Started")),
}


@dataclass(frozen=True)
class Board:
    """What the section shows; an address that is empty is not offered. Without ``state`` nothing runs."""

    show_url: str = ""
    places: list[str] = field(default_factory=list)
    typed: str = ""
    problem: str = ""
    running: bool = False
    state: str = ""
    text: State | None = None
    since: datetime | None = None
    size: str = ""
    ended: str = ""
    open_url: str = ""
    watch_url: str = ""
    stop_url: str = ""


def find_board(servers: Sequence[ServerView]) -> ServerView | None:
    """Return the server that the section is about: the newest that runs, else one that did."""
    return next((one for one in in_order(servers) if one.kind == TENSORBOARD), None)


def make_board(
    servers: Sequence[ServerView],
    view: CatalogView,
    *,
    t: Translator,
    url: Callable[..., str],
    other: str | None,
    typed: str = "",
    problem: str = "",
) -> Board | None:
    """Return the section; None where there is no profile for it and nothing runs."""
    server = find_board(servers)
    there = server is not None and server.state != "stopped"
    if not view.tensorboard and not there:
        return None
    form = Board(
        show_url=url("tensorboard", user=other) if view.tensorboard else "",
        places=[place.target for place in view.places],
        typed=typed,
        problem=problem,
    )
    if server is None:
        return form
    if not there:
        return replace(form, ended=t.say(server.ended) if server.ended else "")
    about = {"user": other, "server": server.server_name}
    running = server.state == "running"
    return replace(
        form,
        running=running,
        state=server.state,
        text=STATES[server.state],
        since=time_of(server),
        size=size_text(server.cpu, server.memory_gib, ""),
        open_url=server.open_url if running else "",
        watch_url=url(f"starting/{server.launch_id}") if server.state == "pending" and server.launch_id else "",
        stop_url=url("stop", **about) if server.state in ("running", "pending", "unknown") else "",
    )
