"""An event loop whose clock is made: time goes on only when nothing else is to be done, and costs nothing.

Guarantees: no sockets and no threads (what would run in one runs here, a while later); the same coroutine lives through
the same history each time, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class NothingHappens(RuntimeError):
    """Everybody waits for somebody else, for ever."""


class _Pause(selectors.SelectSelector):
    """Waits for the next timer by moving the clock there."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingHappens
        self.loop.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """``now`` is the steady clock; ``slowly`` says how long a call that runs in a thread takes."""

    def __init__(self, slowly: Callable[[], float] = lambda: 0.0) -> None:
        self.now = 0.0
        self.slowly = slowly
        pause = _Pause()
        pause.loop = self
        super().__init__(pause)

    def time(self) -> float:
        """Return the made time."""
        return self.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run it here, after a while."""
        future: asyncio.Future[T] = self.create_future()

        def run() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        pause = self.slowly()
        self.call_later(pause, run) if pause else self.call_soon(run)
        return future


def live(story: Coroutine[Any, Any, T], slowly: Callable[[], float] = lambda: 0.0) -> T:
    """Live through a story."""
    loop = VirtualLoop(slowly)
    try:
        return loop.run_until_complete(story)
    finally:
        left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
