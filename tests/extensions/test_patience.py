"""A storage that hangs keeps threads, and nobody waiting."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from mlabhub_proxies import patience
from mlabhub_proxies.doctor import inside
from mlabhub_proxies.patience import NoAnswer, within


async def test_a_storage_that_hangs_keeps_nobody_waiting() -> None:
    until = threading.Event()
    try:
        begun = time.monotonic()
        with pytest.raises(NoAnswer):
            await within(0.05, until.wait)
        waiting = [asyncio.ensure_future(within(0.2, until.wait)) for _ in range(patience.MOST_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(NoAnswer):
            await within(30, until.wait)
        assert time.monotonic() - begun < 10, "it waited where too many wait already"
        assert all(isinstance(one, NoAnswer) for one in await asyncio.gather(*waiting, return_exceptions=True))
    finally:
        until.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if threading.active_count() < patience.MOST_WAITING:
            break
    assert await within(5, lambda: "again") == "again"
    with pytest.raises(ZeroDivisionError):
        await within(5, lambda: 1 / 0)


async def test_the_doctor_takes_no_thread_that_the_server_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "PATIENCE_S", 0.01)
    until = threading.Event()
    try:
        for _ in range(40):
            found = await inside._patiently("home", inside.HOME, "/home/alice", until.wait)  # type: ignore[arg-type]
            assert found.status == "missing"
        # Names are looked up in such a thread, the hub's among them.
        assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 1) == "free"
    finally:
        until.set()
