"""Reports that are on their way, and the call that brings them.

Guarantees: what cannot be sent is kept (`KEPT` of them, the newest) and sent later, oldest first; what the service does
not want is not sent again; a server whose token is not taken calls seldom. Nothing is told of a report's time but how
long ago it was, so that this machine's clock may be wrong or set. No call takes longer than `PATIENCE_S`.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
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

Post = Callable[[bytes], Awaitable[tuple[int, str]]]
"""Sends a body; returns the status and what ``Retry-After`` says. Raises `OSError` if nobody answers."""


@dataclass(frozen=True)
class Way:
    """Where reports go, as whom."""

    url: str
    token: str
    server: str

    async def post(self, body: bytes) -> tuple[int, str]:
        """Send a body. Raises `OSError` if nobody answers."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            answer = await AsyncHTTPClient().fetch(
                self.url,
                method="POST",
                body=body,
                headers=headers,
                raise_error=False,
                follow_redirects=False,
                connect_timeout=PATIENCE_S / 2,
                request_timeout=PATIENCE_S,
            )
        except HTTPError as error:  # tornado's own: nobody answered in time
            raise OSError(str(error)) from error
        return answer.code, answer.headers.get("Retry-After", "")


class Sender:
    """Keeps reports until they are taken."""

    def __init__(
        self,
        server: str,
        post: Post,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._server = server
        self._post = post
        self._clock = clock
        self._monotonic = monotonic
        self._kept: deque[tuple[float, Report]] = deque(maxlen=KEPT)
        # Grows over a restart of this process, too: the service drops what has a number from before.
        self._number = int(clock())
        self._not_before = monotonic()
        self._fault = ""

    def add(self, report: Report) -> None:
        """Keep a report of now."""
        self._number += 1
        self._kept.append((self._monotonic(), {"number": self._number, **report}))

    async def send(self) -> None:
        """Send what is kept, as far as it is taken."""
        while self._kept and self._monotonic() >= self._not_before:
            batch = list(self._kept)[:AT_ONCE]
            try:
                status, wait = await self._post(self._body(batch))
            except OSError as error:
                self._say(f"nobody answers ({error})")
                return
            if status == TAKEN:
                self._say("")
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
            sent = {one["number"] for _, one in batch}
            self._kept = deque((one for one in self._kept if one[1]["number"] not in sent), KEPT)

    def _body(self, batch: list[tuple[float, Report]]) -> bytes:
        now, elapsed = self._clock(), self._monotonic()
        reports: list[dict[str, Any]] = [{"t": now - (elapsed - at), **one} for at, one in batch]
        return json.dumps({"server": self._server, "sent": now, "reports": reports}).encode()

    def _say(self, fault: str) -> None:
        """Log what is new, and no report: one line for an outage, one for its end."""
        if fault and not self._fault:
            log.warning("Reports to the hub's service wait: %s", fault)
        elif self._fault and not fault:
            log.info("Reports reach the hub's service again")
        self._fault = fault
