"""Calls about what a server writes: the end of its log, and a stream of it.

Guarantees: somebody else's server is not there (404) for anybody but administrators.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message
from mlabhub.service.handlers.base import ApiHandler, server_of
from mlabhub.service.handlers.events import LONGEST_S, EventsHandler
from mlabhub.service.json_views import to_json
from mlabhub.service.server_logs import MOST_LINES, USUAL_LINES, ServerLogs

LINES = N_("For lines give a whole number from 0 to {most}; it is {value}.")
LONGEST_NUMBER = 9


class LogsHandler(ApiHandler):
    """``GET servers/USER/SERVER/logs``"""

    async def get(self, user: str, server: str) -> None:
        """Return the last lines; ``?lines=``."""
        self.answer(await logs_of(self).tail(self.reader, user, server_of(server), lines_of(self)))


class LogEventsHandler(EventsHandler):
    """``GET servers/USER/SERVER/logs/events``"""

    event = "log"

    async def get(self, user: str, server: str) -> None:
        """Follow a server's log."""
        loop = asyncio.get_running_loop()
        began, first = loop.time(), True
        with self.place():
            views = logs_of(self).follow(self.reader, user, server_of(server), lines_of(self), self.gone)
            async with aclosing(views):  # type: ignore[type-var]
                async for view in views:
                    if first:
                        await self.begin(to_json(view))
                    else:
                        await self.tell(to_json(view) if view.lines or view.over else None)
                    first = False
                    if self.gone.done() or loop.time() - began > LONGEST_S:
                        return


def logs_of(handler: ApiHandler) -> ServerLogs:
    """Return where logs are read."""
    logs: ServerLogs = handler.application.settings["server_logs"]
    return logs


def lines_of(handler: ApiHandler) -> int:
    """Return how many lines are asked for. Raises `InvalidLaunch`."""
    text = handler.get_query_argument("lines", str(USUAL_LINES))
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER else MOST_LINES + 1
    if number > MOST_LINES:
        raise InvalidLaunch(Message.of(LINES, most=MOST_LINES, value=quote(text)), key="lines")
    return number
