"""What counts as something that a person did: keys, the pointer, opening a page; nothing that a page does itself."""

from __future__ import annotations

import struct
from datetime import datetime
from typing import Any

import pytest
import websocket
from hypothesis import given
from hypothesis import strategies as st

from mlabhub_proxies import person
from mlabhub_proxies.desktop.messages import ClientMessages
from tests.extensions.server import NAVIGATION, TOKEN, JupyterServer

GREETING = b"RFB 003.008\n\x01\x01"
KEY = struct.pack(">BB2xI", 4, 1, 0x61)
QEMU_KEY = struct.pack(">BBHII", 255, 0, 1, 0x61, 30)
POINTER = struct.pack(">BBHH", 5, 0, 40, 50)
POINTER_OF_MANY = struct.pack(">BBHHB", 5, 0x80, 40, 50, 1)
QUIET = {
    "pixels": struct.pack(">B3xBBBBHHHBBB3x", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0),
    "encodings": struct.pack(">BxH5i", 2, 5, 0, 5, -223, 4, 255),
    "picture": struct.pack(">BBHHHH", 3, 1, 5, 4, 1280, 800),
    "updates": struct.pack(">BBHHHH", 150, 1, 0, 0, 1280, 800),
    "fence": struct.pack(">B3xIB", 248, 1, 4) + b"\x04\x05\xff\x04",
    "size": struct.pack(">BxHHBx", 251, 4, 5, 1) + bytes([5] * 16),
    "power": struct.pack(">BxBB", 250, 1, 4),
    "text": struct.pack(">B3xi", 6, 300) + b"\x04\x05\xff" * 100,
    "text both ways": struct.pack(">B3xi", 6, -300) + b"\x04\x05\xff" * 100,
}
INPUT = {"key": KEY, "key with its place": QEMU_KEY, "pointer": POINTER, "many buttons": POINTER_OF_MANY}


def greeted(greeting: bytes = GREETING) -> ClientMessages:
    """Return a connection that has begun."""
    messages = ClientMessages()
    assert not messages.take(greeting)
    return messages


@pytest.mark.parametrize("message", INPUT.values(), ids=INPUT)
def test_keys_and_pointer_are_a_persons(message: bytes) -> None:
    assert greeted().take(message)
    assert greeted(b"RFB 003.003\n\x01").take(message)


@pytest.mark.parametrize("message", QUIET.values(), ids=QUIET)
def test_pictures_and_clipboard_are_not(message: bytes) -> None:
    messages = greeted()
    assert not messages.take(message)
    assert not messages.take(message)
    assert messages.take(message + KEY), "its end was found"


@given(
    st.lists(st.sampled_from([*QUIET.values()]), max_size=6),
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.sampled_from([*INPUT.values(), b""]),
)
def test_messages_may_come_in_any_pieces(quiet: list[bytes], sizes: list[int], last: bytes) -> None:
    messages, stream, acted = ClientMessages(), GREETING + b"".join(quiet) + last, False
    at = 0
    for turn in range(len(stream)):
        piece = stream[at : at + sizes[turn % len(sizes)]]
        acted = messages.take(piece) or acted
        at += len(piece)
    assert acted == bool(last)


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_whatever_is_sent_is_taken(first: bytes, second: bytes) -> None:
    messages = greeted()
    messages.take(first)
    messages.take(second)


def test_after_a_message_that_nobody_knows_each_piece_begins_one() -> None:
    messages = greeted()
    assert not messages.take(b"\x63" + b"\x04" * 20)
    assert not messages.take(QUIET["picture"])
    assert messages.take(KEY)
    assert not messages.take(b"")


def test_what_is_noted_is_when_and_where() -> None:
    settings: dict[str, Any] = {}
    assert person.ages(settings) == {}
    person.note(settings, "vscode")
    ages = person.ages(settings)
    assert ages.keys() == {"vscode"}
    assert 0 <= ages["vscode"] < 5
    assert settings["last_activity_times"].keys() == {"mlabhub vscode"}


def last_activity(server: JupyterServer) -> datetime:
    with server.client() as client:
        return datetime.fromisoformat(client.get("api/status").json()["last_activity"].replace("Z", "+00:00"))


def connect(server: JupyterServer, path: str) -> websocket.WebSocket:
    address = server.url.replace("http", "ws", 1) + path
    return websocket.create_connection(address, header=[f"Authorization: token {TOKEN}"], timeout=30)


def test_what_pages_do_by_themselves_is_no_activity(server: JupyterServer) -> None:
    with server.client() as client:
        client.get("echo/warm")
        server.wait_for("echo", "ready")
        before = last_activity(server)
        for path in ("api/contents", "api/kernels", "api/sessions", "api/status", "echo/"):
            assert client.get(path).status_code == 200, path
        assert client.post("echo/echo", content=b"x").status_code != 403
    line = connect(server, "echo/echo")
    line.send("x")
    line.close()
    assert last_activity(server) == before


def test_what_a_person_does_is(server: JupyterServer) -> None:
    seen = [last_activity(server)]
    with server.client() as client:
        assert client.get("echo/", headers=NAVIGATION).status_code in (200, 202)
        seen.append(last_activity(server))
        assert client.post("api/contents", json={"type": "directory"}).status_code == 201
        seen.append(last_activity(server))
        assert client.post("mlabhub/api/touched/echo").status_code == 204
        seen.append(last_activity(server))
        assert client.post("mlabhub/api/touched/nothing").status_code == 204
        assert last_activity(server) == seen[-1]
    assert seen == sorted(set(seen))
    with server.stranger() as stranger:
        assert stranger.post("mlabhub/api/touched/echo").status_code == 403
    assert last_activity(server) == seen[-1]


def test_only_keys_and_pointer_of_a_desktop_are_activity(server: JupyterServer) -> None:
    line = connect(server, "desktop-vnc/")
    line.send_binary(GREETING)
    line.send("echo")
    assert line.recv() == "echo"
    before = last_activity(server)
    for message in QUIET.values():
        line.send_binary(message)
    line.send("echo")
    while line.recv() != "echo":
        pass
    assert last_activity(server) == before
    line.send_binary(QUIET["picture"] + KEY)
    line.send("echo")
    while line.recv() != "echo":
        pass
    assert last_activity(server) > before
    line.close()
