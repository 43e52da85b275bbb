"""Asking a storage that may not answer.

Guarantees: a storage that does not answer keeps a thread, never the server: `within` gives up waiting, and gives up at
once while too many such threads are still waiting. They are no threads of the event loop's own, of which there are few
and without which the server can look up no name.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

Result = TypeVar("Result")

MOST_WAITING = 16

_waiting = threading.BoundedSemaphore(MOST_WAITING)


class NoAnswer(Exception):
    """The storage did not answer in time."""


async def within(seconds: float, function: Callable[..., Result], *arguments: object) -> Result:
    """Call a function in a thread of its own and return what it returns.

    Raises
    ------
    NoAnswer
        If it takes longer. The thread goes on, and ends with the server.
    """
    if not _waiting.acquire(blocking=False):
        raise NoAnswer
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Result] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        _waiting.release()
        with suppress(RuntimeError):  # The loop may have ended meanwhile.
            loop.call_soon_threadsafe(lambda: None if answer.done() else give())

    def work() -> None:
        try:
            value = function(*arguments)
        except Exception as fault:
            settle(partial(answer.set_exception, fault))
        else:
            settle(partial(answer.set_result, value))

    threading.Thread(target=work, daemon=True, name="mlabhub-look").start()
    try:
        return await asyncio.wait_for(answer, seconds)
    except asyncio.TimeoutError:
        raise NoAnswer from None
