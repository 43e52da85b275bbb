"""What a server writes, for its owner and for administrators: the end of it, and what comes from then on.

Guarantees: somebody else's server is not there; what is shown is plain text, so many lines and bytes at most, however
fast a server writes, and says so where some were left out; one who follows costs one reading connection, which ends
with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from mlabhub.core.log_text import LineReader, last_lines
from mlabhub.errors import NotFound
from mlabhub.inventory import Backend
from mlabhub.inventory.backend import NO_LOG
from mlabhub.service.views import Person

MOST_LINES = 2000
USUAL_LINES = 200
MOST_BYTES = 2**18
"""So much of what was written is looked at, and sent at once."""
GATHERED_S = 0.25
"""What comes within this time is sent together."""
HEARTBEAT_S = 15.0
SOON_S = 1.0
"""Who follows a server that has written nothing yet is told so after this time."""


@dataclass(frozen=True)
class LogView:
    """Lines of a log. ``skipped``: there were more before them, which are left out; ``over``: no more will come."""

    lines: tuple[str, ...]
    skipped: bool = False
    over: bool = False


class ServerLogs:
    """Reads logs for people."""

    def __init__(self, backend: Backend):
        self._backend = backend

    async def tail(self, person: Person, user: str, server: str, most: int = USUAL_LINES) -> LogView:
        """Return the last lines of a server. Raises `NotFound`, or `Unavailable` if the backend cannot be asked."""
        _check(person, user)
        held = _Held()
        async with aclosing(self._backend.log(user, server)) as pieces:  # type: ignore[type-var]
            await held.fill(pieces)
        data, cut = held.take()
        lines = last_lines(data, min(most, MOST_LINES) + 1)
        return LogView(lines[-most:] if most else (), skipped=cut or len(lines) > most)

    async def follow(
        self, person: Person, user: str, server: str, most: int, gone: asyncio.Future[None]
    ) -> AsyncIterator[LogView]:
        """Yield the last lines, and then what is new, at least each `HEARTBEAT_S`: nothing where nothing is.

        It ends with the server, and when the reader is ``gone``. Raises as `tail` does, before the first.
        """
        _check(person, user)
        held, reader, wait, first = _Held(), LineReader(), SOON_S, True
        reading = asyncio.create_task(held.fill(self._backend.log(user, server, follow=True)), name="server's log")
        try:
            while not reading.done():
                await held.wait(reading, gone, wait)
                if gone.done():
                    return
                data, cut = held.take()
                lines = tuple(reader.feed(data) + (reader.end() if reading.done() else []))
                kept = lines[-(most if first else MOST_LINES) :] if most or not first else ()
                yield LogView(kept, skipped=cut or len(kept) < len(lines))
                wait, first = HEARTBEAT_S, first and not lines
            reading.result()
            data, _ = held.take()
            yield LogView(tuple(reader.feed(data) + reader.end())[-MOST_LINES:], over=True)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class _Held:
    """What came and was not taken yet: the end of it, if that is much."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._cut = False
        self._came = asyncio.Event()

    async def fill(self, pieces: AsyncIterator[bytes]) -> None:
        """Hold what comes, until nothing more does."""
        async for piece in pieces:
            self._data += piece
            if len(self._data) > 2 * MOST_BYTES:
                self._shorten()
            self._came.set()

    async def wait(self, reading: asyncio.Task[None], gone: asyncio.Future[None], seconds: float) -> None:
        """Wait until something came, and some more may have; or for so long. Raises what reading failed of."""
        coming = asyncio.ensure_future(self._came.wait())
        either: set[asyncio.Future[Any]] = {coming, reading, gone}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        coming.cancel()
        if self._came.is_set() and not reading.done():
            await asyncio.wait({reading}, timeout=GATHERED_S)
        if reading.done():
            reading.result()

    def take(self) -> tuple[bytes, bool]:
        """Return it, whole lines alone if it is the end of more, and whether it is."""
        self._shorten()
        data, cut = bytes(self._data), self._cut
        self._data.clear()
        self._cut = False
        self._came.clear()
        return (data.partition(b"\n")[2] if cut else data), cut

    def _shorten(self) -> None:
        if len(self._data) > MOST_BYTES:
            del self._data[:-MOST_BYTES]
            self._cut = True


def _check(person: Person, user: str) -> None:
    if not (person.admin or person.name == user):
        raise NotFound(NO_LOG)
