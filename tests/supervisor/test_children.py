"""Supervision of real processes: small ones, so that every way to end can be tried."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from mlabhub.supervisor.children import Children, Command, StartFailed
from mlabhub.supervisor.logs import LogFile


def _command(tmp_path: Path, code: str, ready_seconds: float = 10) -> Command:
    """Return a Python program that makes a file ``ready`` when it is."""

    async def is_ready() -> bool:
        return (tmp_path / "ready").exists()

    argv = (sys.executable, "-c", code)
    return Command("program", argv, dict(os.environ), tmp_path, is_ready, ready_seconds=ready_seconds)


SLEEPS = "import pathlib, time; print('hello', flush=True); pathlib.Path('ready').touch(); time.sleep(600)"


@pytest.fixture
async def children(tmp_path: Path) -> AsyncIterator[Children]:
    group = Children(tmp_path / "log", lambda text: None)
    yield group
    await group.stop()


async def _restarted(children: Children, before: int) -> int:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        pid = children.pids().get("program", before)
        if pid != before:
            return pid
        await asyncio.sleep(0.02)
    raise AssertionError("not restarted within 5 s")


async def test_a_killed_process_is_back_within_a_second(children: Children, tmp_path: Path) -> None:
    await children.start(_command(tmp_path, SLEEPS))
    before = children.pids()["program"]
    started = time.monotonic()
    os.kill(before, signal.SIGKILL)
    await _restarted(children, before)
    assert time.monotonic() - started < 1


async def test_a_grandchild_that_holds_the_pipe_delays_nothing(children: Children, tmp_path: Path) -> None:
    """Podman's service leaves processes behind that write where it wrote."""
    code = "import pathlib, subprocess, time; subprocess.Popen(['sleep', '7'], start_new_session=True); "
    await children.start(_command(tmp_path, code + "pathlib.Path('ready').touch(); time.sleep(600)"))
    before = children.pids()["program"]
    started = time.monotonic()
    os.kill(before, signal.SIGKILL)
    await _restarted(children, before)
    await children.stop()
    assert time.monotonic() - started < 3


async def test_stop_leaves_none_even_of_those_that_ignore_sigterm(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlabhub.supervisor.children.STOP_SECONDS", 0.5)
    await children.start(_command(tmp_path, f"import signal; signal.signal(15, signal.SIG_IGN); {SLEEPS}"))
    pid = children.pids()["program"]
    await children.stop()
    assert not psutil.pid_exists(pid)
    assert children.pids() == {}


async def test_failing_at_once_says_so_with_the_logs_end(children: Children, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match=r"(?s)program ended with exit status 3.*no such thing"):
        await children.start(_command(tmp_path, "import sys; print('no such thing'); sys.exit(3)"))


async def test_never_answering_is_a_failure_too(children: Children, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="did not answer within 0 s"):
        await children.start(_command(tmp_path, "import time; time.sleep(600)", ready_seconds=0.2))


async def test_a_missing_program_is_a_sentence(children: Children, tmp_path: Path) -> None:
    command = _command(tmp_path, "")
    missing = Command("program", ("/no/such/program",), command.env, command.cwd, command.is_ready)
    with pytest.raises(StartFailed, match="/no/such/program: No such file"):
        await children.start(missing)


CRASHES = "open('starts', 'a').write('x'); raise SystemExit(1 if open('starts').read() else 0)"


async def test_crash_loops_slow_down(children: Children, tmp_path: Path) -> None:
    """The first restart is quick, later ones wait: a broken program must not eat the machine."""
    code = f"import pathlib\nif pathlib.Path('starts').exists():\n    {CRASHES}\n{SLEEPS}"
    await children.start(_command(tmp_path, code))
    (tmp_path / "starts").touch()
    os.kill(children.pids()["program"], signal.SIGKILL)
    await asyncio.sleep(4)
    assert 2 <= len((tmp_path / "starts").read_text()) <= 4


GRANDCHILD = """
import pathlib, subprocess, time
print(subprocess.Popen(["sleep", "300"], start_new_session=True).pid, flush=True)
pathlib.Path("ready").touch()
time.sleep(600)
"""
SUPERVISOR = """
import asyncio, os, pathlib, sys
from mlabhub.supervisor.children import Children, Command
folder, code = pathlib.Path(sys.argv[1]), sys.argv[2]
async def ready(): return (folder / "ready").exists()
async def main():
    group = Children(folder, print)
    await group.start(Command("c", (sys.executable, "-c", code), dict(os.environ), folder, ready))
    print(group.pids()["c"], flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def test_children_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    """SIGKILL to the supervisor: its child ends, the child's own child (a person's server) lives."""
    argv = [sys.executable, "-c", SUPERVISOR, str(tmp_path), GRANDCHILD]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        own = int((tmp_path / "c.log").read_text().split()[0])
        supervisor.kill()
    try:
        _, alive = psutil.wait_procs([psutil.Process(child)] if psutil.pid_exists(child) else [], timeout=5)
        assert alive == []
        assert psutil.pid_exists(own)
    finally:
        os.kill(own, signal.SIGKILL)


async def test_logs_rotate_and_are_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlabhub.supervisor.logs.MAX_BYTES", 1000)
    log = LogFile(tmp_path / "x.log")
    for number in range(100):
        log.write(f"line {number} with 100 % and {{}} and ünïcode")
    log.close()
    assert (tmp_path / "x.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "x.log.1").exists()
    assert "line 99 with 100 % and {} and ünïcode" in (tmp_path / "x.log").read_text()


async def test_a_full_disk_loses_lines_not_the_process(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log")
    log._handler.close()
    log._handler.baseFilename = "/dev/full"
    log.write("lost")
    log.write("lost too")
    log.close()
    assert list(log.tail) == ["lost", "lost too"]


async def test_lines_without_end_do_not_fill_memory(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log")
    stream = asyncio.StreamReader()
    stream.feed_data(b"a" * 200_000)
    stream.feed_data(b"\nnext\xff\n")
    stream.feed_eof()
    await log.follow(stream)
    log.close()
    text = (tmp_path / "x.log").read_text()
    assert text.count("a") == 200_000
    assert "next\ufffd" in text
