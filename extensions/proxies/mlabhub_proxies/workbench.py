"""The workbench: one slim bar over the tools of a server, which stay loaded in frames below it.

Guarantees: the bar is shown only as a page of its own (`mlabhub_proxies.frames` says why); an address that names no
offered tool leads to the first one, or to a page that says so; nothing of an address is run or trusted, it only becomes
the address of a frame below this server.
"""

from __future__ import annotations

from typing import Any

from tornado import web

from mlabhub_proxies.base import POLICY, PageHandler, Refused, static_url
from mlabhub_proxies.frames import ARGUMENT, KEY
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tools import Tool
from mlabhub_proxies.words import LANGUAGES, N_, Said, make_words

SHORTCUT = "Ctrl+Alt+{number}"
WORDS = {
    "cut": N_("No connection since {time}. Everything is kept and goes on by itself."),
    "back": N_("Connected again."),
    "loggedout": N_("Your login ended. Nothing is lost."),
    "login": N_("Log in again"),
    "stopped": N_("This server is not running any more."),
    "home": N_("Home"),
    "stop": N_("Stop {tool}"),
    "question": N_("Stop {tool}? What runs in it ends, and what is not saved is lost."),
    "failed": N_("This did not work: {reason}"),
}


class WorkbenchHandler(PageHandler):
    """The bar and its frames."""

    policy = POLICY | {"frame-src": "'self'"}

    def get(self, slug: str, rest: str = "") -> None:
        """Answer with the page that shows a tool."""
        if self.request.headers.get("Sec-Fetch-Dest", "document") != "document":
            raise web.HTTPError(403)
        if self.surroundings.tool(slug) is None:
            known = next((tool for tool in self.surroundings.known if tool.slug == slug), None)
            if known is None:
                raise web.HTTPError(404)
            title = Said.of(known.title)
            raise Refused(404, "tool_absent", self.t(N_("This server does not offer {tool}."), tool=title))
        tools = [self._tool(place, tool) for place, tool in enumerate(self.surroundings.offered, 1)]
        page = {
            "base": self.surroundings.base_url,
            "server": self.surroundings.name,
            "home": self.surroundings.hub_home,
            "first": slug,
            "tools": tools,
            "argument": ARGUMENT,
            "key": KEY,
            "words": make_words(self.t, WORDS, ("time", "tool", "reason")),
        }
        languages = {tag.replace("_", "-"): name for tag, name in LANGUAGES.items() if tag != self.t.language}
        safe = self.surroundings.is_safe
        self.render_page("workbench.html", page=page, tools=tools, first=slug, languages=languages, safe=safe)

    def _tool(self, place: int, tool: Tool) -> dict[str, Any]:
        return {
            "slug": tool.slug,
            "title": self.t(tool.title),
            "what": self.t(tool.sentence),
            "address": tool.address,
            "icon": static_url(self.surroundings, f"icons/{tool.slug}.svg"),
            "open": self.surroundings.url("mlabhub", "open", tool.slug),
            "can_stop": tool.program is not None,
            "shortcut": SHORTCUT.format(number=place),
        }


class FirstHandler(PageHandler):
    """Where the workbench begins."""

    def get(self) -> None:
        """Go to the first tool."""
        if not self.surroundings.offered:
            raise Refused(404, "no_tool", self.t(N_("This server offers no tool in the browser.")))
        self.redirect(self.surroundings.url("mlabhub", "open", self.surroundings.offered[0].slug))


class WelcomeBackHandler(PageHandler):
    """Where a login that ended meanwhile is made anew, in a browser tab of its own."""

    def get(self) -> None:
        """Say that the other tab goes on."""
        self.render_page("again.html")


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of this module."""
    return [
        (surroundings.url("mlabhub", "?"), FirstHandler),
        (surroundings.url("mlabhub", "open", "?"), FirstHandler),
        (surroundings.url("mlabhub", "open", "([a-z]+)(/.*)?"), WorkbenchHandler),
        (surroundings.url("mlabhub", "again"), WelcomeBackHandler),
    ]
