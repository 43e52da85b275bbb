"""What passes between a browser and a tool: answers of any size, headers, and their ends."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import psutil
import pytest

from mlabhub_proxies.passing import below, without_token
from tests.extensions.server import JupyterServer


@pytest.mark.long
def test_an_answer_passes_as_it_comes(server: JupyterServer, tmp_path: Path) -> None:
    process = psutil.Process(server.process.pid)
    mark = tmp_path / "mark"
    with server.client() as client:
        client.get("echo/").raise_for_status()
        before = process.memory_info().rss
        with client.stream("GET", "echo/large", params={"mib": 4000, "mark": str(mark)}) as answer:
            chunks = answer.iter_raw(1024 * 1024)
            for _ in range(120):
                next(chunks)
            # Who does not read is not sent to: what is under way is in the buffers of three sockets.
            time.sleep(0.2)
            assert int(mark.read_text()) < 150
        assert process.memory_info().rss - before < 30 * 1024 * 1024
        # Nobody reads any more, so the tool is not asked any more.
        before_it_stops = ""
        while (now := mark.read_text()) != before_it_stops or not now:  # it is empty while it is written
            before_it_stops = now
            time.sleep(0.5)
        assert int(now) < 1000
        assert client.get("echo/").status_code == 200


def test_headers_of_an_answer(server: JupyterServer) -> None:
    with server.client() as client:
        answer = client.get("echo/leads", params={"to": "/x?y=%2F"})
        assert answer.status_code == 302
        assert answer.headers["location"] == "/user/alice/echo/x?y=%2F"
        assert (b"Content-Disposition", "attachment; filename=图.txt".encode()) in answer.headers.raw
        sent = {"X-Name": "图".encode(), "X-Odd": b"\xff"}
        asked = client.get("echo/x", headers=sent).json()["headers"]
        assert asked["X-Name"].encode("latin-1") == sent["X-Name"]
        # Signing in by a token sets a cookie of this server's own, after those of the tool.
        assert answer.headers.get_list("set-cookie")[:2] == ["one=1; Path=/", "two=2; Path=/"]
        asked = client.request("REPORT", "echo/x").status_code, client.head("echo/x")
        assert asked[0] == 405
        assert int(asked[1].headers["content-length"]) > 100
        asked = client.request("DELETE", "echo/x", content=b"a body").json()
        assert asked["headers"]["Content-Length"] == "6"
        assert asked["headers"]["X-Forwarded-Prefix"] == "/user/alice/echo"


def test_an_answer_that_has_not_changed(server: JupyterServer) -> None:
    with server.client() as client:
        answer = client.get("echo/same", headers={"If-None-Match": "*"})
    assert answer.status_code == 304
    assert not answer.content


def test_a_body_that_waits_to_be_asked_for(server: JupyterServer) -> None:
    with server.client(headers={"Expect": "100-continue"}) as client:
        asked = client.post("echo/x", content=b"a body").json()
    assert asked["headers"]["Content-Length"] == "6"
    assert "Expect" not in asked["headers"]


@pytest.mark.long
def test_a_large_body(server: JupyterServer) -> None:
    with server.client() as client:
        asked = client.put("echo/x", content=bytes(64 * 1024 * 1024)).json()
    assert asked["headers"]["Content-Length"] == str(64 * 1024 * 1024)


def test_a_tool_that_does_not_answer(server: JupyterServer) -> None:
    with server.client() as client:
        answer = client.get("echo/cut?after=0")
    assert answer.status_code == 502
    assert answer.json()["error"] == {"code": "tool_silent", "message": "Echo does not answer."}


@pytest.mark.parametrize("query", ["after=10&length=yes", "after=10"])
def test_an_answer_that_is_cut_off_is_seen_to_be(server: JupyterServer, query: str) -> None:
    with server.client() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(f"echo/cut?{query}")
        assert client.get("echo/").status_code == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"hello",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
        b"HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 204 Nothing\r\nContent-Length: 5\r\n\r\nhello",
    ],
    ids=["none", "upgrade", "status", "two-lengths", "lengths-differ", "name", "body"],
)
def test_an_answer_that_is_none(server: JupyterServer, answer: bytes) -> None:
    with server.client() as client:
        said = client.get("echo/raw", params={"hex": answer.hex()})
        assert (said.status_code, said.json()["error"]["code"]) == (502, "tool_silent")
        assert client.get("echo/").status_code == 200


def test_a_header_that_is_none_is_left_out(server: JupyterServer) -> None:
    answer = (
        b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 <b>\xff\r\nX-Odd: a\x01b\r\nX-Tab: a\tb\r\nContent-Length: 1\r\n\r\nx"
    )
    with server.client() as client:
        said = client.get("echo/raw", params={"hex": answer.hex()})
    assert (said.status_code, said.reason_phrase, said.text) == (200, "Unknown", "x")
    assert said.headers["X-Tab"] == "a\tb"
    assert "X-Odd" not in said.headers


@pytest.mark.parametrize("location", ["x", "../x", "//evil.example/", "https://evil.example/", ""])
def test_only_a_path_of_the_tool_is_made_longer(location: str) -> None:
    assert below("/user/alice/echo", location) == location


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("", ""),
        ("a=b+c%2B&d", "a=b+c%2B&d"),
        ("token=x", ""),
        ("a=%2F&token=x&b=", "a=%2F&b="),
        ("tokens=1&my_token=2&a=%20", "tokens=1&my_token=2&a=%20"),
        ("%74oken=x&a=1", "a=1"),
        ("a=1;token=x", "a=1;token=x"),
    ],
)
def test_the_token_is_taken_out(query: str, left: str) -> None:
    assert without_token(query) == left
