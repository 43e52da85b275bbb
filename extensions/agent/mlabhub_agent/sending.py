"""Reports that are on their way, and the calls to the service.

Guarantees: what cannot be sent is kept (`KEPT` of them, the newest) and sent later, oldest first; what the service does
not want is not sent again; a server whose token is not taken calls seldom. Nothing is told of a report's time but how
long ago it was, so that this machine's clock may be wrong or set. No call takes longer than `PATIENCE_S`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tornado.httpclient import AsyncHTTPClient, HTTPError

from mlabhub_agent.looking import Report

log = logging.getLogger(__name__)
KEPT = 120
AT_ONCE = 60
PATIENCE_S = 20.0
NOT_WANTED_S = 600.0
"""How long to wait where the token is not taken: this launch is over, or the service has another key now."""
NOT_WANTED = (401, 403, 410)
NOT_RIGHT = (400, 404, 405, 413, 422)
TAKEN = 200


@dataclass(frozen=True)
class Answer:
    """What the service answered. ``wait`` is what ``Retry-After`` says, ``said`` the JSON object; empty if none."""

    status: int
    wait: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)


Post = Callable[[bytes], Awaitable[Answer]]
"""Sends a body. Raises `OSError` if nobody answers."""


@dataclass(frozen=True)
class Way:
    """Where reports go, as whom."""

    url: str
    token: str
    server: str

    async def post(self, body: bytes) -> Answer:
        """Send reports. Raises `OSError` if nobody answers."""
        return await self._call("", body)

    async def ask(self, what: str, language: str = "en", **wish: Any) -> Answer:
        """Ask for something: ``keep``, ``release``. Raises `OSError` if nobody answers."""
        return await self._call(f"/{what}", json.dumps({"server": self.server, **wish}).encode(), language)

    async def saved(self, rescue: str) -> Answer:
        """Say that an order is carried out, and where the bundle is. Raises `OSError` if nobody answers."""
        return await self.ask("saved", rescue=rescue)

    async def trace(self) -> Answer:
        """Return what the service has measured of this server. Raises `OSError` if nobody answers."""
        return await self._call("/trace", None)

    async def _call(self, path: str, body: bytes | None, language: str = "en") -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", "Accept-Language": language.replace("_", "-")}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            answer = await AsyncHTTPClient().fetch(
                self.url + path,
                method="GET" if body is None else "POST",
                body=body,
                headers=headers,
                raise_error=False,
                follow_redirects=False,
                connect_timeout=PATIENCE_S / 2,
                request_timeout=PATIENCE_S,
            )
        except HTTPError as error:  # tornado's own: nobody answered in time
            raise OSError(str(error)) from error
        return Answer(answer.code, answer.headers.get("Retry-After", ""), _object(answer.body))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


class Sender:
    """Keeps reports until they are taken."""

    def __init__(
        self,
        server: str,
        post: Post,
        hear: Callable[[Any], None] = lambda status: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._server = server
        self._post = post
        self._hear = hear
        self._clock = clock
        self._monotonic = monotonic
        self._kept: deque[tuple[float, Report]] = deque(maxlen=KEPT)
        # Grows over a restart of this process, too: the service drops what has a number from before.
        self._number = int(clock())
        self._not_before = monotonic()
        self._fault = ""
        self._shown: float | None = None

    def show(self, warning_at: float) -> None:
        """Tell with the next call that a tool has shown this warning to a person."""
        self._shown = warning_at

    def add(self, report: Report) -> None:
        """Keep a report of now."""
        self._number += 1
        self._kept.append((self._monotonic(), {"number": self._number, **report}))

    async def send(self) -> None:
        """Send what is kept, as far as it is taken."""
        while self._kept and self._monotonic() >= self._not_before:
            batch, shown = list(self._kept)[:AT_ONCE], self._shown
            try:
                answer = await self._post(self._body(batch, shown))
            except OSError as error:
                self._say(f"nobody answers ({error})")
                return
            status, wait = answer.status, answer.wait
            if status == TAKEN:
                self._say("")
                if "status" in answer.said:
                    self._hear(answer.said["status"])
            elif status in NOT_WANTED:
                self._not_before = self._monotonic() + NOT_WANTED_S
                self._say(f"the service answers {status}")
            elif status in NOT_RIGHT:
                self._say(f"the service answers {status}")
            else:
                seconds = min(float(wait), NOT_WANTED_S) if wait.isdecimal() else 0.0
                self._not_before = self._monotonic() + seconds
                self._say(f"the service answers {status}")
                return
            self._forget(batch, shown)

    def _forget(self, batch: list[tuple[float, Report]], shown: float | None) -> None:
        sent = {one["number"] for _, one in batch}
        self._kept = deque((one for one in self._kept if one[1]["number"] not in sent), KEPT)
        if self._shown == shown:
            self._shown = None

    def _body(self, batch: list[tuple[float, Report]], shown: float | None) -> bytes:
        now, elapsed = self._clock(), self._monotonic()
        reports: list[dict[str, Any]] = [{"t": now - (elapsed - at), **one} for at, one in batch]
        body = {"server": self._server, "sent": now, "reports": reports}
        return json.dumps(body if shown is None else {**body, "seen": shown}).encode()

    def _say(self, fault: str) -> None:
        """Log what is new, and no report: one line for an outage, one for its end."""
        if fault and not self._fault:
            log.warning("Reports to the hub's service wait: %s", fault)
        elif self._fault and not fault:
            log.info("Reports reach the hub's service again")
        self._fault = fault
