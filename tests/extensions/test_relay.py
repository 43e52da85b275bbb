"""A websocket that carries a socket's bytes: both ways, whole, and never more than a little of them at once."""

from __future__ import annotations

import asyncio
import base64
import os
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tornado import httpserver, netutil, web
from tornado.websocket import WebSocketClientConnection, websocket_connect

from mlabhub_proxies.relay import Relay

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BLOCK = bytes(range(256)) * 256
MOST_HELD = 12 * 2**20
"""What one stuck connection may take in all: buffers of the kernel for the most part, on both of its sockets."""


class Carrier(Relay):
    """The relay without a login."""

    def initialize(self, socket: str) -> None:
        """Know the tool's socket."""
        self.unix_socket = socket

    async def open(self) -> None:
        """Connect."""
        await self.proxy_open("localhost", 0)


class Bench:
    """A relay between a tool of the test and whoever connects."""

    def __init__(self, folder: Path) -> None:
        self.socket = str(folder / "tool")
        app = web.Application([("/", Carrier, {"socket": self.socket})])
        sockets = netutil.bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        self.front = httpserver.HTTPServer(app)
        self.front.add_sockets(sockets)
        self.tool: asyncio.AbstractServer | None = None
        self.talks: set[asyncio.Task[None]] = set()
        self.deaf: list[asyncio.StreamWriter] = []
        self.lines: list[WebSocketClientConnection] = []

    async def serve(self, talk: Talk) -> None:
        """Be the tool."""

        async def talk_to_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await talk(reader, writer)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.talks.add(asyncio.create_task(talk_to_the_end(reader, writer)))

        self.tool = await asyncio.start_unix_server(begin, self.socket)

    async def close(self) -> None:
        """End everything."""
        self.front.stop()
        for line in self.lines:
            line.close()
        for writer in self.deaf:
            writer.transport.abort()
        await self.front.close_all_connections()
        if self.tool is not None:
            self.tool.close()
        for talk in self.talks:
            talk.cancel()
        await asyncio.gather(*self.talks)
        await asyncio.sleep(0.05)  # transports close in the loop's next rounds

    async def connect(self) -> WebSocketClientConnection:
        """Return a browser's end."""
        line = await websocket_connect(f"ws://127.0.0.1:{self.port}/")
        self.lines.append(line)
        return line

    async def connect_deaf(self) -> asyncio.StreamWriter:
        """Return the end of a browser that never reads after its handshake."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        self.deaf.append(writer)
        return writer


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """Return a relay, gone at the end with its tool."""
    one = Bench(tmp_path)
    yield one
    await one.close()


async def has_stopped(count: Callable[[], int]) -> int:
    """Wait until a count does not grow any more, and return it."""
    before = -1
    while (now := count()) != before:
        before = now
        await asyncio.sleep(0.25)
    return now


async def test_bytes_pass_both_ways_and_text_comes_back_without_the_tool(bench: Bench) -> None:
    async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(4096):
            writer.write(said)

    await bench.serve(repeat)
    line = await bench.connect()
    await line.write_message("echo")
    assert await line.read_message() == "echo"
    await line.write_message(BLOCK, binary=True)
    heard = b""
    while len(heard) < len(BLOCK):
        piece = await line.read_message()
        assert isinstance(piece, bytes)
        heard += piece
    assert heard == BLOCK
    await line.write_message("x" * 4000)
    assert await line.read_message() == "x" * 125
    line.close()


async def test_a_browser_that_does_not_read_stops_a_tool_that_draws(bench: Bench) -> None:
    sent = 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        while True:
            writer.write(BLOCK)
            await writer.drain()
            sent += len(BLOCK)

    await bench.serve(pour)
    await bench.connect_deaf()
    assert 0 < await has_stopped(lambda: sent) < MOST_HELD


async def test_a_tool_that_does_not_read_stops_a_browser_that_sends(bench: Bench) -> None:
    async def be_deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    await bench.serve(be_deaf)
    writer = await bench.connect_deaf()
    frame = b"\x82\xff" + struct.pack(">Q", len(BLOCK)) + bytes(4) + BLOCK
    sent = 0

    async def flood() -> None:
        nonlocal sent
        while True:
            writer.write(frame)
            await writer.drain()
            sent += len(frame)

    flooding = asyncio.create_task(flood())
    assert 0 < await has_stopped(lambda: sent) < MOST_HELD
    flooding.cancel()
    await asyncio.gather(flooding, return_exceptions=True)


async def test_an_end_closes_the_other(bench: Bench) -> None:
    gone = asyncio.Event()

    async def leave_when_told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1) == b"":
            gone.set()

    await bench.serve(leave_when_told)
    line = await bench.connect()
    await line.write_message(b"x", binary=True)
    assert await line.read_message() is None
    line = await bench.connect()
    line.close()
    await asyncio.wait_for(gone.wait(), 5)


async def test_no_tool_there(bench: Bench) -> None:
    line = await bench.connect()
    assert await line.read_message() is None
    assert line.close_code == 1001
