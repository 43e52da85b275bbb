"""Shells that outlast cut lines, in a real server with Jupyter's own terminals."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from mlabhub_proxies.shells import MOST_TERMINALS, PIECE, WINDOW
from mlabhub_proxies.tape import DRAW_ANEW, LIMIT, SMALL, Tape
from tests.extensions.server import BASE_URL, NAVIGATION, OURS, TOKEN, JupyterServer

SIGNED_IN = {"Authorization": f"token {TOKEN}"}


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server with terminals."""
    one = JupyterServer(
        tmp_path_factory.mktemp("shells"),
        extensions=OURS | {"jupyter_server_terminals": True},
        environ={"SHELL": "/bin/sh", "PS1": "$ ", "MLABHUB_TOOLS": "terminal", "JUPYTERHUB_USER": "alice"},
    )
    yield one
    one.close()


def start(server: JupyterServer) -> str:
    """Start a shell and return its name."""
    with server.client() as client:
        name: str = client.post("api/terminals", json={}).json()["name"]
    return name


class View:
    """What a page does with a shell."""

    def __init__(self, socket: WebSocketClientConnection) -> None:
        self.socket = socket
        self.tape = ""
        self.drawn = 0
        self.taken = 0
        self.text = ""
        self.missing = 0
        self.ended = False

    async def read(self, until: str = "never printed") -> None:
        """Read until something is printed, or the shell ends."""
        while until not in self.text and not self.ended:
            said = await asyncio.wait_for(self.socket.read_message(), 20)
            assert said is not None, f"the server closed the connection: {self.text[-500:]}"
            await self._take(json.loads(said))

    async def _take(self, said: dict[str, Any]) -> None:
        self.tape = said.get("tape", self.tape)
        self.taken = said.get("taken", self.taken)
        self.ended = said.get("ended", False)
        if "text" in said:
            self.missing += said["start"] - self.drawn
            self.drawn = said["end"]
            self.text += said["text"]
            await self.say(drawn=self.drawn)

    async def say(self, **content: Any) -> None:
        """Send something."""
        await self.socket.write_message(json.dumps(content))


@asynccontextmanager
async def connected(server: JupyterServer, path: str) -> AsyncIterator[WebSocketClientConnection]:
    """Give a websocket, and break it off in the end."""
    address = server.url.replace("http", "ws", 1) + path
    socket = await websocket_connect(HTTPRequest(address, headers=SIGNED_IN))
    try:
        yield socket
    finally:
        socket.close(4000)
        while await socket.read_message() is not None:
            pass


@asynccontextmanager
async def look(server: JupyterServer, name: str, **query: object) -> AsyncIterator[View]:
    """Connect as a page."""
    asked = "&".join(f"{key}={value}" for key, value in {"page": "p", **query}.items())
    async with connected(server, f"mlabhub/terminals/{name}?{asked}") as socket:
        view = View(socket)
        view.drawn = int(str(query.get("drawn", 0))) if str(query.get("drawn", 0)).isdecimal() else 0
        yield view


async def test_a_page_comes_back_to_where_it_was(shells: JupyterServer) -> None:
    name = start(shells)
    async with look(shells, name) as first:
        await first.say(size=[30, 100])
        await first.say(number=1, text="echo o''ne; sleep 0.3; echo t''wo; stty size\r")
        await first.read("one")
    async with look(shells, name, tape=first.tape, drawn=first.drawn) as second:
        await second.say(number=1, text="echo o''ne\r")  # not confirmed for the page, so it says it again
        await second.say(number=2, text="echo th''ree\r")
        await second.read("three")
        whole = first.text + second.text
        assert second.missing == 0
        assert [whole.count(word) for word in ("one", "two", "three", "30 100")] == [1, 1, 1, 1]
        await second.say(number=3, text="exit\r")
        await second.read()
        assert second.ended
    async with look(shells, name, tape=first.tape, drawn=second.drawn) as third:
        await third.read()
        assert third.ended


async def test_a_shell_begins_at_home(shells: JupyterServer) -> None:
    with shells.client() as client:
        names = [client.post("api/terminals", json=body).json()["name"] for body in ({}, {"cwd": "/usr"})]
    for name, folder in zip(names, (str(shells.home), "/usr"), strict=True):
        async with look(shells, name) as view:
            await view.say(number=1, text="echo in:$PWD:\r")
            await view.read(f"in:{folder}:")


async def test_another_shell_of_the_same_name_is_not_taken_for_the_first(shells: JupyterServer) -> None:
    async with look(shells, start(shells), tape="0123456789abcdef", drawn=7) as view:
        await view.read("$ ")
        assert view.ended
        assert not view.text


async def test_a_flood_costs_a_window(shells: JupyterServer) -> None:
    """A page that draws nothing holds neither the shell nor the server's memory."""
    async with look(shells, start(shells)) as view:
        before = psutil.Process(shells.process.pid).memory_info().rss
        await view.say(number=1, text="yes | head -c 4M; touch done\r")
        for _ in range(600):
            if (shells.home / "done").exists():
                break
            await asyncio.sleep(0.05)
        assert (shells.home / "done").exists(), "the shell was slowed down by a page that does not draw"
        assert psutil.Process(shells.process.pid).memory_info().rss - before < 16 * 2**20
        await view.say(number=2, text="echo e''nd\r")
        await view.read("end")
        printed = 6 * 2**20  # each line ends in CR LF on a screen
        assert printed - LIMIT - WINDOW - 2 * PIECE < view.missing < printed
        assert len(view.text) <= LIMIT + WINDOW + 2 * PIECE


async def test_what_makes_no_sense_is_ignored(shells: JupyterServer) -> None:
    async with look(shells, start(shells), drawn="-5", tape="") as view:
        for nonsense in ("", "[", "[]", "null", '{"size": [0, 1e9]}', '{"drawn": 1e300}', '{"number": "1", "text": 5}'):
            await view.socket.write_message(nonsense)
        await view.say(number=1, text="echo st''ill\r")
        await view.read("still")


async def test_no_shell_for_strangers(shells: JupyterServer) -> None:
    address = f"{shells.url}mlabhub/terminals/{start(shells)}".replace("http", "ws", 1)
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(address)
    assert refused.value.code == 403


async def test_jupyterlab_draws_its_terminals_anew(shells: JupyterServer) -> None:
    """JupyterLab's own terminals get everything again when they connect again: it must not stand there twice."""
    name = start(shells)
    async with look(shells, name) as view:
        await view.say(number=1, text="echo o''nce\r")
        await view.read("once")
    async with connected(shells, f"terminals/websocket/{name}") as lab:
        assert json.loads(await lab.read_message() or "") == ["setup", {}]
        kind, text = json.loads(await lab.read_message() or "")
        assert kind == "stdout"
        assert text.startswith(DRAW_ANEW)
        assert text.count("once") == 1


def test_the_page(shells: JupyterServer) -> None:
    with shells.client(headers=NAVIGATION) as browser, shells.stranger(headers=NAVIGATION) as stranger:
        page = browser.get("terminal/")
        assert page.status_code == 200
        assert "Terminal · alice" in page.text
        answer = browser.get("terminal?lang=zh_CN")
        assert (answer.status_code, answer.headers["location"]) == (302, f"{BASE_URL}terminal/?lang=zh_CN")
        assert "/login" in stranger.get("terminal").headers["location"]


@pytest.mark.long
def test_how_many_shells(shells: JupyterServer) -> None:
    with shells.client() as client:
        running = len(client.get("api/terminals").json())
        for _ in range(MOST_TERMINALS - running):
            assert client.post("api/terminals", json={}).status_code == 200
        refused = client.post("api/terminals", json={})
        assert refused.status_code == 409
        assert "32 terminals run already" in refused.json()["message"]
        for terminal in client.get("api/terminals").json()[2:]:
            client.delete(f"api/terminals/{terminal['name']}")


def test_a_tape_keeps_the_end() -> None:
    tape = Tape()
    said = ""
    for number in range(3 * LIMIT // 1000):
        piece = f"{number:8}" * (number % 250)
        tape.append(piece)
        said += piece
    assert tape.end == len(said)
    start_, text = tape.read(0, len(said))
    assert LIMIT - 2 * SMALL <= len(text) <= LIMIT
    assert said[start_:] == text
    for position in (start_, tape.end - 12345, tape.end - 1, tape.end):
        assert tape.read(position, 100) == (position, said[position : position + 100])
    assert "".join(tape.copy()) == DRAW_ANEW + text
    assert not Tape().copy()
