"""`mlabhub doctor SERVER` before it asks anything, and against a server whose owner has made it a trap."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress

import pytest

from mlabhub.cli import doctor_probes
from mlabhub.cli.address import check_url, is_secure
from mlabhub.cli.doctor_probes import Target
from mlabhub.cli.doctor_server import ask, split_server
from mlabhub.cli.findings import Check
from mlabhub.cli.hub_api import Hub
from mlabhub.errors import InvalidConfiguration, MLabError, NotFound, Unavailable

HUB = Hub("http://127.0.0.1:9/hub/api/", "http://127.0.0.1:9/", "x", here=True)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://lab.example.org/user/alice/", True),
        ("http://localhost:8000/", True),
        ("http://alice.localhost/", True),
        ("http://127.0.0.1:8000/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:8000/", True),
        ("http://lab.example.org/", False),
        ("http://10.1.2.3/", False),
        ("http://localhost.example.org/", False),
    ],
)
def test_what_a_browser_takes_for_a_secure_context(url: str, secure: bool) -> None:
    assert is_secure(url) is secure


@pytest.mark.parametrize(
    ("server", "owner", "name"),
    [("alice/", "alice", ""), ("alice/train", "alice", "train"), ("a@b.org/My_work", "a@b.org", "My_work")],
)
def test_a_server_of_somebody(server: str, owner: str, name: str) -> None:
    assert split_server(server, HUB) == (owner, name)


@pytest.mark.parametrize("server", ["", "/", "/x", "a/b/c", "//"])
def test_what_is_no_server(server: str) -> None:
    with pytest.raises(InvalidConfiguration, match="is no server"):
        split_server(server, HUB)


def test_no_hub_to_ask_whose_it_is() -> None:
    with pytest.raises(Unavailable, match="Start it with `mlabhub up`"):
        split_server("train", HUB)


@pytest.mark.parametrize(
    "url", ["", "lab.example.org", "ftp://lab/", "http://", "http://lab:99999/", "http://lab/?a=b"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="no address of a hub"):
        check_url(url)


def test_nobody_answers() -> None:
    with pytest.raises(Unavailable, match="--url names another one"):
        asyncio.run(ask(Target("http://127.0.0.1:9/user/alice/", "x", None)))


GREETING = json.dumps({"server": "/user/mallory/", "findings": []})
FINDING = {"name": "Disk", "status": "ok", "found": "fine", "fix": ""}


def ask_trap(greeting: str, findings: str, other: str = "") -> list[Check]:
    """Ask a server that answers so: the doctor's GET, its POST, and everything else, which has no end without text."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, path, *_ = (await reader.readuntil(b"\r\n\r\n")).split()
            said = (greeting if method == b"GET" else findings) if path.endswith(b"/doctor") else other
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
            writer.write(said.encode())
            while not said:
                writer.write(b"x" * 100_000)
                await writer.drain()
                await asyncio.sleep(0.01)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def run() -> list[Check]:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            return await ask(Target(f"http://127.0.0.1:{port}/user/mallory/", "x", None))
        finally:
            server.close()

    return asyncio.run(run())


def test_a_server_cannot_give_the_terminal_orders() -> None:
    trap = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\n\u202eeslaf"
    found = ask_trap(GREETING, json.dumps({"findings": [dict.fromkeys(FINDING, trap) | {"status": "ok"}]}), "{}")
    assert all(text.isprintable() for text in (found[0].name, found[0].found, found[0].fix))
    with pytest.raises(NotFound) as refused:
        ask_trap(json.dumps({"server": f"/user/{trap}/"}), "", "{}")
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("greeting", ["[]", "{}", "[" * 100_000, "null", "\x00"])
def test_a_greeting_that_is_none(greeting: str) -> None:
    with pytest.raises(MLabError):
        ask_trap(greeting, "{}", "{}")


@pytest.mark.parametrize(
    "findings",
    [
        *("[]", "null", "[" * 100_000, '{"findings": null}', '{"findings": [1]}', '{"findings": ["ok"]}'),
        '{"findings": []}',
        '{"findings": [{"status": "ok"}]}',
        json.dumps({"findings": [FINDING | {"status": []}]}),
        json.dumps({"findings": [FINDING | {"name": 1}]}),
    ],
)
@pytest.mark.parametrize("other", ["{}", '{"port": Infinity, "time": 1e999, "path": []}', "[" * 100_000])
def test_findings_that_are_none(findings: str, other: str) -> None:
    with pytest.raises(Unavailable):
        ask_trap(GREETING, findings, other)


def test_answers_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_probes, "PATIENCE_S", 0.3)
    began = time.monotonic()
    assert ask_trap(GREETING, json.dumps({"findings": [FINDING]}))
    with pytest.raises(Unavailable):
        ask_trap("", "")
    assert time.monotonic() - began < 5
