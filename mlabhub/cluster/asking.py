"""One question to the cluster's API, asked again while the cluster is away for a moment.

Guarantees: an answer is what the API said, whatever its status; without one within the patience, `ClusterUnavailable`
is raised. Answers are plain JSON: the client's own models take longer than the call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlabhub.cluster.client import AWAY, unreachable
from mlabhub.errors import ClusterUnavailable

CALL_SECONDS = 10.0
PATIENCE_SECONDS = 15.0
PAUSES = (0.2, 0.5, 1.0, 2.0, 3.0)
BUSY = frozenset({429, 500, 502, 503, 504})
NOT_FOUND, CONFLICT, FORBIDDEN = 404, 409, 403


@dataclass(frozen=True)
class Answer:
    """What the API said: an object, or a Status."""

    status: int
    body: Mapping[str, Any]

    @property
    def is_fine(self) -> bool:
        """Whether it did what was asked."""
        return self.status < 400

    @property
    def said(self) -> str:
        """The API's own sentence on what went wrong, on one line."""
        return " ".join(str(self.body.get("message", f"HTTP {self.status}")).split())[:500]

    @property
    def is_race(self) -> bool:
        """Whether a quota was being counted by somebody else at the same moment: the same call passes the next time."""
        return self.status == CONFLICT and "resourcequotas" in self.said

    @property
    def is_taken(self) -> bool:
        """Whether an object of that name is there already, perhaps by a call of ours whose answer was lost."""
        return self.status == CONFLICT and not self.is_race


async def ask(
    call: Callable[..., Awaitable[Any]], *arguments: Any, patience_s: float = PATIENCE_SECONDS, **more: Any
) -> Answer:
    """Return the answer to a method of the client, the first that will stay so. Raises `ClusterUnavailable`."""
    give_up = time.monotonic() + patience_s
    attempt = 0
    while True:
        failed: ClusterUnavailable
        late = time.monotonic() >= give_up
        try:
            answer = await asyncio.wait_for(_ask(call, *arguments, **more), CALL_SECONDS)
            if answer.status not in BUSY and (late or not answer.is_race):
                return answer
            failed = unreachable(OSError(answer.said))
        except AWAY as error:
            failed = unreachable(error)
        if late:
            raise failed
        await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
        attempt += 1


async def _ask(call: Callable[..., Awaitable[Any]], *arguments: Any, **more: Any) -> Answer:
    response = await call(*arguments, _preload_content=False, **more)
    text = await response.read()
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    return Answer(response.status, body if isinstance(body, dict) else {})
