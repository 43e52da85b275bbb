"""Kernels' websockets over lines that are cut: every message once, in order, either way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_server.services.kernels.connection.base import deserialize_msg_from_ws_v1, serialize_msg_to_ws_v1
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from mlabhub_proxies import kernels
from mlabhub_proxies.kernels import Conversation
from tests.cutline import CutLine
from tests.extensions.server import BASE_URL, TOKEN, JupyterServer

PROTOCOL = "v1.kernel.websocket.jupyter.org"
COUNT = "import time\nfor i in range({0}):\n    print(i, flush=True)\n    time.sleep(0.1)"


class Socket:
    """What JupyterLab's side does: counts what came, keeps what is not confirmed."""

    def __init__(self, line: CutLine, kernel: str) -> None:
        self.name = uuid.uuid4().hex
        self.session = uuid.uuid4().hex
        self.seen = 0
        self.printed: list[str] = []
        self.idle: set[str] = set()
        self._line = line
        self._kernel = kernel
        self._socket: WebSocketClientConnection | None = None
        self._dead: list[WebSocketClientConnection] = []

    async def connect(self) -> int:
        """Connect, again or for the first time; return how many of our messages the server has."""
        asked = f"session_id={self.session}&mlabhub_socket={self.name}&mlabhub_seen={self.seen}"
        address = f"ws://127.0.0.1:{self._line.port}{BASE_URL}api/kernels/{self._kernel}/channels?{asked}"
        if self._socket:
            self.forget()
        request = HTTPRequest(address, headers={"Authorization": f"token {TOKEN}"})
        self._socket = await websocket_connect(request, subprotocols=[PROTOCOL])
        first = await asyncio.wait_for(self._socket.read_message(), 20)
        assert isinstance(first, str)
        taken: int = json.loads(first)["taken"]
        return taken

    async def run(self, code: str) -> str:
        """Run code; return the message's id."""
        name = uuid.uuid4().hex
        header = {
            "msg_id": name,
            "msg_type": "execute_request",
            "session": self.session,
            "username": "",
            "version": "5.3",
        }
        content = {"code": code, "silent": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        assert self._socket
        await self._socket.write_message(serialize_msg_to_ws_v1(message, "shell", _pack), binary=True)
        return name

    async def read(self, *, until: int = 0, idle: str = "") -> None:
        """Read until so many lines are printed, or a run has ended."""
        while len(self.printed) < until or (idle and idle not in self.idle):
            await self.read_one()

    async def read_one(self) -> None:
        """Read one message; fail if the line is cut."""
        assert self._socket
        data = await asyncio.wait_for(self._socket.read_message(), 20)
        if data is None:
            raise ConnectionError
        if isinstance(data, str):
            return  # a confirmation
        self.seen += 1
        _, parts = deserialize_msg_from_ws_v1(data)
        header, parent, _, content = (json.loads(part) for part in parts[:4])
        if header["msg_type"] == "stream":
            self.printed += content["text"].split()
        if header["msg_type"] == "status" and content["execution_state"] == "idle":
            self.idle.add(parent["msg_id"])

    async def drain(self) -> None:
        """Read what arrives until the line is cut."""
        with contextlib.suppress(ConnectionError):
            while True:
                await self.read_one()

    def forget(self) -> None:
        """Read no more, without a word."""
        assert self._socket
        self._dead.append(self._socket)
        self._socket = None

    async def close(self) -> None:
        """Close as a page does that is closed, and what it had taken for dead."""
        for socket in filter(None, (self._socket, *self._dead)):
            protocol: Any = socket.protocol
            socket.close(1001)
            await asyncio.sleep(0.1)
            if protocol:
                protocol.stream.close()
        await asyncio.sleep(0.1)


def _pack(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server."""
    one = JupyterServer(tmp_path_factory.mktemp("kernels"))
    yield one
    one.close()


@pytest.fixture
def line(server: JupyterServer) -> Iterator[CutLine]:
    """Return the line to it."""
    line = CutLine(server.port)
    yield line
    line.close()


@pytest.fixture
def kernel(server: JupyterServer) -> Iterator[str]:
    """Start a kernel."""
    with server.client() as client:
        name: str = client.post("api/kernels", json={"name": "python3"}).json()["id"]
        yield name
        client.delete(f"api/kernels/{name}")


@pytest.mark.long
@pytest.mark.parametrize("how", ["dropped", "stalled"])
async def test_nothing_is_lost_or_doubled(line: CutLine, kernel: str, how: str) -> None:
    """Two pages on one kernel; the line is cut three times under both."""
    pages = [Socket(line, kernel), Socket(line, kernel)]
    assert [await page.connect() for page in pages] == [0, 0]
    running = await pages[0].run(COUNT.format(40))
    await pages[0].read(until=3)
    for _ in range(3):
        await CUTS[how](line, pages)
        assert [await page.connect() for page in pages] == [1, 0]
        await pages[0].read(until=len(pages[0].printed) + 3)
    for page in pages:
        await page.read(idle=running)
        assert page.printed == [str(number) for number in range(40)]
        await page.close()


async def drop(line: CutLine, pages: list[Socket]) -> None:
    """Cut the line for a moment; both ends notice."""
    line.drop()
    for page in pages:
        await page.drain()
    await asyncio.sleep(0.5)
    line.restore()


async def forget(line: CutLine, pages: list[Socket]) -> None:
    """Let the pages take their connections for dead while the server still writes into them."""
    await asyncio.sleep(0.5)
    for page in pages:
        page.forget()


CUTS = {"dropped": drop, "stalled": forget}


@pytest.mark.long
async def test_a_flood_while_away_is_told_whole(line: CutLine, kernel: str) -> None:
    """Jupyter's limit of output a second is for pages that look on; what waits for one is no flood."""
    page = Socket(line, kernel)
    await page.connect()
    running = await page.run("import time\ntime.sleep(1)\nfor i in range(5): print('x' * 10**6, flush=True)")
    await page.read_one()  # so it runs
    line.drop()
    await page.drain()
    await asyncio.sleep(3)
    line.restore()
    await page.connect()
    await page.read(idle=running)
    assert sum(map(len, page.printed)) == 5 * 10**6
    await page.close()


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "KEPT_BYTES", 100)
    conversation = Conversation(seen=7)
    for number in range(8, 28):
        conversation.keep(b"%010d" % number, True)
    assert [int(message) for message, _ in conversation.after(seen=24)] == [25, 26, 27]
    assert [int(message) for message, _ in conversation.after(seen=7)] == list(range(18, 28))
    assert conversation.lost_before(seen=7) == 10
    assert conversation.lost_before(seen=17) == 0
    assert list(conversation.after(seen=27)) == list(conversation.after(seen=99)) == []
