"""What a start is doing, in words, for everyone who watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from mlabhub.messages import Message


@dataclass(frozen=True)
class Step:
    """One step; ``percent`` of the whole is done when it begins."""

    percent: int
    message: Message


class Progress:
    """The steps of one start so far; any number may follow, from the beginning."""

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._changed = asyncio.Event()

    def add(self, percent: int, message: Message) -> None:
        """Begin a step."""
        self._steps.append(Step(percent, message))
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self) -> AsyncIterator[Step]:
        """Yield every step; the hub stops asking when the start is over."""
        at = 0
        while True:
            while at < len(self._steps):
                yield self._steps[at]
                at += 1
            await self._changed.wait()
