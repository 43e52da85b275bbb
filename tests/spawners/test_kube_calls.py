"""What a hub asks of a cluster about one pod, of a server that answers as a cluster does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from kubernetes_asyncio import client

from mlabhub.spawners.kube.calls import PodCalls

LOG = b"first\n" * 100 + b"x" * 30_000_000
"""As a server may leave it: nothing keeps a line short."""


@pytest.fixture
async def calls() -> AsyncIterator[tuple[PodCalls, list[int]]]:
    """Return calls, and how many bytes of the log each of them got."""
    given: list[int] = []

    async def log(request: web.Request) -> web.Response:
        end = b"\n".join(LOG.split(b"\n")[-int(request.query["tailLines"]) :])
        part = end[: int(request.query.get("limitBytes", len(end)))]
        given.append(len(part))
        return web.Response(body=part, content_type="text/plain")

    application = web.Application()
    application.router.add_get("/api/v1/namespaces/lab/pods/alice/log", log)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    api: Any = client.ApiClient(client.Configuration(host=f"http://127.0.0.1:{port}"))
    yield PodCalls(client.CoreV1Api(api), "lab", patience_s=0), given
    await api.close()
    await runner.cleanup()


async def test_of_a_log_no_more_is_taken_than_is_shown(calls: tuple[PodCalls, list[int]]) -> None:
    asked, given = calls
    assert 0 < len(await asked.log("alice", "notebook", 5)) <= 1200
    assert given[0] <= 100_000
