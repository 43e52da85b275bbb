"""The queue as a page of its own, what starts instead of waiting, and acts on it that ask first.

Guarantees: names are shown as the privacy setting allows; leaving, removing, moving and giving back happen only after
the question of `mlabhub.service.pages.confirm` was seen; what starts instead is one press, as a launch is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from mlabhub.errors import InvalidLaunch, LaunchRefused, NotFound, Unavailable
from mlabhub.i18n import N_
from mlabhub.service.given_reasons import read_reason
from mlabhub.service.pages.accuracy import accuracy_lines
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.confirm import QUESTIONS, Asking, Question
from mlabhub.service.pages.queue_rows import QueueRows
from mlabhub.service.pages.queueing import Row
from mlabhub.service.pages.words import server_title
from mlabhub.service.wait_views import QueueEntryView

MOST_ROWS = 200
AT_ONCE = 20
"""So many lines are made before somebody else has a turn."""
NO_REASON = N_("Give a reason: it stands in the audit, for whoever asks why.")

LEAVE = Question(
    N_("Take {launch} out of the queue?"),
    (
        N_("Its place is lost: asked for again, it begins to wait anew."),
        N_("Nothing that runs is touched."),
    ),
    N_("Leave the queue"),
    N_("It was taken out of the queue."),
)
REMOVE = replace(
    LEAVE,
    consequences=(
        *LEAVE.consequences,
        N_("Whoever asked for it is told, with the reason, and the audit says that it was you."),
    ),
    button=N_("Remove it"),
)
FRONT = Question(
    N_("Move {launch} to the front?"),
    (
        N_("It goes before everything else that the same person waits for."),
        N_("Between people and groups nothing changes: guarantees and shares decide."),
        N_("The audit says that it was you."),
    ),
    N_("Move it to the front"),
    N_("It was moved to the front."),
)
RELEASE = Question(
    N_("Give {launch} back now?"),
    (
        N_("Everything that runs in it ends now: notebooks, terminals, training runs. Save your work first."),
        N_("Your files under /mnt stay. What you installed with pip or apt stays too."),
        N_("Whoever waits for what it holds gets it at once."),
    ),
    N_("Give it back"),
    QUESTIONS["stop"].done,
)
DONE = {"left": LEAVE.done, "front": FRONT.done}


class QueueBase(PageHandler):
    """What the page and its live part share."""

    async def table(self) -> str:
        """Return the part of the page that changes: the first of everybody's entries, and all of one's own."""
        entries = await self.queue_desk.queue(self.person)
        first: dict[str, str] = {}
        for one in entries:
            first.setdefault(str(one.user), one.launch_id)
        shown = [one for one in entries if one.position <= MOST_ROWS or one.own]
        acts = any(one.may_act for one in shown)
        movable = {one.launch_id for one in shown if self.person.admin and first[str(one.user)] != one.launch_id}
        rows = await self._lines(shown, movable, acts=acts)
        return self.render_text("_queue_table.html", rows=rows, left_out=len(entries) - len(rows), acts=acts)

    async def _lines(self, shown: Sequence[QueueEntryView], movable: Set[str], *, acts: bool) -> list[Markup]:
        """Return the lines; while many have to be made, others are answered in between."""
        kept: QueueRows = self.application.settings.setdefault("queue_rows", QueueRows())
        words, made, lines = self.words, 0, []

        def render(row: Row) -> str:
            return self.render_text("_queue_row.html", row=row, acts=acts)

        for one in shown:
            front = one.launch_id in movable
            line = kept.known(one, words, front=front, acts=acts)
            if line is None:
                line = kept.make(one, words, render, front=front, acts=acts)
                made += 1
                if made % AT_ONCE == 0:
                    await asyncio.sleep(0)
            lines.append(line)
        return lines


class QueueHandler(QueueBase):
    """The page."""

    async def get(self) -> None:
        """Show everybody's entries."""
        done = DONE.get(self.get_query_argument("done", ""))
        self.render_page(
            "queue.html",
            title=self.t(N_("Queue")),
            done=self.t(done) if done else "",
            fragment=Markup(await self.table()),
            accuracy=await self._accuracy() if self.person.admin else [],
            parts_url=self.page_url("queue/parts"),
            events_url=self.page_url("api/v1/queue/events"),
        )

    async def _accuracy(self) -> list[str]:
        try:
            return accuracy_lines(await self.queue_desk.accuracy(self.person), self.t)
        except Unavailable:
            return accuracy_lines(None, self.t)


class QueuePartsHandler(QueueBase):
    """The page's live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with the table."""
        self.finish({"parts": {"queue": await self.table()}, "moves": True})


class NearestHandler(PageHandler):
    """``Take 2 now``: start the nearest choice in place of what waits."""

    async def get(self) -> None:
        """Lead to the queue: this address is only ever posted to, and may be left in a browser's history."""
        self.redirect(self.page_url("queue"))

    async def post(self) -> None:
        """Start it; if somebody was faster, it goes on waiting, and the page says so."""
        self.require_navigation()
        launch_id = self.get_body_argument("launch", "")
        try:
            answer = await self.queue_desk.nearest(self.person, launch_id)
        except LaunchRefused:
            self.redirect(self.page_url(f"starting/{launch_id}", late="1"), status=303)
            return
        self.redirect(self.page_url(f"starting/{answer.launch_id}"), status=303)


class EntryHandler(Asking):
    """Takes an entry out of the queue, or moves it to the front."""

    field = "launch"
    template = "confirm_entry.html"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what its server is called, and what to ask. Raises `InvalidLaunch` where a reason is wanted."""
        entry = await self._entry(user, name)
        if self.request.method == "POST" and self._wants_reason(act) and not self._typed_reason():
            raise InvalidLaunch(NO_REASON, key="reason")
        if act == "front":
            return server_title(self.t, entry), FRONT
        return server_title(self.t, entry), LEAVE if entry.own else REMOVE

    async def about(self, act: str, name: str) -> dict[str, Any]:
        """Return whether to ask for a reason."""
        return {"wants_reason": self._wants_reason(act)}

    def _wants_reason(self, act: str) -> bool:
        """Whether it is done for somebody else, or by an administrator's right: that stands in the audit."""
        return act == "front" or self.other(self.subject()) is not None

    def _typed_reason(self) -> str:
        return read_reason(self.get_body_argument("reason", ""))

    async def _entry(self, user: str, launch_id: str) -> QueueEntryView:
        for one in await self.queue_desk.queue(self.person):
            if one.launch_id == launch_id and one.may_act and one.user == user:
                return one
        raise NotFound(N_("It does not wait any more. It has started, or was taken out of the queue."))

    async def act(self, act: str, user: str, name: str) -> str:
        """Take it out, or move it."""
        if act == "front":
            await self.queue_desk.move(self.person, name, reason=self._typed_reason())
            return self.page_url("queue", done="front")
        await self.queue_desk.leave(self.person, name, self._typed_reason())
        return self.page_url("queue" if self.other(user) else "", done="left")

    def back(self, user: str) -> str:
        """Return where one goes who changes their mind."""
        return self.page_url("queue" if self.other(user) else "")


class ReleaseHandler(Asking):
    """Gives a server back before its notice ends, or because somebody waits for it."""

    field = "launch"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what the server is called, and what to ask."""
        shown, _ = await self._server(user, name)
        return shown, RELEASE

    async def _server(self, user: str, launch_id: str) -> tuple[str, str]:
        for server in await self.launcher.servers(user):
            if launch_id and server.launch_id == launch_id and server.state != "stopped":
                return server_title(self.t, server), server.server_name
        raise NotFound(N_("This server does not run any more, so there is nothing to give back."))

    async def act(self, act: str, user: str, name: str) -> str:
        """Stop it."""
        _, server = await self._server(user, name)
        await self.launcher.stop(self.person, user, server)
        return self.page_url(user=self.other(user), done="stop", server=server)


class ReleaseAddressHandler(PageHandler):
    """The address that messages have: of a launch alone."""

    async def get(self, launch_id: str) -> None:
        """Lead to the question."""
        status = await self.queue_desk.status(self.person, launch_id)
        self.redirect(self.page_url("release", launch=launch_id, user=self.other(status.user)))
