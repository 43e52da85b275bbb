"""The queue's stream through what stands before the service: configurable-http-proxy, and nginx before that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from mlabhub.service.handlers import events
from mlabhub.supervisor.commands import find_proxy
from tests.installation import free_port
from tests.nginx import run_nginx
from tests.service.conftest import Running
from tests.service.test_queue_api import full, launch
from tests.service.test_queue_events import QUEUE, Stream, gone

__all__ = ["full"]


@asynccontextmanager
async def proxied(running: Running) -> AsyncIterator[int]:
    """Run configurable-http-proxy before the service; return its port."""
    port = free_port()
    target = f"http://127.0.0.1:{running.settings.service_port}"
    command = [*find_proxy(), "--ip", "127.0.0.1", "--port", str(port), "--api-port", str(free_port())]
    process = await asyncio.create_subprocess_exec(*command, "--default-target", target, "--no-include-prefix")
    try:
        for _ in range(200):
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("nginx", [False, True], ids=["the hub's proxy", "nginx before it"])
async def test_what_happens_arrives_at_once_and_the_end_too(
    full: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nginx: bool
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 1.0)
    async with proxied(full) as port:
        if not nginx:
            await follow(full, port)
            return
        with run_nginx(tmp_path, port, tls=False) as before:
            await follow(full, before.port)


async def follow(full: Running, port: int) -> None:
    """Read the stream at a port while something happens, and go."""
    address = f"http://127.0.0.1:{port}{full.settings.service_prefix}{QUEUE}"
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        async with http.stream("GET", address, headers={"Authorization": "token t-bob"}) as answer:
            assert answer.status_code == 200
            one = Stream(answer)
            assert await one.next() == {"entries": []}
            assert await one.block() == [":"]
            await launch(full, "bob", "x", 4)
            await asyncio.wait_for(one.waits("x"), 3)
        await gone(full)
