"""A proxy before the API server that writes down what one account asks for, and what it is answered.

Guarantees: everything passes as it is, watches as they come; the account's own token decides what is allowed.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.cluster.kubectl import kubectl

PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/.))?/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)
VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
DROPPED = {"host", "connection", "content-length", "transfer-encoding", "content-encoding", "accept-encoding"}


@dataclass(frozen=True)
class Call:
    """One right that was used, or that was missing: ``namespace`` is empty for the whole cluster.

    ``asked`` is when, in seconds since this machine was started.
    """

    verb: str
    group: str
    resource: str
    namespace: str
    status: int
    asked: float = field(default=0.0, compare=False)


def read_call(method: str, path: str, query: Mapping[str, str], status: int) -> Call | None:
    """Return the right that a request needs; None for what everybody may ask, such as the version."""
    found = PATH.fullmatch(path)
    if found is None:
        return None
    verb = VERBS.get(method, "get" if found["name"] else "list")
    if method == "GET" and query.get("watch", "").lower() in ("1", "true"):
        verb = "watch"
    if method == "DELETE" and not found["name"]:
        verb = "deletecollection"
    resource = f"{found['resource']}/{found['sub']}" if found["sub"] else found["resource"]
    return Call(verb, found["group"] or "", resource, found["namespace"] or "", status)


@dataclass
class Recorder:
    """Runs in a thread until it is closed. ``calls`` are in the order of their answers."""

    calls: list[Call] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        self._loop = asyncio.new_event_loop()
        self._ready, self._end = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20), "the recorder does not listen"

    def write_kubeconfig(self, folder: Path, token: str) -> Path:
        """Write a kubeconfig for the account of a token that leads here."""
        config = json.loads(json.dumps(self._config))
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self.port}"}
        config["users"][0]["user"] = {"token": token}
        file = folder / "recorded.kubeconfig"
        file.write_text(json.dumps(config))
        return file

    def close(self) -> None:
        """End it."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        self._loop.close()

    async def _run(self) -> None:
        cluster = self._config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        trust = ssl.create_default_context(cadata=authority)
        connector = aiohttp.TCPConnector(ssl=trust, limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:

            async def pass_on(request: web.Request) -> web.StreamResponse:
                return await self._pass_on(session, cluster["server"], request)

            app = web.Application(client_max_size=2**26)
            app.router.add_route("*", "/{path:.*}", pass_on)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._end.wait()
            await runner.cleanup()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass_on(self, session: aiohttp.ClientSession, server: str, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
        url, asked = f"{server}{request.rel_url}", time.clock_gettime(time.CLOCK_BOOTTIME)
        async with session.request(request.method, url, headers=headers, data=await request.read()) as answer:
            call = read_call(request.method, request.path, request.query, answer.status)
            if call is not None:
                self.calls.append(replace(call, asked=asked))
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in DROPPED}
            response = web.StreamResponse(status=answer.status, headers=kept)
            with contextlib.suppress(ConnectionError, aiohttp.ClientConnectionError):  # who asked went away
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response
