"""Start, watch, restart and stop processes that belong together.

Guarantees: a child that ends is started again within a second the first time, then with a growing pause (at most 15 s)
while it keeps failing; no child outlives the supervisor (PR_SET_PDEATHSIG), while what a child starts does; `stop` ends
them in reverse order and returns only when none is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlabhub.errors import MLabError
from mlabhub.supervisor.logs import LogFile

FIRST_PAUSE = 0.2
"""Seconds before the first restart."""
LONGEST_PAUSE = 15.0
STEADY_AFTER = 30.0
"""Seconds after which a process counts as steady: its next failure is a first one again."""
STOP_SECONDS = 10.0
LAST_WORDS_SECONDS = 0.2
"""How long the output of a process that ended is still read, if somebody else holds its end open."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class StartFailed(MLabError):
    """A process did not come up; the message has the end of its log."""

    code = "start_failed"


@dataclass(frozen=True)
class Command:
    """What to run. ``is_ready`` is asked every 50 ms until it answers True."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    is_ready: Callable[[], Awaitable[bool]]
    on_restart: Callable[[], Awaitable[None]] | None = None
    ready_seconds: float = 60.0


@dataclass
class Child:
    """One supervised process and what is known about it."""

    command: Command
    log: LogFile
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    started: float = 0.0
    watcher: asyncio.Task[None] | None = field(default=None, repr=False)


def _die_with_parent() -> None:
    """In the child, before exec: ask the kernel to end us when the supervisor dies, however it dies."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Children:
    """A group of processes, started in order, restarted one by one, stopped in reverse order."""

    def __init__(self, log_dir: Path, report: Callable[[str], None]) -> None:
        self._log_dir = log_dir
        self._report = report
        self._children: dict[str, Child] = {}
        self._stopping = False

    def pids(self) -> dict[str, int]:
        """Return the process ids of those that run now."""
        return {
            name: child.process.pid
            for name, child in self._children.items()
            if child.process and child.process.returncode is None
        }

    async def start(self, command: Command) -> None:
        """Start one process and wait until it is ready. Raises `StartFailed` with the end of its log."""
        child = Child(command, LogFile(self._log_dir / f"{command.name}.log"))
        self._children[command.name] = child
        output = await self._spawn(child)
        await self._wait_ready(child)
        child.watcher = asyncio.create_task(self._watch(child, output), name=f"watch {command.name}")

    async def _spawn(self, child: Child) -> asyncio.Task[None]:
        command = child.command
        try:
            child.process = await asyncio.create_subprocess_exec(
                *command.argv,
                env=dict(command.env),
                cwd=command.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                preexec_fn=_die_with_parent,
                # Its own group: Ctrl-C in the terminal reaches the supervisor alone, which stops all in order.
                start_new_session=True,
            )
        except OSError as error:
            raise StartFailed(f"{command.name} cannot be started: {command.argv[0]}: {error.strerror}.") from error
        child.started = time.monotonic()
        assert child.process.stdout is not None
        return asyncio.create_task(child.log.follow(child.process.stdout), name=f"log {command.name}")

    async def _wait_ready(self, child: Child) -> None:
        deadline = time.monotonic() + child.command.ready_seconds
        while not await child.command.is_ready():
            assert child.process is not None
            if child.process.returncode is not None:
                await asyncio.sleep(0.1)  # let the log's reader see the last lines
                raise StartFailed(_failure(child, f"ended with exit status {child.process.returncode}"))
            if time.monotonic() > deadline:
                raise StartFailed(_failure(child, f"did not answer within {child.command.ready_seconds:.0f} s"))
            await asyncio.sleep(0.05)

    async def _watch(self, child: Child, output: asyncio.Task[None]) -> None:
        """Restart the process whenever it ends, until the group is stopped."""
        failures = 0
        while True:
            assert child.process is not None
            status = await _ended(child.process)
            output.cancel()
            if self._stopping:
                return
            steady = time.monotonic() - child.started > STEADY_AFTER
            failures = 0 if steady else failures + 1
            pause = min(FIRST_PAUSE * 3 ** max(0, failures - 2), LONGEST_PAUSE)
            self._report(f"{child.command.name} ended ({_status(status)}); it is started again in {pause:.1f} s.")
            await asyncio.sleep(pause)
            if self._stopping:
                return
            child.restarts += 1
            try:
                output = await self._spawn(child)
                await self._wait_ready(child)
                if child.command.on_restart:
                    await child.command.on_restart()
                self._report(f"{child.command.name} is back.")
            except MLabError as error:
                self._report(str(error))
                await _end(child)  # alive but not answering is no better than gone

    async def stop(self) -> None:
        """Stop all, last started first: SIGTERM, then SIGKILL after 10 s each."""
        self._stopping = True
        for child in reversed(self._children.values()):
            await _end(child)
            if child.watcher:
                child.watcher.cancel()
                await asyncio.gather(child.watcher, return_exceptions=True)
            child.log.close()


async def _end(child: Child) -> None:
    process = child.process
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(_ended(process), STOP_SECONDS)
    except asyncio.TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Return the exit status as soon as there is one; `wait` waits for whoever else holds the pipe, too."""
    while process.returncode is None:  # noqa: ASYNC110 - asyncio has no event for this
        await asyncio.sleep(0.02)
    deadline = time.monotonic() + LAST_WORDS_SECONDS
    while process.stdout and not process.stdout.at_eof() and time.monotonic() < deadline:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.02)
    process._transport.close()  # type: ignore[attr-defined]  # our end of the pipe; there is no public way
    await asyncio.sleep(0)
    return process.returncode


def _status(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _failure(child: Child, what: str) -> str:
    tail = "\n".join(f"    {line}" for line in list(child.log.tail)[-8:])
    return f"{child.command.name} {what}. The end of its log ({child.log.path}):\n{tail}"
