"""The terminal as a page of its own, over Jupyter's own terminals: the same shells that JupyterLab lists.

Guarantees: it is offered only where the server has terminals; how shells outlast cut lines is `mlabhub_proxies.shells`.
"""

from __future__ import annotations

from importlib.util import find_spec

from mlabhub_proxies.base import POLICY, PageHandler, Refused
from mlabhub_proxies.pages import SlashHandler
from mlabhub_proxies.shells import TerminalSocket
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tools import Environ, Tool
from mlabhub_proxies.words import N_, make_words

WORDS = {
    "terminal": N_("Terminal"),
    "new": N_("New terminal"),
    "close": N_("Close"),
    "ended": N_("The shell ended."),
    "missing": N_("[{count} characters are not shown: they came faster than they could be drawn]"),
    "cut": N_("No connection. The shell runs on; what you type is sent when the connection is back."),
    "loggedout": N_("Your login ended. The shell runs on; log in again in another tab of the browser."),
    "stopped": N_("This server is not running any more."),
    "unreachable": N_("The server cannot be reached just now."),
}


def find(environ: Environ) -> str | None:
    """Return something if Jupyter's terminals are installed."""
    return "terminal" if find_spec("jupyter_server_terminals") else None


TOOL = Tool(
    slug="terminal",
    title=N_("Terminal"),
    sentence=N_("Command lines that run on when the browser is closed."),
    address="terminal/",
    find=find,
)


class TerminalHandler(PageHandler):
    """The page."""

    # xterm.js makes the rules of its letters as it draws.
    policy = POLICY | {"style-src": "'self' 'unsafe-inline'"}

    def get(self) -> None:
        """Answer with the page, which lists and opens shells by itself."""
        if not self.settings.get("terminals_available"):
            raise Refused(404, "tool_absent", self.t(N_("Terminals are switched off in this server.")))
        server = self.surroundings.name
        page = {
            "base": self.surroundings.base_url,
            "server": server,
            "words": make_words(self.t, WORDS, ("count",)),
        }
        self.render_page("terminal.html", page=page, server=server)


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of this module."""
    if TOOL not in surroundings.offered:
        return []
    return [
        (surroundings.url("terminal"), SlashHandler),
        (surroundings.url("terminal/"), TerminalHandler),
        (surroundings.url("mlabhub", "terminals", r"(\w+)"), TerminalSocket),
    ]
