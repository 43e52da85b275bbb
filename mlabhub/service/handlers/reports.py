"""The calls of the agents inside servers: ``POST reports``, and what a person in a server asks for."""

from __future__ import annotations

from typing import Any

from mlabhub.errors import MLabError, TooLarge
from mlabhub.i18n import choose_language, get_translator
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import KeepOwnBody, ReleaseOwnBody, ReportsBody, SavedBody
from mlabhub.service.handlers.base import JsonHandler
from mlabhub.service.idle.desk import IdleDesk
from mlabhub.service.report_tokens import Subject
from mlabhub.service.reports import Reports
from mlabhub.service.shelving.desk import ShelvingDesk

LARGEST_BODY = 64 * 1024


class AgentHandler(JsonHandler):
    """A call with the token of a launch, about that launch."""

    reports: Reports
    token: Subject

    def check_xsrf_cookie(self) -> None:
        """No cookie counts here."""

    def prepare(self) -> None:
        """Find out whose agent calls. Raises `UnknownToken`, `Gone`, `TooMany` or `TooLarge`."""
        self.reports = self.application.settings["reports"]
        self.token = self.reports.admit(self.request.headers.get("Authorization", "").removeprefix("Bearer "))
        if len(self.request.body) > LARGEST_BODY:
            raise TooLarge(
                Message.of(
                    N_("The reports of one call are larger than {limit} KiB. Send fewer at once."),
                    limit=LARGEST_BODY // 1024,
                )
            )

    @property
    def idle(self) -> IdleDesk:
        """Where it is said how servers stand."""
        desk: IdleDesk = self.application.settings["idle_desk"]
        return desk

    @property
    def shelving(self) -> ShelvingDesk:
        """Where GPUs are given back."""
        desk: ShelvingDesk = self.application.settings["shelving"]
        return desk

    def status(self) -> dict[str, Any] | None:
        """Return what the tools in the server show; None if nothing is known yet, and nothing is asked of it."""
        status, order = self.idle.status(self.token.launch_id), self.shelving.order(self.token.launch_id)
        return None if status is None and order is None else {**(status or {}), "order": order}

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Say with a 429 also in the header when to come again, and all in the language of who asked the agent."""
        error = keywords.get("exc_info", (None, None, None))[1]
        if not isinstance(error, MLabError):
            super().write_error(status_code, **keywords)
            return
        if wait := error.data.get("retry_after"):
            self.set_header("Retry-After", str(wait))
        say = get_translator(choose_language(None, None, self.request.headers.get("Accept-Language")))
        body = error.to_dict()
        self.answer({"error": {**body["error"], "message": say.say(error.message)}}, error.status)


class ReportsHandler(AgentHandler):
    """``POST reports``."""

    async def post(self) -> None:
        """Take one report or several, and say how things stand."""
        body = self.body(ReportsBody)
        taken = self.reports.take(self.token, body)
        if body.seen is not None:
            await self.idle.seen(self.token.launch_id, body.seen)
        self.answer({"taken": taken.taken, "dropped": taken.dropped, "status": self.status()})


class KeepHandler(AgentHandler):
    """``POST reports/keep``."""

    async def post(self) -> None:
        """Keep the server though it is idle."""
        body = self.body(KeepOwnBody)
        self.reports.check(self.token, body.server)
        await self.idle.extend_own(self.token.launch_id, body.seconds, body.reason)
        self.answer({"status": self.status()})


class ReleaseHandler(AgentHandler):
    """``POST reports/release``."""

    async def post(self) -> None:
        """Give the GPUs back; the work is kept."""
        self.reports.check(self.token, self.body(ReleaseOwnBody).server)
        await self.shelving.release_own(self.token.launch_id)
        self.answer({"status": self.status()}, 202)


class SavedHandler(AgentHandler):
    """``POST reports/saved``."""

    async def post(self) -> None:
        """Hear that an order is carried out."""
        body = self.body(SavedBody)
        self.reports.check(self.token, body.server)
        await self.shelving.saved(self.token.launch_id, body.rescue)
        self.answer({"status": self.status()})


class TraceHandler(AgentHandler):
    """``GET reports/trace``."""

    async def get(self) -> None:
        """Say what was measured of the server."""
        self.answer(await self.shelving.trace(self.token.launch_id))
