"""What tools in this server may ask: how things stand, to keep it, to give its GPUs back, that a warning was shown.

Guarantees: a refusal of the service's comes through as its own sentence; whatever else goes wrong is one, too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mlabhub_agent.sending import Answer, Way
from mlabhub_agent.standing import Standing

LONGEST_REASON = 1000
OURS = (401, 403, 410)
"""What the service answers about the token; to a tool it would mean that the person is not signed in."""
Sentence = Mapping[str, str]
"""In both languages of the tools' pages."""
NO_SERVICE = {
    "en": "This server was not told where the hub's service is. Start it anew from the hub's Home page.",
    "zh_CN": "此服务器不知道 hub 的服务在哪里。请在 hub 首页重新启动它。",
}
AWAY = {
    "en": "The hub's service does not answer now. Nothing was changed; try again in a minute.",
    "zh_CN": "hub 的服务暂时没有应答，没有作任何更改。请一分钟后再试。",
}
WRONG = {
    "en": "The request is not right: it says for how many seconds, and why in words.",
    "zh_CN": "请求有误：应写明多少秒，并用文字说明原因。",
}


class Refusal(Exception):
    """Why something is not to be had; a status and a code for programs, a sentence for a person."""

    def __init__(self, status: int, code: str, sentence: str):
        super().__init__(sentence)
        self.status = status
        self.code = code
        self.sentence = sentence


class Desk:
    """Where tools ask. ``report`` tells the service at once that a warning was shown."""

    def __init__(self, standing: Standing, way: Way | None, report: Callable[[float], Awaitable[None]]):
        self.standing = standing
        self._way = way
        self._report = report
        self._shown: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def view(self) -> dict[str, Any]:
        """Return how things stand."""
        return self.standing.view()

    async def keep(self, body: Mapping[str, Any], language: str) -> dict[str, Any]:
        """Keep the server though it is idle; ``language`` is the reader's. Raises `Refusal`."""
        seconds, reason = body.get("seconds"), body.get("reason", "")
        right = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds < math.inf
        if not right or not isinstance(reason, str) or len(reason) > LONGEST_REASON:
            raise Refusal(400, "bad_request", WRONG[language])
        return await self._ask("keep", language, seconds=seconds, reason=reason)

    async def release(self, language: str) -> dict[str, Any]:
        """Give the GPUs back. Raises `Refusal`."""
        return await self._ask("release", language)

    def seen(self, warning_at: Any) -> None:
        """A tool has shown a warning to a person. Only the one in force is told, and once."""
        warning = self.standing.warning
        if warning is None or warning["at"] != warning_at or warning_at == self._shown:
            return
        self._shown = warning_at
        task = asyncio.ensure_future(self._report(float(warning_at)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, what: str, language: str, **wish: Any) -> dict[str, Any]:
        if self._way is None:
            raise Refusal(503, "no_service", NO_SERVICE[language])
        try:
            answer = await self._way.ask(what, language, **wish)
        except OSError:
            raise Refusal(503, "unavailable", AWAY[language]) from None
        if answer.status >= 300:
            raise _refusal(answer, AWAY[language])
        if "status" in answer.said:
            self.standing.take(answer.said["status"])
        return self.view()


def _refusal(answer: Answer, otherwise: str) -> Refusal:
    error = answer.said.get("error")
    if not isinstance(error, Mapping) or not isinstance(error.get("message"), str):
        return Refusal(503, "unavailable", otherwise)
    return Refusal(409 if answer.status in OURS else answer.status, str(error.get("code", "")), error["message"])
