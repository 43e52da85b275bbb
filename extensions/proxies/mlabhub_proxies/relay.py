"""Carrying the bytes of a unix socket in a websocket, and the other way.

Guarantees: a side that does not read is not read for either, so at most a few hundred kilobytes of one connection are
held here, however fast the other side sends and for however long; a browser that has gone without a word is noticed
within two minutes; when one side closes, the other is closed. Text messages are not carried: they come back as they
are, which tells a page how long the line takes without the tool behind it seeing anything.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

PIECE_BYTES = 64 * 1024
LONGEST_ECHO = 125
GONE_SECONDS = 60.0
"""How often a browser is pinged, and how long it may take to answer: on a slow line other things are sent before."""
GOING_AWAY = 1001
_OVER = (OSError, StreamClosedError, WebSocketClosedError)


class Relay(WebSocketHandler):
    """A websocket that carries the bytes of `unix_socket`; goes before the handler it is mixed into."""

    unix_socket: Any
    _writer: asyncio.StreamWriter | None = None
    _outward: asyncio.Task[None] | None = None

    @property
    def ping_interval(self) -> float:
        """How often the browser is asked whether it is there, in seconds."""
        return GONE_SECONDS

    @property
    def ping_timeout(self) -> float:
        """How long it may take to answer, in seconds."""
        return GONE_SECONDS

    async def proxy_open(self, host: str, port: int, proxied_path: str = "") -> None:
        """Connect to the tool and begin to carry."""
        try:
            reader, self._writer = await asyncio.open_unix_connection(self.unix_socket, limit=PIECE_BYTES)
        except OSError:
            self.close(GOING_AWAY)
            return
        self._outward = asyncio.get_running_loop().create_task(self._carry(reader))

    async def _carry(self, reader: asyncio.StreamReader) -> None:
        """Send what the tool says, one piece at a time: the next is read when this one has left."""
        with contextlib.suppress(*_OVER):
            while piece := await reader.read(PIECE_BYTES):
                await self.write_message(piece, binary=True)
        self.close()

    async def on_message(self, message: str | bytes) -> None:
        """Hand over what the browser says; tornado reads the next message when this one has been taken."""
        with contextlib.suppress(*_OVER):
            if isinstance(message, str):
                await self.write_message(message[:LONGEST_ECHO])
            elif self._writer is not None:
                self.passes(message)
                self._writer.write(message)
                await self._writer.drain()

    def passes(self, message: bytes) -> None:
        """Hear what the browser says to the tool."""

    def on_ping(self, data: bytes) -> None:
        """Do nothing: tornado has answered, and a ping is nothing that a person did."""

    def on_close(self) -> None:
        """Close the connection to the tool, whatever is still on its way to it."""
        if self._outward is not None:
            self._outward.cancel()
        if self._writer is not None:
            self._writer.transport.abort()

    def _record_activity(self, *_: Any) -> None:
        """Count nothing: a picture that changes is nothing that a person did."""
