"""Our tools as jupyter-server-proxy's servers: its launcher tiles, addresses and proxying; our start and our pages.

Guarantees: a browser that opens a tool gets a page at once, whatever state the tool is in; every other request waits
until the tool is ready, websockets before they are accepted, or gets an error with the reason; what `passing` promises
about credentials and paths holds for websockets too; nothing that passes counts as activity, but what a person does.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from jupyter_server_proxy.config import LauncherEntry, ServerProcess
from jupyter_server_proxy.handlers import NamedLocalProxyHandler
from tornado import web
from tornado.httputil import HTTPHeaders

from mlabhub_proxies.base import Refused, Speaking, is_navigation
from mlabhub_proxies.desktop.messages import ClientMessages
from mlabhub_proxies.frames import with_key
from mlabhub_proxies.pages import show_start
from mlabhub_proxies.passing import address_of, pass_on, without_credentials
from mlabhub_proxies.person import note
from mlabhub_proxies.relay import Relay
from mlabhub_proxies.running import READY, RunningTool
from mlabhub_proxies.status import sentence_of
from mlabhub_proxies.words import N_, Said


class ToolHandler(Speaking, NamedLocalProxyHandler):
    """Proxies to a tool that is started when it is first wanted."""

    running: RunningTool
    _passing: asyncio.Task[Any] | None = None
    _gone = False

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
        if is_navigation(self):
            note(self.settings, self.running.tool.slug)
            if await self._leads_elsewhere():
                return
        if self.running.state != READY and is_navigation(self):
            show_start(self, self.running)
            return
        await self._wait()
        await super().get(path)

    async def proxy(self, port: int, path: str) -> None:  # type: ignore[override]
        """Wait for the tool and pass the request on."""
        await self._wait()
        self._passing = asyncio.current_task()
        try:
            await pass_on(self, self.running.socket, address_of(self.request, self._prefix), self._prefix)
        except aiohttp.ClientError as fault:
            self.log.warning("%s does not answer: %s", self.running.tool.slug, fault)
            if self._headers_written:
                # Cut off, the browser knows that something is missing.
                self.detach().close()
                return
            sentence = self.t(N_("{tool} does not answer."), tool=Said.of(self.running.tool.title))
            raise Refused(502, "tool_silent", sentence) from fault
        except asyncio.CancelledError:
            if not self._gone:
                raise
        finally:
            self._passing = None

    def on_connection_close(self) -> None:
        """Ask the tool no longer when the browser has gone."""
        super().on_connection_close()
        if self._passing is not None:
            self._gone = True
            self._passing.cancel()

    @property
    def _prefix(self) -> str:
        return self.surroundings.url(self.running.tool.route)

    async def _leads_elsewhere(self) -> bool:
        """Lead a person to another page if the tool has nothing to show yet."""
        program = self.running.tool.program
        if program is None or program.before is None:
            return False
        address = await program.before(self.surroundings)
        if address is not None:
            self.redirect(with_key(address, self))
        return address is not None

    async def _wait(self) -> None:
        if not await self.running.ensure_ready():
            raise Refused(503, f"tool_{self.running.state}", sentence_of(self.running, self.t))

    def get_client_uri(self, protocol: str, host: str, port: int, proxied_path: str) -> str:
        """Return the address of a websocket for the tool."""
        return f"{protocol}://{host}{address_of(self.request, self._prefix)}"

    def proxy_request_headers(self) -> HTTPHeaders:
        """Return the headers of a websocket for the tool."""
        return without_credentials(super().proxy_request_headers())


class RawToolHandler(Relay, ToolHandler):
    """Carries the bytes of a tool's socket in a websocket; all else is refused."""

    _messages: ClientMessages | None = None
    _looks_on = False

    async def proxy_open(self, host: str, port: int, proxied_path: str = "") -> None:
        """Connect to the tool, begin to carry, and count who looks on."""
        await super().proxy_open(host, port, proxied_path)
        if self._writer is not None and self.ws_connection is not None:
            self._looks_on = True
            self.running.onlookers += 1

    def on_close(self) -> None:
        """Close the connection to the tool; one less looks on."""
        super().on_close()
        self.running.onlookers -= self._looks_on
        self._looks_on = False

    def passes(self, message: bytes) -> None:
        """Note what a person does: of a tool whose messages can be told apart, which the desktop's are."""
        program = self.running.tool.program
        if self._messages is None and program is not None and program.messages is not None:
            self._messages = program.messages()
        if self._messages is not None and self._messages.take(message):
            note(self.settings, self.running.tool.slug)

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
        # What passes is no sign of a person: an open page asks and is told for ever.
        super().__init__(name=tool.route, update_last_activity=False, **traits)
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
