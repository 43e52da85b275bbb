"""Try on a person's server what a browser does there: a websocket, an event stream, an upload, a port.

Guarantees: every trial ends within `PATIENCE_S` and tells how, also against a server that its owner has made to answer
without end; what came of them is worded by the server itself, whose page does the same with a browser
(`extensions/proxies/mlabhub_proxies/doctor`).
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketError, websocket_connect

from mlabhub.cli.address import is_secure

API = "mlabhub/api/doctor"
PAGE = "mlabhub/doctor"
PATIENCE_S = 5.0
MOST_BYTES = 1 << 20
"""How long an answer may be."""
ANNOUNCED_BYTES = 64 << 20
HEADER_BYTES = 6000
PADDING = "X-Mlabhub-Padding"
UNUSUAL = "a%20b%2Fc//d%25e"

Json = dict[str, Any]
_TROUBLE = (
    httpx.HTTPError,
    httpx.InvalidURL,
    HTTPClientError,
    WebSocketError,
    StreamClosedError,
    asyncio.TimeoutError,
    OSError,
    OverflowError,  # a number that is none
    ValueError,
)


@dataclass(frozen=True)
class Target:
    """A server under one of its addresses, with a slash at its end, and how one is let in."""

    url: str
    token: str
    tls: ssl.SSLContext | None
    """For https: whom to trust."""

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"token {self.token}"}

    def client(self) -> httpx.AsyncClient:
        """Return a client; a proxy of the environment is not on people's way to the hub."""
        return httpx.AsyncClient(
            base_url=self.url, headers=self.headers, verify=self.tls or False, timeout=PATIENCE_S, trust_env=False
        )


async def fetch(
    client: httpx.AsyncClient, method: str, url: httpx.URL | str, *, seconds: float = PATIENCE_S, **more: Any
) -> httpx.Response:
    """Return a whole answer, with the headers that are looked at here.

    Raises `httpx.HTTPError`, `asyncio.TimeoutError`, or `ValueError` if it is longer than `MOST_BYTES`.
    """

    async def read() -> httpx.Response:
        async with client.stream(method, url, **more) as answer:
            body = bytearray()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise ValueError(f"more than {MOST_BYTES} bytes")
        headers = {name: answer.headers[name] for name in ("content-type", "location") if name in answer.headers}
        return httpx.Response(answer.status_code, headers=headers, content=bytes(body))

    return await asyncio.wait_for(read(), seconds)


def read_json(answer: httpx.Response) -> Any:
    """Return an answer's JSON. Raises `ValueError`."""
    try:
        return answer.json()
    except RecursionError:
        raise ValueError("too deep") from None


async def look(target: Target) -> Json:
    """Return what was seen of a server, as its ``POST mlabhub/api/doctor`` takes it."""
    trial = secrets.token_hex(8)
    async with target.client() as client:
        parts = await asyncio.gather(
            _websocket(target, trial),
            _clock(client),
            _stream(client),
            _headers(client),
            _port(client),
            _worker(client),
            asyncio.to_thread(_upload, target),
        )
    seen: Json = {"address": target.url + PAGE, "secure": is_secure(target.url), "trial": trial}
    for part in parts:
        seen |= part
    return seen


async def _websocket(target: Target, trial: str) -> Json:
    url = f"{target.url}{API}/echo?trial={trial}".replace("http", "ws", 1)
    parts = urlsplit(target.url)
    headers = {**target.headers, "Origin": f"{parts.scheme}://{parts.netloc}"}
    began = time.monotonic()
    try:
        request = HTTPRequest(url, headers=headers, ssl_options=target.tls, connect_timeout=PATIENCE_S)
        connection = await asyncio.wait_for(websocket_connect(request), PATIENCE_S)
        try:
            await connection.write_message(trial)
            echo = await asyncio.wait_for(connection.read_message(), PATIENCE_S)
        finally:
            connection.close()
    except HTTPClientError as error:
        return {"websocket": {"ok": False, "status": error.code}}
    except _TROUBLE:
        return {"websocket": {"ok": False}}
    return {"websocket": {"ok": echo == trial}, "seconds": time.monotonic() - began}


async def _clock(client: httpx.AsyncClient) -> Json:
    # The path is sent as it stands: httpx would tidy it up.
    url = client.base_url.copy_with(raw_path=f"{client.base_url.path}{API}/time/{UNUSUAL}".encode())
    began = time.time()
    try:
        answer = await fetch(client, "GET", url)
        ended = time.time()
        if not answer.is_success:
            return {"kept": {"ok": False, "status": answer.status_code}}
        said = read_json(answer)
        path = str(said["path"])
        ahead = (began + ended) / 2 - float(said["time"])
    except (*_TROUBLE, KeyError, TypeError) as error:
        return {"kept": _failed(error)}
    return {"kept": {"ok": path == UNUSUAL, "status": 200, "said": path}, "clock": ahead}


async def _stream(client: httpx.AsyncClient) -> Json:
    times: list[float] = []

    async def read() -> bool:
        async with client.stream("GET", f"{API}/stream") as answer:
            async for _ in answer.aiter_raw():
                times[1:] = [time.monotonic()]
        return answer.is_success

    try:
        fine = await asyncio.wait_for(read(), PATIENCE_S)
    except _TROUBLE:
        return {}
    return {"stream": [times[0], times[-1]]} if times and fine else {}


async def _headers(client: httpx.AsyncClient) -> Json:
    padding = {PADDING: "x" * HEADER_BYTES}
    outcome = await _ask(client, "GET", f"{API}/headers", headers=padding)
    return {"headers": {**outcome, "said": f"{HEADER_BYTES // 1000} KB"}}


async def _port(client: httpx.AsyncClient) -> Json:
    try:
        answer = await fetch(client, "POST", f"{API}/port")
        if not answer.is_success:
            return {"port": {"ok": False, "status": answer.status_code}}
        opened = read_json(answer)
        said = await fetch(client, "GET", f"proxy/{int(opened['port'])}/")
    except (*_TROUBLE, KeyError, TypeError) as error:
        return {"port": _failed(error)}
    return {"port": {"ok": said.is_success and said.text == opened["word"], "status": said.status_code}}


async def _worker(client: httpx.AsyncClient) -> Json:
    try:
        answer = await fetch(client, "GET", f"{API}/worker/worker.js")
    except _TROUBLE as error:
        return {"worker": _failed(error)}
    kind = answer.headers.get("content-type", "")
    if answer.is_success and "javascript" not in kind:
        return {"worker": {"ok": False, "said": f"Content-Type: {kind}"}}
    return {"worker": {"ok": answer.is_success, "status": answer.status_code}}


async def _ask(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Json:
    try:
        answer = await fetch(client, method, path, **more)
    except _TROUBLE as error:
        return _failed(error)
    return {"ok": answer.is_success, "status": answer.status_code}


def _failed(error: Exception) -> Json:
    return {"ok": False, "said": str(error) or type(error).__name__}


def _upload(target: Target) -> Json:
    """Announce a large body and send none of it: a proxy that allows no such body says so at once."""
    said = f"{ANNOUNCED_BYTES >> 20} MiB"
    try:
        status = _announce(target)
    except (OSError, ValueError) as error:
        return {"upload": {**_failed(error), "said": said}}
    return {"upload": {"ok": status in (0, 100), "status": status, "said": said}}


def _announce(target: Target) -> int:
    """Return the status that comes before the body; 0 when the other side waits for it without a word."""
    parts = urlsplit(target.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    lines = [
        f"POST {parts.path}{API}/upload HTTP/1.1",
        f"Host: {parts.netloc}",
        f"Authorization: token {target.token}",
        f"Content-Length: {ANNOUNCED_BYTES}",
        "Expect: 100-continue",
    ]
    plain = socket.create_connection((parts.hostname or "", port), timeout=PATIENCE_S)
    with plain, target.tls.wrap_socket(plain, server_hostname=parts.hostname) if target.tls else plain as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        line.settimeout(PATIENCE_S / 2)
        try:
            words = line.recv(64).split(None, 2)
        except TimeoutError:
            return 0
    if len(words) < 2 or not words[1].isdigit():
        raise ValueError("no HTTP")
    return int(words[1])
