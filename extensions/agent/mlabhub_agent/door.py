"""The unix socket by which tools that are programs, and no pages, reach the desk: VS Code's extension, the desktop.

Guarantees: nobody but the account reaches it: it is of mode 0600, in the server's own folder of mode 0700. It gives
nothing that the account does not have anyway, and asks for no token for that reason alone. No browser speaks to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_unix_socket
from tornado.web import Application, RequestHandler

from mlabhub_agent.desk import Desk, Refusal
from mlabhub_proxies.words import choose_language

VARIABLE = "MLABHUB_AGENT_SOCKET"
"""By which programs of this server find it."""
LARGEST_BODY = 64 * 1024


class DoorHandler(RequestHandler):
    """``GET /idle``; ``POST /idle/keep``, ``/idle/release``, ``/idle/seen``."""

    def initialize(self, desk: Desk) -> None:
        """Know whom to ask."""
        self.desk = desk

    def get(self, what: str) -> None:
        """Say how things stand."""
        self.finish(self.desk.view())

    async def post(self, what: str) -> None:
        """Do what is asked, and say how things stand then."""
        language = choose_language(None, None, self.request.headers.get("Accept-Language"))
        try:
            self.finish(await self._do(what, self._body(), language))
        except Refusal as refusal:
            self.set_status(refusal.status)
            self.finish({"error": {"code": refusal.code, "message": refusal.sentence}})

    async def _do(self, what: str, body: Mapping[str, Any], language: str) -> dict[str, Any]:
        if what == "/keep":
            return await self.desk.keep(body, language)
        if what == "/release":
            return await self.desk.release(language)
        if what == "/seen":
            self.desk.seen(body.get("warning"))
        return self.desk.view()

    def _body(self) -> Mapping[str, Any]:
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


def open_door(folder: Path, desk: Desk) -> tuple[HTTPServer, Path]:
    """Listen in a folder that is the server's own. Raises `OSError`."""
    socket = folder / "socket"
    application = Application(
        [("/idle(/keep|/release|/seen|)", DoorHandler, {"desk": desk})], log_function=_log_nothing
    )
    server = HTTPServer(application, max_body_size=LARGEST_BODY, idle_connection_timeout=60)
    server.add_socket(bind_unix_socket(str(socket), mode=0o600))
    return server, socket


def _log_nothing(handler: RequestHandler) -> None:
    """A tool asks every half minute: no line for each."""
