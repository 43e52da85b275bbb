"""Our tools as jupyter-server-proxy's servers: its launcher tiles, addresses and proxying; our start and our pages.

Guarantees: a browser that opens a tool gets a page at once, whatever state the tool is in; every other request waits
until the tool is ready, websockets before they are accepted, or gets an error with the reason; the hub's and the
server's credentials never reach the tool; a path reaches it as the browser wrote it.
"""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from jupyter_server_proxy.config import LauncherEntry, ServerProcess
from jupyter_server_proxy.handlers import NamedLocalProxyHandler
from tornado import web
from tornado.httputil import HTTPHeaders

from mlabhub_proxies.base import Refused, Speaking, is_navigation
from mlabhub_proxies.pages import show_state
from mlabhub_proxies.relay import Relay
from mlabhub_proxies.running import READY, STOPPED, RunningTool
from mlabhub_proxies.status import sentence_of

CREDENTIAL_COOKIES = ("jupyterhub-", "username-", "_xsrf")
"""How the names of cookies begin that prove who somebody is to the hub or to this server."""
CREDENTIAL_ARGUMENT = "token"


class ToolHandler(Speaking, NamedLocalProxyHandler):
    """Proxies to a tool that is started when it is first wanted."""

    running: RunningTool

    def initialize(self, running: RunningTool) -> None:
        """Know the tool."""
        self.running = running

    async def prepare(self) -> None:  # type: ignore[override]
        """Refuse a change that another site's page asks for; most tools do not look at that themselves."""
        await super().prepare()
        if self.request.method not in ("GET", "HEAD", "OPTIONS") and not self.check_origin():
            raise web.HTTPError(403)

    @property  # type: ignore[override]
    def unix_socket(self) -> str:
        """Where the tool listens now."""
        return self.running.socket

    @unix_socket.setter
    def unix_socket(self, value: object) -> None:
        """Ignore what jupyter-server-proxy was configured with: the socket is new with every start."""

    async def get(self, path: str) -> None:
        """Answer a browser with the tool or with what it does instead; let websockets wait before they are accepted."""
        if is_navigation(self) and await self._leads_elsewhere():
            return
        if self.running.state != READY and is_navigation(self):
            if self.running.state == STOPPED:
                self.running.start()
            show_state(self, self.running)
            return
        await self._wait()
        await super().get(path)

    async def proxy(self, port: int, path: str) -> None:  # type: ignore[override]
        """Wait for the tool and pass the request on."""
        await self._wait()
        await super().proxy(port, path)

    async def _leads_elsewhere(self) -> bool:
        """Lead a person to another page if the tool has nothing to show yet."""
        program = self.running.tool.program
        if program is None or program.before is None:
            return False
        address = await program.before(self.surroundings)
        if address is not None:
            self.redirect(address)
        return address is not None

    async def _wait(self) -> None:
        if not await self.running.ensure_ready():
            raise Refused(503, f"tool_{self.running.state}", sentence_of(self.running, self.t))

    def get_client_uri(self, protocol: str, host: str, port: int, proxied_path: str) -> str:
        """Return the address for the tool: the path untouched, the query without the login's token."""
        prefix = self.surroundings.url(self.running.tool.route)
        query = without_token(self.request.query)
        path = self.request.path[len(prefix) :] or "/"
        return f"{protocol}://{host}:80{path}{'?' if query else ''}{query}"

    def proxy_request_options(self) -> dict[str, Any]:
        """Return how the tool is asked: PATCH without a body and DELETE with one pass as well."""
        return {**super().proxy_request_options(), "allow_nonstandard_methods": True}

    def proxy_request_headers(self) -> HTTPHeaders:
        """Return the request's headers without its credentials."""
        return without_credentials(super().proxy_request_headers())


class RawToolHandler(Relay, ToolHandler):
    """Carries the bytes of a tool's socket in a websocket; all else is refused."""

    async def get(self, path: str) -> None:
        """Open the websocket when the tool is ready."""
        if not self.request.headers.get("Upgrade"):
            raise web.HTTPError(405)
        await super().get(path)

    async def proxy(self, port: int, path: str) -> None:  # type: ignore[override]
        """Refuse what is no websocket."""
        raise web.HTTPError(405)


class ToolProcess(ServerProcess):
    """A tool as jupyter-server-proxy knows its servers."""

    def __init__(self, running: RunningTool, title: str, **traits: Any) -> None:
        """Describe a tool to the launcher under its title in the server's language."""
        tool = running.tool
        super().__init__(name=tool.route, **traits)
        self.running = running
        entry = LauncherEntry(icon_path=tool.icon, category="Tools")
        self.launcher_entry = entry
        # The validation of the line above sets both from the route.
        entry.title, entry.path_info = title, tool.address

    def __deepcopy__(self, memo: object) -> ToolProcess:
        """Stay one: traitlets copies configuration, and a running tool cannot be copied."""
        return self

    def get_proxy_base_class(self) -> tuple[type, dict[str, Any]]:
        """Return our handler instead of the supervisor of jupyter-server-proxy."""
        program = self.running.tool.program
        handler = RawToolHandler if program is not None and program.raw else ToolHandler
        return handler, {"running": self.running}


def without_token(query: str) -> str:
    """Return a query without the argument that signs in to this server; else exactly as it was."""
    if CREDENTIAL_ARGUMENT not in query:
        return query
    pairs = parse_qsl(query, keep_blank_values=True)
    left = [pair for pair in pairs if pair[0] != CREDENTIAL_ARGUMENT]
    return query if len(left) == len(pairs) else urlencode(left)


def without_credentials(headers: HTTPHeaders) -> HTTPHeaders:
    """Return headers without the cookies and tokens that sign in to the hub and to this server."""
    left = HTTPHeaders(headers)
    left.pop("Authorization", None)
    left.pop("X-Xsrftoken", None)
    try:
        cookies: SimpleCookie = SimpleCookie(left.pop("Cookie", ""))
    except CookieError:
        return left
    kept = [
        f"{name}={morsel.coded_value}" for name, morsel in cookies.items() if not name.startswith(CREDENTIAL_COOKIES)
    ]
    if kept:
        left["Cookie"] = "; ".join(kept)
    return left
