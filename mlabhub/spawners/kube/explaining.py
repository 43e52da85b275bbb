"""Ask the service what is short while a pod finds no node, beside the watching.

Guarantees: a start never waits for an answer, and no failure to answer ends one; one question at a time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from mlabhub.errors import MLabError
from mlabhub.messages import Message
from mlabhub.spawners.kube.watching import Sight, StartWatch

AGAIN_SECONDS = 5.0
"""How long until it is asked again where the service knew nothing."""

log = logging.getLogger(__name__)


class Explainer:
    """Asks for one start. ``ask`` returns what is short, None if by the service's count nothing is."""

    def __init__(self, watch: StartWatch, ask: Callable[[], Awaitable[Message | None]]):
        self._watch = watch
        self._ask = ask
        self._asking: asyncio.Task[None] | None = None
        self._asked_at = float("-inf")

    def note(self, sight: Sight) -> None:
        """Ask if that look found something to ask."""
        idle = self._asking is None or self._asking.done()
        if sight.short and idle and time.monotonic() >= self._asked_at + AGAIN_SECONDS:
            self._asked_at = time.monotonic()
            self._asking = asyncio.ensure_future(self._explain())

    def close(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    async def _explain(self) -> None:
        try:
            why = await self._ask()
        except MLabError as error:
            log.warning("What is short is not known: %s", error.log_text)
            return
        if why is not None:
            self._watch.explain(why)
