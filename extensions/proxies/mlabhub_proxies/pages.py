"""Pages about tools: one that starts, one that failed, one that is not offered here.

Guarantees: they work without scripts (the page of a starting tool then renews itself) and at 320 pixels; what a tool
wrote is shown as text.
"""

from __future__ import annotations

from tornado import web

from mlabhub_proxies.base import STATIC as STATIC_FOLDER
from mlabhub_proxies.base import PageHandler, Refused, Speaking, StaticHandler
from mlabhub_proxies.frames import with_key
from mlabhub_proxies.running import FAILED, STARTING, STOPPED, RunningTool
from mlabhub_proxies.status import status_json
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tools import Tool, allowed
from mlabhub_proxies.words import N_, Said


def show_start(handler: Speaking, running: RunningTool) -> None:
    """Start a tool that is stopped, and answer with its page: it goes on by itself, or says why it cannot."""
    if running.state == STOPPED:
        running.start()
    status = status_json(running.tool, running, handler.t)
    remedy = running.tool.program and running.tool.program.remedy
    handler.render_page(
        "start.html",
        status=502 if running.state == FAILED else 202,
        tool=status,
        starting=running.state == STARTING,
        failed=running.state == FAILED,
        back=handler.request.uri,
        remedy=remedy and (with_key(handler.surroundings.url(remedy[0]), handler), handler.t(remedy[1])),
    )


class StartHandler(PageHandler):
    """The button of the page above: starts a tool and goes back to it."""

    def post(self, slug: str) -> None:
        """Start a tool."""
        running = self.surroundings.running.get(slug)
        if running is None:
            raise web.HTTPError(404)
        running.start()
        page = self.surroundings.url(running.tool.address)
        back = self.get_body_argument("back", page)
        # Only to a page of this tool: an address of elsewhere begins otherwise.
        self.redirect(back if back.startswith(page) and back.isprintable() else page, status=303)


class SlashHandler(PageHandler):
    """A page's address without the slash at its end: what is relative in the page begins below it."""

    def get(self) -> None:
        """Lead to the page."""
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.request.path}/{query}")


class AbsentHandler(PageHandler):
    """The page of a tool that this server does not offer."""

    def initialize(self, tool: Tool) -> None:
        """Know the tool."""
        self.tool = tool

    def get(self, *rest: str) -> None:
        """Say why it is not here."""
        title = Said.of(self.tool.title)
        if allowed(self.tool, self.surroundings.environ):
            sentence = self.t(N_("The image of this server does not have {tool}."), tool=title)
        else:
            sentence = self.t(N_("The profile of this server does not offer {tool}."), tool=title)
        raise Refused(404, "tool_absent", sentence)


class NothingHandler(PageHandler):
    """Addresses below ours that no part has."""

    async def prepare(self) -> None:  # type: ignore[override]
        """Say so, to those who may know."""
        await super().prepare()
        if not self._finished:
            raise web.HTTPError(404)


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the pages and files of this module."""
    routes: list[Route] = [
        (surroundings.url("mlabhub", "static", "(.*)"), StaticHandler, {"path": str(STATIC_FOLDER)}),
        (surroundings.url("mlabhub", "start", "([a-z]+)"), StartHandler),
    ]
    for tool in surroundings.known:
        if tool not in surroundings.offered:
            routes.append((surroundings.url(tool.address.rstrip("/")) + "(/.*)?", AbsentHandler, {"tool": tool}))
    return routes


def get_last_routes(surroundings: Surroundings) -> list[Route]:
    """Return what stands after all parts: whatever is left below our address."""
    return [(surroundings.url("mlabhub", ".*"), NothingHandler)]
