"""The doctor's page and its API: what a client tries, and what comes of it.

Guarantees: everything asks for a login, and what changes anything for the token against forged requests; a trial leaves
nothing; a port is open on 127.0.0.1 for `PORT_SECONDS` at most, and answers one word.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any

from jupyter_server.base.websocket import WebSocketMixin
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketHandler

from mlabhub_proxies.base import POLICY, ApiHandler, PageHandler, Refused, Speaking
from mlabhub_proxies.doctor.findings import findings_json
from mlabhub_proxies.doctor.inside import examine
from mlabhub_proxies.doctor.key import HEADER, is_key
from mlabhub_proxies.doctor.outside import STREAM_SECONDS, assess
from mlabhub_proxies.doctor.seen import LONGEST, Received, Trials, read_seen
from mlabhub_proxies.doctor.vnc import VncTrial
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.words import N_

PADDING = "X-Mlabhub-Padding"
EVENTS = 3
PORT_SECONDS = 10.0
MOST_ECHO = 1 << 16
WORKER = "self.addEventListener('install', () => self.skipWaiting());\n"


class DoctorPage(PageHandler):
    """The page: its script tries, and shows what comes of it."""

    policy = POLICY | {"worker-src": "'self'"}

    def get(self) -> None:
        """Show it."""
        self.render_page("doctor.html", api=self.surroundings.url("mlabhub", "api", "doctor"))


class TrialHandler(ApiHandler):
    """An address of the doctor's API."""

    def check_origin(self, origin_to_satisfy_tornado: str = "") -> bool:
        """Answer a page whose name a proxy hides from us, since that is to be found; the token has to do."""
        return True

    def check_xsrf_cookie(self) -> None:
        """Let the service's page of this server ask, which has the launch's key in place of the token."""
        if not is_key(self.request.headers.get(HEADER, ""), self.surroundings.environ):
            super().check_xsrf_cookie()


class DoctorHandler(TrialHandler):
    """The findings."""

    def initialize(self, trials: Trials, vnc: VncTrial) -> None:
        """Know what was tried before."""
        self.trials, self.vnc = trials, vnc

    async def get(self) -> None:
        """Return what the server finds out by itself."""
        inside, vnc = await asyncio.gather(examine(self.surroundings), self.vnc.run())
        self._answer([*inside, vnc])

    async def post(self) -> None:
        """Return what follows from what a client saw, and that; a ``short`` answer starts no program for it."""
        body = self.body_json()
        try:
            seen = read_seen(body.get("seen"))
        except ValueError as fault:
            raise Refused(
                400, "bad_request", self.t(N_("This is not what a doctor sees: {fault}."), fault=fault)
            ) from None
        received = Received(self.request.host, protocol_of(self.request), self.surroundings.base_url)
        outside = assess(seen, received, self.trials)
        if body.get("short") is True:
            self._answer([*outside, *await examine(self.surroundings)])
            return
        inside, vnc = await asyncio.gather(examine(self.surroundings), self.vnc.run())
        self._answer([*outside, *inside, vnc])

    def _answer(self, findings: list[Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish({"server": self.surroundings.base_url, "findings": findings_json(findings, self.t)})


class TimeHandler(TrialHandler):
    """The server's clock, and a path that arrives as it was sent, or not."""

    def get(self, rest: str) -> None:
        """Return the time, and what is behind this address."""
        sent = (self.request.uri or "").split("/doctor/time/", 1)[-1]
        self.finish({"time": time.time(), "path": sent})


class EchoHandler(WebSocketMixin, Speaking, WebSocketHandler):
    """A websocket that sends back what comes, and remembers when it could not be opened."""

    answers_json = True

    def initialize(self, trials: Trials) -> None:
        """Know where to remember."""
        self.trials = trials

    async def prepare(self, **_: Any) -> None:
        """Let in who is logged in, as everywhere here."""
        await Speaking.prepare(self)

    @property
    def _trial(self) -> str:
        return str(self.get_query_argument("trial", ""))

    async def get(self) -> None:
        """Open it, and remember if a proxy took away what makes it a websocket."""
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            self.trials.note(self._trial, "no_upgrade")
        await super().get()

    def check_origin(self, origin: str | None = None) -> bool:
        """Ask Jupyter's rule, and remember a refusal."""
        fits = bool(super().check_origin(origin))
        if not fits:
            self.trials.note(self._trial, "origin")
        return fits

    def open(self) -> None:
        """Remember."""
        self.trials.note(self._trial, "opened")

    def on_message(self, message: str | bytes) -> None:
        """Send it back."""
        if len(message) > MOST_ECHO:
            self.close()
        else:
            self.write_message(message)


class StreamHandler(TrialHandler):
    """Events, some time apart, sent as the hub sends those of a start."""

    async def get(self) -> None:
        """Send them."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        try:
            for number in range(EVENTS):
                if number:
                    await asyncio.sleep(STREAM_SECONDS / (EVENTS - 1))
                self.write(f"data: {number}\n\n")
                await self.flush()
        except StreamClosedError:
            return


class UploadHandler(TrialHandler):
    """Takes a body and forgets it."""

    def post(self) -> None:
        """Say how much it was."""
        self.finish({"bytes": len(self.request.body)})


class HeadersHandler(TrialHandler):
    """Says how much of a large header arrived."""

    def get(self) -> None:
        """Answer."""
        self.finish({"bytes": len(self.request.headers.get(PADDING, ""))})


class WorkerHandler(Speaking):
    """A service worker that does nothing, in a folder that is its whole scope."""

    def check_xsrf_cookie(self) -> None:
        """Let a browser load it, which sends no token then; there is nothing to protect."""

    def get(self) -> None:
        """Return its script."""
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.set_header("Cache-Control", "no-cache")
        self.finish(WORKER)


class PortHandler(TrialHandler):
    """Opens a port on 127.0.0.1 that answers with one word."""

    async def post(self) -> None:
        """Open it for a while, and say where and what to expect."""
        word = secrets.token_hex(8)
        try:
            server = await asyncio.start_server(lambda reader, writer: _say(word, reader, writer), "127.0.0.1", 0)
        except OSError as fault:
            sentence = self.t(N_("No port can be opened here: {fault}."), fault=fault.strerror or str(fault))
            raise Refused(503, "no_port", sentence) from None
        asyncio.get_running_loop().call_later(PORT_SECONDS, server.close)
        self.finish({"port": server.sockets[0].getsockname()[1], "word": word})


async def _say(word: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await asyncio.wait_for(reader.readline(), 5)
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(word)}\r\n\r\n"
        writer.write((head + word).encode())
        await writer.drain()
    except (OSError, ValueError, asyncio.TimeoutError):
        pass
    finally:
        writer.close()


def protocol_of(request: HTTPServerRequest) -> str:
    """Return how the browser came, as the outermost proxy says it, which is what the hub goes by as well."""
    said = request.headers.get("X-Scheme") or request.headers.get("X-Forwarded-Proto") or ""
    first = said.split(",")[0].strip().lower()[:LONGEST]
    return first if first in ("http", "https") else request.protocol


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the addresses of the doctor."""
    trials = Trials()
    api = "mlabhub", "api", "doctor"
    return [
        (surroundings.url("mlabhub", "doctor"), DoctorPage),
        (surroundings.url(*api), DoctorHandler, {"trials": trials, "vnc": VncTrial(surroundings)}),
        (surroundings.url(*api, "time", "(.*)"), TimeHandler),
        (surroundings.url(*api, "echo"), EchoHandler, {"trials": trials}),
        (surroundings.url(*api, "stream"), StreamHandler),
        (surroundings.url(*api, "upload"), UploadHandler),
        (surroundings.url(*api, "headers"), HeadersHandler),
        (surroundings.url(*api, "worker", "worker.js"), WorkerHandler),
        (surroundings.url(*api, "port"), PortHandler),
    ]
