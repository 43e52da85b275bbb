"""One tool of one server: stopped, starting, ready or failed, and what brings it from one to the other.

Guarantees: however many ask at once, and for whatever, one process runs at most; a start ends in `READY` or `FAILED`
after the program's longest time, and a failure keeps its reason and last words until the next start; nothing starts
again by itself. A tool that a person stopped stays stopped for everything but that person's next wish, so an open page
of it does not bring it back. When this Python process ends, in whatever way, the tool's processes end too: `keeper`
sees to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mlabhub_proxies.folder import PrivateFolder
from mlabhub_proxies.tools import Environ, Launch, Program, Tool
from mlabhub_proxies.words import N_, Said

log = logging.getLogger(__name__)

STOPPED, STARTING, READY, FAILED = "stopped", "starting", "ready", "failed"
KEEPER = Path(__file__).with_name("keeper.py")
LOG_END_BYTES = 8 * 1024
LOG_END_LINES = 40
PROBE_EVERY_S = 0.1
PROBE_PATIENCE_S = 5.0
END_PATIENCE_S = 10.0
"""How long a keeper has to end everything, before it is killed itself."""
_NOT_TEXT = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]|[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Place:
    """Where a server's tools run."""

    base_url: str
    folder: PrivateFolder
    environ: Environ


class RunningTool:
    """A tool and its process. All methods belong to one event loop."""

    def __init__(self, tool: Tool, program: str, place: Place) -> None:
        """Know a tool that was found at ``program``; nothing is started."""
        self.tool = tool
        self.state = STOPPED
        self.since = time.time()
        self.reason: Said | None = None
        """Why it failed, or why it is stopped."""
        self._program = program
        self._place = place
        self._folder: Path | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Event = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._stopping = False
        self._changing = asyncio.Lock()
        """Held by a stop or a restart until it is through: the next one finds what this one has left."""
        self._by_person = False
        self.onlookers = 0
        """How many browsers are connected to it; of a raw one, which the desktop is."""

    @property
    def socket(self) -> str:
        """The unix socket it listens on, empty before its first start."""
        return str(self._folder / "socket") if self._folder else ""

    @property
    def folder(self) -> Path | None:
        """Where it keeps what it needs while it runs; None before its first start."""
        return self._folder

    def start(self) -> None:
        """Begin to start it, as a person wishes; fine if it starts or runs already."""
        self._by_person = False
        if self.state in (STOPPED, FAILED) and not self._stopping:
            self._set(STARTING)
            self._starting = asyncio.get_running_loop().create_task(self._start())

    async def ensure_ready(self) -> bool:
        """Wait until it is ready or has failed; start it if nobody has yet. Return whether it is ready."""
        if self.state == STOPPED and not self._by_person:
            self.start()
        if self._starting is not None and self.state == STARTING:
            await asyncio.shield(self._starting)
        return self.state == READY

    async def stop(self) -> None:
        """End its process and all that grew from it."""
        async with self._changing:
            await self._stop()

    async def restart(self) -> None:
        """Stop it and begin to start it."""
        async with self._changing:
            await self._stop()
            self.start()

    def close(self) -> None:
        """End it with the server, outside of any event loop."""
        if (keeper := self._keeper) is None or keeper.poll() is not None:
            return
        keeper.terminate()
        try:
            keeper.wait(END_PATIENCE_S)
        except subprocess.TimeoutExpired:
            keeper.kill()

    def last_words(self) -> str:
        """Return the end of what its process wrote, as plain text."""
        if self._folder is None:
            return ""
        words = b"".join(_end_of(self._folder / name) for name in ("log.1", "log"))[-LOG_END_BYTES:]
        lines = _NOT_TEXT.sub("", words.decode(errors="replace").replace("\r\n", "\n")).splitlines()
        return "\n".join(lines[-LOG_END_LINES:])

    # What happens -----------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        self._by_person = True
        if self.state != STOPPED:
            await self._end()
            self._set(STOPPED, Said.of(N_("{tool} was stopped."), tool=Said.of(self.tool.title)))

    async def _start(self) -> None:
        program = self.tool.program
        assert program is not None, "only a tool with a program is run"
        if self.state != STARTING or self._starting is not asyncio.current_task():
            return  # It was stopped before it began.
        try:
            self._spawn(program)
        except OSError as fault:
            self._fail(N_("{tool} could not be started: {fault}."), fault=fault.strerror or str(fault))
            return
        except Exception:
            log.exception("%s: the command could not be made", self.tool.slug)
            self._fail(N_("{tool} could not be started. The server's log says why."))
            return
        deadline = time.monotonic() + program.longest_seconds
        while self.state == STARTING:
            if await _answers(self.socket, program.ready_path):
                if self.state == STARTING:
                    self._set(READY)
            elif time.monotonic() > deadline:
                await self._end()
                # A person may have stopped it meanwhile.
                if self.state == STARTING:
                    self._fail(N_("{tool} did not answer within {seconds} s."), seconds=program.longest_seconds)
            else:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._ended.wait(), PROBE_EVERY_S)

    def _spawn(self, program: Program) -> None:
        self._folder = self._place.folder.fresh(self.tool.slug)
        environ = self._place.environ
        launch = Launch(self._program, self.socket, str(self._folder), self._place.base_url, environ)
        command = program.command(launch)
        # A disk without room is found here, where it can be said, and not in the tool.
        (self._folder / "log").write_text(" ".join(command) + "\n")
        self._ended = asyncio.Event()
        self._keeper = subprocess.Popen(
            # -S: the keeper needs nothing that is installed, and is the smaller for it.
            [sys.executable, "-I", "-S", str(KEEPER), str(os.getpid()), str(self._folder), *command],
            stdin=subprocess.DEVNULL,
            # The keeper writes nothing: the end of this pipe is its own end.
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, **program.environment(launch)},
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        asyncio.get_running_loop().add_reader(self._keeper.stdout, self._on_end, self._keeper)

    def _on_end(self, keeper: subprocess.Popen[bytes]) -> None:
        assert keeper.stdout is not None
        asyncio.get_running_loop().remove_reader(keeper.stdout)
        keeper.stdout.close()
        status = keeper.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Nothing is left of its group, unless the keeper itself was killed.
            os.killpg(keeper.pid, signal.SIGKILL)
        self._keeper = None
        self._ended.set()
        if self._stopping:
            return
        if self.state == READY and status == 0:
            self._set(STOPPED, Said.of(N_("{tool} has ended by itself."), tool=Said.of(self.tool.title)))
        elif status < 0 or status > 128:
            self._fail(N_("{tool} was ended by signal {signal}."), signal=_signal_name(status))
        else:
            self._fail(N_("{tool} has ended with status {status}."), status=status)

    async def _end(self) -> None:
        """End the process and wait for it."""
        if self._keeper is None:
            return
        self._stopping = True
        try:
            self._keeper.terminate()
            try:
                await asyncio.wait_for(self._ended.wait(), END_PATIENCE_S)
            except asyncio.TimeoutError:
                self._keeper.kill()
                await self._ended.wait()
        finally:
            self._stopping = False

    def _fail(self, template: str, **values: object) -> None:
        self._set(FAILED, Said.of(template, tool=Said.of(self.tool.title), **values))

    def _set(self, state: str, reason: Said | None = None) -> None:
        self.state, self.reason, self.since = state, reason, time.time()


async def _answers(socket: str, path: str | None) -> bool:
    """Return whether a program listens on a socket, and answers ``path`` below status 500 if one is given."""
    try:
        return await asyncio.wait_for(_ask(socket, path), PROBE_PATIENCE_S)
    except (OSError, ValueError, asyncio.TimeoutError):
        return False


async def _ask(socket: str, path: str | None) -> bool:
    reader, writer = await asyncio.open_unix_connection(socket)
    try:
        if path is None:
            return True
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.readline()).split()
        return len(status) > 1 and status[0].startswith(b"HTTP/") and int(status[1]) < 500
    finally:
        writer.close()


def _end_of(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - LOG_END_BYTES))
            return stream.read()
    except OSError:
        return b""


def _signal_name(status: int) -> str:
    number = -status if status < 0 else status - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
