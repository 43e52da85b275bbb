"""Streams of server-sent events: what a person may know of the queue, and how far a launch is, whenever it changed.

Guarantees: a stream ends when its reader goes, when its reader does not read, and after `LONGEST_S`, so that nobody
follows with rights that they lost meanwhile (browsers come back by themselves); each person has a bounded number of
them; nothing is computed while nothing changed, but for one look a heartbeat.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

from tornado.iostream import StreamClosedError

from mlabhub.errors import MLabError, Unavailable
from mlabhub.messages import N_, Message
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.json_views import to_json

HEARTBEAT_S = 15.0
SHORTEST_S = 0.5
"""Between two looks of one stream."""
LONGEST_S = 300.0
RETRY_MS = 2000
"""After how long a browser comes back."""
STALLED_S = 30.0
MOST_OF_PERSON = 8
MOST = 2000
MOST_ENTRIES = 200
"""Of others' entries, the first so many are sent: each change sends all of them again, to everybody who follows."""

OVER = ("ended", "failed", "left", "given_back", "refused")

Look = Callable[[], Awaitable[tuple[int, bytes, bool]]]
"""Returns the number of the change that an answer stands on, the answer, and whether it is the last one."""


class TooManyStreams(MLabError):
    """A person follows more than they can read."""

    code = "too_many_streams"
    status = 429


class EventsHandler(ApiHandler):
    """A stream of one kind of event to one person."""

    open_streams: ClassVar[Counter[tuple[int, str]]] = Counter()
    event = "queue"

    def initialize(self) -> None:
        """Prepare to learn that the reader is gone."""
        super().initialize()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_connection_close(self) -> None:
        """End with the reader."""
        super().on_connection_close()
        self._leave()

    def on_finish(self) -> None:
        """Wait for nothing any more."""
        self._leave()

    def _leave(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    async def follow(self, look: Look) -> None:
        """Send what ``look`` returns whenever it is something else than before."""
        with self.place():
            await self._follow(look)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take one of the places that there are for streams. Raises `TooManyStreams` or `Unavailable`."""
        place = (id(self.application), self.person.name)
        self._check_room(place)
        self.open_streams[place] += 1
        try:
            with suppress(StreamClosedError):
                yield
        finally:
            self.open_streams[place] -= 1
            if not self.open_streams[place]:
                del self.open_streams[place]

    def _check_room(self, place: tuple[int, str]) -> None:
        if self.open_streams[place] >= MOST_OF_PERSON:
            raise TooManyStreams(
                Message.of(
                    N_("You follow {most} streams already. Close one of them, or ask again from time to time instead."),
                    most=MOST_OF_PERSON,
                )
            )
        if self.open_streams.total() >= MOST:
            raise Unavailable(N_("Too many people follow just now. Ask again from time to time instead."))

    async def _follow(self, look: Look) -> None:
        loop = asyncio.get_running_loop()
        began = spoke = loop.time()
        number, sent, last = await look()  # what is refused is refused before the stream begins
        await self.begin(sent)
        while not last and (left := LONGEST_S - (loop.time() - began)) > 0:
            await self._pause(number, min(left, HEARTBEAT_S - (loop.time() - spoke)))
            if self.gone.done():
                return
            number, told, last = await self._look_again(look, number, sent)
            if told != sent:
                await self.tell(told)
            elif loop.time() - spoke >= HEARTBEAT_S:
                await self.tell(None)
            else:
                continue
            sent, spoke = told, loop.time()

    async def begin(self, data: bytes) -> None:
        """Begin the stream with its first event. Raises `StreamClosedError`."""
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        await self._send(f"retry: {RETRY_MS}\n".encode() + self._event(data))

    async def tell(self, data: bytes | None) -> None:
        """Send an event, or for None that the stream goes on. Raises `StreamClosedError`."""
        await self._send(b":\n\n" if data is None else self._event(data))

    async def _look_again(self, look: Look, number: int, sent: bytes) -> tuple[int, bytes, bool]:
        """Look; what cannot be told for a while keeps nobody from following."""
        try:
            return await look()
        except Unavailable:
            return number, sent, False

    async def _pause(self, number: int, at_most: float) -> None:
        """Wait for a change after ``number``, or for the heartbeat, or until the reader is gone."""
        changes = self.world.changes
        await asyncio.wait({self.gone}, timeout=min(SHORTEST_S, max(0.0, at_most)))
        if changes.number == number and not self.gone.done():
            futures = {self.gone, changes.next()}
            left = max(0.05, at_most - SHORTEST_S)
            await asyncio.wait(futures, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    async def _send(self, data: bytes) -> None:
        """Write; a reader that does not read is left. Raises `StreamClosedError`."""
        self.write(data)
        try:
            await asyncio.wait_for(self.flush(), STALLED_S)
        except asyncio.TimeoutError:
            self._leave()
            self.detach().close()

    def _event(self, data: bytes) -> bytes:
        return b"event: " + self.event.encode() + b"\ndata: " + data + b"\n\n"


class QueueEventsHandler(EventsHandler):
    """``GET queue/events``"""

    async def get(self) -> None:
        """Follow the queue."""

        async def look() -> tuple[int, bytes, bool]:
            number, told = await self.queue_desk.queue_json(self.reader, MOST_ENTRIES)
            return number, told, False

        await self.follow(look)


class LaunchEventsHandler(EventsHandler):
    """``GET launches/ID/events``"""

    event = "launch"

    async def get(self, launch_id: str) -> None:
        """Follow one launch until it is over."""

        async def look() -> tuple[int, bytes, bool]:
            number = self.world.changes.number
            status = await self.queue_desk.status(self.person, launch_id)
            return number, to_json(status), status.state in OVER

        await self.follow(look)
