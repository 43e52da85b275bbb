"""What a neighbour tries on another person's tools through the proxy: every address of ours, and what is guessed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

import httpx
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

SECRET = "of-alice-only"
PORT = 7000
"""At which a program of alice's tells `SECRET` to whoever asks on 127.0.0.1."""
PAGES = f"""
    lab tree api/status api/contents api/kernels api/terminals files/secret.txt server-proxy/servers-info
    vscode/ vscode/static/ vscode/healthz desktop/ desktop-vnc/ desktop-vnc terminal/
    tensorboard/ tensorboard/data/runs tensorboard/data/plugin/scalars/tags
    mlabhub mlabhub/ mlabhub/open/lab mlabhub/open/vscode mlabhub/start/vscode mlabhub/doctor mlabhub/log-folders
    mlabhub/api/tools mlabhub/api/tools/lab mlabhub/api/alive mlabhub/api/log-folders mlabhub/static/tools.css
    mlabhub/api/doctor mlabhub/api/doctor/stream mlabhub/api/doctor/worker/worker.js
    proxy/{PORT}/ proxy/{PORT}/secret.txt proxy/absolute/{PORT}/ proxy/127.0.0.1:{PORT}/ proxy/localhost:{PORT}/
    proxy/absolute/localhost:{PORT}/ proxy/8888/
""".split()
POSTS = [
    "mlabhub/api/tools/vscode",
    "mlabhub/api/log-folders",
    "mlabhub/api/doctor",
    "mlabhub/api/doctor/port",
    "api/terminals",
]
SOCKETS = f"""
    terminals/websocket/1 api/kernels/0/channels api/events/subscribe desktop-vnc/ desktop-vnc vscode/ vscode/stable-0
    terminal/ tensorboard/ mlabhub/api/doctor/echo proxy/{PORT}/
""".split()
TWISTS = [
    "user/bob/../alice/",
    "user/bob/%2e%2e/alice/",
    "user//alice/",
    "user/bob/..%2falice/",
    "user/alice%2f",
    "USER/alice/",
]
"""Other ways to write the path of her server, from one's own."""
BROWSER = {"Sec-Fetch-Mode": "navigate", "Accept": "text/html,*/*"}
METADATA = [
    "169.254.169.254:80",
    "2852039166:80",
    "0xa9fea9fe:80",
    "0251.0376.0251.0376:80",
    "[::ffff:169.254.169.254]:80",
]


def check_pages(session: httpx.Client, base: str) -> None:
    """Try every page and every call with a neighbour's session: each is refused, and none has anything of hers."""
    for path in PAGES:
        for headers in ({}, BROWSER):
            _refused(session.get(base + path, headers=headers, follow_redirects=True))
    for path in POSTS:
        _refused(session.post(base + path, json={"action": "start"}))


def check_twists(session: httpx.Client, prefix: str = "") -> None:
    """Try to write the way to her server otherwise: it leads to nothing of hers."""
    for twist in TWISTS:
        for path in ("mlabhub/api/tools", f"proxy/{PORT}/secret.txt", "api/contents/secret.txt"):
            url = session.base_url.copy_with(raw_path=f"/{prefix}{twist}{path}".encode())
            answer = session.get(url)
            assert SECRET not in answer.text
            assert "/user/alice" not in answer.text or not answer.is_success, (twist, path)


def check_sockets(url: str, base: str, headers: dict[str, str]) -> None:
    """Try every websocket with a neighbour's login: none opens."""
    asyncio.run(_sockets(url.replace("http", "ws", 1) + base, headers))


async def _sockets(base: str, headers: dict[str, str]) -> None:
    for path in SOCKETS:
        with pytest.raises(HTTPClientError) as refused:
            (await asyncio.wait_for(websocket_connect(HTTPRequest(base + path, headers=headers)), 15)).close()
        assert refused.value.code in (302, 401, 403, 404), path


def check_own_proxy(session: httpx.Client, base: str, hosts: Iterable[str]) -> None:
    """Ask one's own server to reach others for one: it reaches none, however they are written."""
    for host in (*hosts, *METADATA):
        for path in (f"proxy/{host}/", f"proxy/absolute/{host}/", f"proxy/{quote(host, safe='')}/latest/meta-data/"):
            answer = session.get(base + path, follow_redirects=True)
            assert answer.status_code in (400, 401, 403, 404), (path, answer.status_code)
            assert SECRET not in answer.text


def _refused(answer: httpx.Response) -> None:
    """See that an answer is a refusal, or the hub's login at its end, and has nothing of hers."""
    where = answer.url.path
    assert answer.status_code in (401, 403, 404) or where.endswith("/hub/login"), (where, answer.status_code)
    assert SECRET not in answer.text, where
