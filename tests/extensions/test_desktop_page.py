"""The page of the desktop, with no desktop behind it: who gets it, when, and what it may load."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tornado.httpclient import HTTPClientError
from tornado.websocket import websocket_connect

from mlabhub_proxies.desktop.session import INSTEAD_OF_HOME
from tests.extensions.server import BASE_URL, NAVIGATION, TOKEN, JupyterServer

STATIC = Path(__file__).parents[2] / "extensions/proxies/mlabhub_proxies/static/desktop"


@pytest.fixture
def page(server: JupyterServer) -> httpx.Response:
    """Return the page of a desktop that is ready."""
    with server.client(headers=NAVIGATION) as browser:
        browser.get("desktop/")
        server.wait_for("desktop", "ready")
        return browser.get("desktop/")


def test_it_starts_the_desktop_and_is_shown_when_that_answers(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        browser.post("mlabhub/api/tools/desktop", json={"action": "stop"})
        starting = browser.get("desktop/")
        assert starting.status_code == 202
        assert "Desktop is starting." in starting.text
        server.wait_for("desktop", "ready")
        assert 'id="stage"' in browser.get("desktop/").text


def test_it_runs_nothing_that_is_not_a_file_of_ours(page: httpx.Response, server: JupyterServer) -> None:
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script[^>]*>[^<]|\son[a-z]+=|\sstyle=|javascript:", page.text)
    with server.client() as program:
        for address in re.findall(r'(?:src|href)="([^"]+/static/[^"]+)"', page.text):
            assert program.get(httpx.URL(server.url).join(address)).status_code == 200


def test_every_state_of_the_line_has_its_words(page: httpx.Response) -> None:
    script = (STATIC / "connection.js").read_text()
    states = set(re.findall(r'#enter\("(\w+)"\)', script)) | set(re.findall(r'return "(\w+)"', script))
    states |= set(re.findall(r'[?:] "(\w+)"', script)) | {"connecting", "failed"}
    assert {"cut", "ended", "login", "away", "blocked"} < states
    assert set(re.findall(r'<template id="say-(\w+)">', page.text)) == states


def test_it_says_that_nothing_can_be_saved(page: httpx.Response, server: JupyterServer) -> None:
    assert 'id="unsaved"' not in page.text
    [socket] = server.runtime.glob("mlabhub/*/desktop/socket")
    socket.with_name(INSTEAD_OF_HOME).mkdir()
    try:
        with server.client(headers=NAVIGATION) as browser:
            assert 'id="unsaved"' in browser.get("desktop/").text
    finally:
        socket.with_name(INSTEAD_OF_HOME).rmdir()


@pytest.mark.parametrize(("address", "status"), [("desktop/", 302), ("desktop", 302), ("desktop-vnc/", 302)])
def test_nobody_gets_it_without_a_login(server: JupyterServer, address: str, status: int) -> None:
    with server.stranger(headers=NAVIGATION) as stranger:
        answer = stranger.get(address)
    assert answer.status_code == status
    assert "/login" in answer.headers["location"]


async def test_nor_its_websocket(server: JupyterServer, page: httpx.Response) -> None:
    place = f"ws://127.0.0.1:{server.port}{BASE_URL}desktop-vnc/"
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(place)
    assert refused.value.code == 403
    line = await websocket_connect(f"{place}?token={TOKEN}")
    await line.write_message("echo")
    assert await line.read_message() == "echo"
    line.close()
    assert await line.read_message() is None


def test_the_address_without_a_slash_leads_to_it(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        answer = browser.get("desktop?lang=zh_CN")
    assert answer.status_code == 302
    assert urlsplit(answer.headers["location"]).path == f"{BASE_URL}desktop/"
    assert answer.headers["location"].endswith("?lang=zh_CN")
