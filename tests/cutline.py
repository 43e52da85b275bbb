"""A line between a browser and a hub that tests can cut: a TCP proxy that passes, drops or stalls.

Guarantees: while it is cut, not a byte passes; nothing of it is left after `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing sends a reset, as a cable that is plugged in again into another network does."""


class CutLine:
    """A port of this machine that leads to another one, as long as the line is whole."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Lead to a port; `port` is then the one to connect to."""
        self._target, self._host = port, host
        self._flows: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = self._run(self._begin())

    def drop(self) -> None:
        """Break every connection, and refuse new ones."""
        self._run(self._drop())

    def stall(self) -> None:
        """Swallow everything without a word: connections stay open, and nothing arrives."""
        self._run(self._set(flowing=False))

    def freeze(self) -> None:
        """Let what is open now say nothing ever again, without closing it; what is opened from now on is whole."""
        self._run(self._freeze())

    def restore(self, *, kill: bool = False) -> None:
        """Let the line be whole again; with ``kill``, connections that stalled are broken, as after a new address."""
        self._run(self._restore(kill))

    def close(self) -> None:
        """End."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(20)

    async def _begin(self) -> int:
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _set(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _freeze(self) -> None:
        self._flowing.clear()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def _drop(self) -> None:
        self._server.close()
        self._break_all()

    async def _restore(self, kill: bool) -> None:
        if kill:
            self._break_all()
        if not self._server.is_serving():
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._flowing.set()

    async def _close(self) -> None:
        self._server.close()
        self._break_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _break_all(self) -> None:
        for writer in list(self._flows):
            handle = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._flows.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._flowing.wait()
            back, there = await asyncio.open_connection(self._host, self._target)
            self._flows.add(there)
            await asyncio.gather(self._pass(reader, there), self._pass(back, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in filter(None, (writer, there)):
                self._flows.discard(end)
                end.close()
            self._tasks.discard(task)

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass bytes on; what was read when the line stalls goes on when it is whole."""
        wait: Callable[[], Awaitable[Any]] = self._flowing.wait
        try:
            while data := await source.read(65536):
                await wait()
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()
