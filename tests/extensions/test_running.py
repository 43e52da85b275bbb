"""Starts and stops that follow one another closely, in one event loop, with real processes."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub_proxies.folder import PrivateFolder
from mlabhub_proxies.running import FAILED, READY, STARTING, STOPPED, Place, RunningTool
from mlabhub_proxies.tools import Launch, Tool
from tests.extensions.offer import make_tool
from tests.extensions.server import processes_of

ENVIRON = {"PATH": "/usr/bin:/bin"}


@pytest.fixture
def runtime() -> Iterator[Path]:
    """Return a folder for sockets."""
    with tempfile.TemporaryDirectory(prefix="jr-") as folder:
        yield Path(folder)


def run(tool: Tool, runtime: Path) -> RunningTool:
    """Return a tool that has not been started."""
    environ = {**ENVIRON, "XDG_RUNTIME_DIR": str(runtime)}
    program = tool.find(environ)
    assert program is not None
    return RunningTool(tool, program, Place("/", PrivateFolder(str(runtime)), environ))


async def test_a_stop_right_after_a_start(runtime: Path) -> None:
    running = run(make_tool("slow", "wait=60"), runtime)
    for _ in range(3):
        running.start()
        await running.stop()
        assert running.state == STOPPED
        assert not processes_of(runtime)
    assert not await running.ensure_ready()


async def test_many_starts_and_stops_at_once(runtime: Path) -> None:
    running = run(make_tool("slow", "wait=60"), runtime)
    running.start()
    await asyncio.gather(*(running.restart() for _ in range(5)), *(running.stop() for _ in range(5)))
    await running.stop()
    assert running.state == STOPPED
    assert not processes_of(runtime)


@pytest.mark.long
async def test_an_earlier_start_does_not_end_a_later_one(runtime: Path) -> None:
    tool = make_tool("slow", "wait=60", longest_seconds=1)
    running = run(tool, runtime)
    running.start()
    await asyncio.sleep(0.7)
    await running.restart()
    await asyncio.sleep(0.6)
    assert running.state == STARTING
    assert not await running.ensure_ready()
    assert running.state == FAILED
    assert not processes_of(runtime)


async def test_a_command_that_cannot_be_made(runtime: Path) -> None:
    def command(launch: Launch) -> list[str]:
        raise KeyError("no such setting")

    tool = make_tool("odd", "serve")
    assert tool.program is not None
    running = run(replace(tool, program=replace(tool.program, command=command)), runtime)
    assert not await running.ensure_ready()
    assert running.state == FAILED
    assert running.reason is not None
    assert "The server's log says why" in running.reason.template


async def test_a_program_that_is_not_there(runtime: Path) -> None:
    tool = make_tool("gone", "serve")
    running = RunningTool(tool, "/nowhere/program", Place("/", PrivateFolder(str(runtime)), dict(ENVIRON)))
    assert not await running.ensure_ready()
    assert running.last_words() == "/nowhere/program: No such file or directory"


async def test_a_start_ends_ready(runtime: Path) -> None:
    running = run(make_tool("echo", "serve"), runtime)
    assert await running.ensure_ready()
    assert running.state == READY
    await running.stop()
    assert not await asyncio.to_thread(Path(running.socket).exists)
