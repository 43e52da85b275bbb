"""The tools of a server, for programs: what there is, what state it is in, start and stop.

Guarantees: everything asks for a login, and a change for the token against forged requests; asking does not start
anything and does not count as activity.
"""

from __future__ import annotations

from tornado import web

from mlabhub_proxies.base import ApiHandler, Refused
from mlabhub_proxies.status import status_json
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tools import Tool
from mlabhub_proxies.words import N_


class ToolsHandler(ApiHandler):
    """All offered tools."""

    def get(self) -> None:
        """Return them in their order."""
        running = self.surroundings.running
        tools = [status_json(tool, running.get(tool.slug), self.t) for tool in self.surroundings.offered]
        self.finish({"tools": tools})


class ToolStatusHandler(ApiHandler):
    """One tool."""

    def get(self, slug: str) -> None:
        """Return its state."""
        tool = self._tool(slug)
        self.finish(status_json(tool, self.surroundings.running.get(slug), self.t))

    async def post(self, slug: str) -> None:
        """Start, stop or restart it, and return its state."""
        tool = self._tool(slug)
        running = self.surroundings.running.get(slug)
        action = self.body_json().get("action")
        if action not in ("start", "stop", "restart"):
            raise Refused(400, "bad_request", self.t(N_("The action is start, stop or restart.")))
        if running is None:
            raise Refused(409, "no_process", self.t(N_("This tool has no process of its own.")))
        if action == "start":
            running.start()
        elif action == "stop":
            await running.stop()
        else:
            await running.restart()
        self.finish(status_json(tool, running, self.t))

    def _tool(self, slug: str) -> Tool:
        tool = self.surroundings.tool(slug)
        if tool is None:
            raise web.HTTPError(404)
        return tool


class AliveHandler(ApiHandler):
    """The heartbeat of our pages: whether the server can be reached and knows the reader."""

    def check_xsrf_cookie(self) -> None:
        """Answer scripts that have no token, such as those in JupyterLab: there is nothing to read or to change."""

    def get(self) -> None:
        """Answer."""
        self.set_status(204)


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of this module."""
    return [
        (surroundings.url("mlabhub", "api", "tools"), ToolsHandler),
        (surroundings.url("mlabhub", "api", "tools", "([^/]+)"), ToolStatusHandler),
        (surroundings.url("mlabhub", "api", "alive"), AliveHandler),
    ]
