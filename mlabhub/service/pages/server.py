"""One server, launch by launch: how it starts, what it writes, whether it is idle, what became of it before.

Guarantees: what is not theirs is not there; keeping is one press; what is not known is said to be not known; whoever
comes by an old address (``idle/ID``) is led on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from mlabhub.client.service import DEFAULT_SERVER
from mlabhub.core.idle.words import span
from mlabhub.core.tools import WORKBENCH
from mlabhub.errors import MLabError, NotFound
from mlabhub.i18n import N_, Translator
from mlabhub.ledger import Reservation
from mlabhub.service.idle.views import IdleView
from mlabhub.service.listing import held_views
from mlabhub.service.pages.cards import STATES, cost_of, facts_of
from mlabhub.service.pages.choices import as_arguments
from mlabhub.service.pages.idle import LONGEST_REASON, OVER, IdleBase
from mlabhub.service.pages.idling import KEEP_S, name_of
from mlabhub.service.pages.spark import gpu_hours
from mlabhub.service.pages.starting import StartingBase, make_steps
from mlabhub.service.pages.waits import local
from mlabhub.service.pages.words import gpus_text, size_text, tool_title
from mlabhub.service.report_tokens import ReportTokens, Subject
from mlabhub.service.server_logs import USUAL_LINES, LogView, ServerLogs
from mlabhub.service.views import LaunchStatus

MOST_EARLIER = 10
DOCTOR, DOCTOR_API = "mlabhub/doctor", "mlabhub/api/doctor"
"""The page of a server that tries, from the browser that opens it, how the server is reached; and what it asks."""

TAGS = {"starting": STATES["pending"].tag, "ready": STATES["running"].tag, "stopping": STATES["stopping"].tag}
FAILED, ENDED = N_("Did not start"), N_("Ended")


@dataclass(frozen=True)
class Earlier:
    """A launch that is over: when it began, what it was, and how it ended."""

    url: str
    at: datetime
    what: str
    lasted: str
    cost: str
    ended: str
    failed: bool


@dataclass(frozen=True)
class Doctor:
    """Where a server's doctor is, and the key by which the page asks it in the person's browser."""

    page: str
    api: str
    key: str


class ServerBase(IdleBase, StartingBase):
    """What shows a launch."""

    async def show(self, launch_id: str, *, problem: str = "", typed: str = "") -> None:
        """Show all of a launch; one that waits in the queue has its page there."""
        status = await self.status(launch_id)
        if status.state in ("queued", "left", "refused"):
            self.redirect(self.page_url(f"starting/{launch_id}"))
            return
        one, view = await self.look_at(launch_id)
        parts, (log, no_log) = await asyncio.gather(
            self.all_parts(one, view, status, typed), self._written(one, status)
        )
        address = f"api/v1/servers/{quote(one.user, safe='')}/{quote(one.server or DEFAULT_SERVER, safe='')}/logs"
        self.render_page(
            "server.html",
            title=name_of(one, self.t),
            other=self.other(one.user),
            problem=problem,
            parts={name: Markup(text) for name, text in parts.items()},
            parts_url=self.page_url(f"servers/{launch_id}/parts"),
            moves=_moves(one, status),
            has_log=one.active,
            log=log,
            no_log=no_log,
            log_url=self.page_url(f"servers/{launch_id}", log="1"),
            lines_url=self.page_url(address),
            events_url=self.page_url(f"{address}/events"),
        )

    async def all_parts(
        self, one: Reservation, view: IdleView | None, status: LaunchStatus, typed: str = ""
    ) -> dict[str, str]:
        """Return the text of each part that changes by itself."""
        state, idle, earlier = await asyncio.gather(
            self._state(one, status), self.idle_parts(one, view, typed), self.launcher.earlier(one)
        )
        shown = [make_earlier(it, self.t, self.page_url, simulated=self.words.simulated) for it in earlier]
        return {
            "state": self.render_text("_server_state.html", **state, before=_failed_before(status, shown)),
            "reach": self.render_text("_server_reach.html", doctor=self._doctor(one, status)),
            **idle,
            "earlier": self.render_text("_server_earlier.html", earlier=shown[:MOST_EARLIER]),
        }

    async def _state(self, one: Reservation, status: LaunchStatus) -> dict[str, Any]:
        """Return what is said of how the launch stands, and what can be done with it."""
        words, other = self.words, self.other(one.user)
        (server,) = held_views((one,), self.site.base_url)
        view = await self.launcher.catalog_for(replace(self.person, name=one.user))
        state = "stopping" if one.state == "stopping" else status.state
        until = words.now if one.released is None else local(one.released)
        about = {**as_arguments(one.options), "server": one.server, "user": other}
        ready = state == "ready"
        return {
            "status": status,
            "state": {"starting": "pending", "ready": "running", "stopping": "stopping"}.get(state, "stopped"),
            "tag": self.t(TAGS.get(state, FAILED if state == "failed" else ENDED)),
            "facts": [*facts_of(server, view, self.t, words.simulated), *cost_of(server, until, self.t)],
            "began": local(one.held or one.created),
            "ended": None if one.released is None else local(one.released),
            "steps": make_steps(status, self.t) if state in ("starting", "failed") else [],
            "open_url": (status.open_url or status.url) if ready else "",
            "open_title": tool_title(self.t, server.tools[0] if server.tools else "lab"),
            "stop_url": self.page_url("stop", server=one.server, user=other) if state == "starting" else "",
            "start_url": self.page_url("launch", **about) if not one.active and one.kind == WORKBENCH else "",
        }

    def _doctor(self, one: Reservation, status: LaunchStatus) -> Doctor | None:
        """Return the doctor of a server that runs and has one."""
        if one.kind != WORKBENCH or one.state == "stopping" or status.state != "ready":
            return None
        tokens: ReportTokens = self.application.settings["report_tokens"]
        key = tokens.doctor_key(Subject(one.user, one.server, one.launch_id))
        return Doctor(f"{status.url}{DOCTOR}", f"{status.url}{DOCTOR_API}", key)

    async def _written(self, one: Reservation, status: LaunchStatus) -> tuple[LogView | None, str]:
        """Return the log's end, where it is asked for or there is nothing else to see yet; or why it is not there."""
        if not one.active or not (self.get_query_argument("log", "") or status.state == "starting"):
            return None, ""
        logs: ServerLogs = self.application.settings["server_logs"]
        try:
            return await logs.tail(self.person, one.user, one.server, USUAL_LINES), ""
        except MLabError as error:
            return LogView(()), self.t.say(error.message)


class ServerPageHandler(ServerBase):
    """The page; ``Keep it`` is posted to it, from there and from the home page."""

    async def get(self, launch_id: str) -> None:
        """Show it."""
        await self.show(launch_id)

    async def post(self, launch_id: str) -> None:
        """Keep the server for a while, or say on the page why not."""
        self.require_navigation()
        settings, reason = self.application.settings, self.get_body_argument("reason", "")
        one = await settings["idle_looks"].find(self.person, launch_id)
        if one.state != "held":
            raise NotFound(OVER)
        try:
            await settings["idle_desk"].extend(self.person, one.user, one.server, KEEP_S, reason)
        except MLabError as error:
            self.set_status(error.status)
            await self.show(launch_id, problem=self.t.say(error.message), typed=reason[:LONGEST_REASON])
            return
        if self.get_body_argument("from", "") == "home":
            self.redirect(self.page_url(user=self.other(one.user), done="kept"), status=303)
            return
        self.redirect(self.page_url(f"servers/{launch_id}"), status=303)


class ServerPartsHandler(ServerBase):
    """The parts of the page that change by themselves, for its script."""

    answers_json = True

    async def get(self, launch_id: str) -> None:
        """Answer with the text of each; of one that runs, what is new is new once a minute."""
        status = await self.status(launch_id)
        one, view = await self.look_at(launch_id)
        self.finish({"parts": await self.all_parts(one, view, status), "moves": _moves(one, status)})


class OldAddressHandler(ServerBase):
    """Where the page was before; messages that were sent then lead there."""

    async def get(self, launch_id: str) -> None:
        """Lead on."""
        self.redirect(self.page_url(f"servers/{launch_id}"), permanent=True)

    async def post(self, launch_id: str) -> None:
        """Lead on what a page sends that was opened before."""
        self.redirect(self.page_url(f"servers/{launch_id}"), status=307)


def make_earlier(one: Reservation, t: Translator, url: Any, *, simulated: bool) -> Earlier:
    """Say what became of a launch."""
    began = one.held or one.created
    lasted = "" if one.released is None or one.ready is None else t.say(span(one.released - began))
    failed = one.released is not None and one.ready is None
    ended = t.say(one.failure) if one.failure is not None else ""
    gpus = gpus_text(t, len(one.gpus), one.gpu_type, simulated)
    return Earlier(
        url(f"servers/{one.launch_id}"),
        local(began),
        size_text(one.cpu or None, one.memory_gib or None, gpus),
        lasted,
        gpu_hours(len(one.gpus), one.released - began, t) if lasted and one.gpus and one.released else "",
        ended or (t(FAILED) if failed else ""),
        failed,
    )


def _failed_before(status: LaunchStatus, earlier: Sequence[Earlier]) -> Earlier | None:
    """Return the launch before this one if it failed: what it lacked, this one may lack as well."""
    if status.state in ("ready", "failed") or not earlier or not earlier[0].failed:
        return None
    return earlier[0]


def _moves(one: Reservation, status: LaunchStatus) -> bool:
    return status.state == "starting" or one.state == "stopping"
