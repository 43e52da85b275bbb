"""Whether this image's VNC server works: one is started on a socket of its own, asked for its greeting, and ended.

Guarantees: a session that somebody works in is not touched; however many ask at once, one trial runs; nothing is left.
"""

from __future__ import annotations

import asyncio
import contextlib

from mlabhub_proxies.desktop.tool import find_x_server
from mlabhub_proxies.doctor.findings import Finding
from mlabhub_proxies.running import Place, RunningTool
from mlabhub_proxies.surroundings import Surroundings
from mlabhub_proxies.tools import Launch, Program, Tool
from mlabhub_proxies.words import N_, Said

NAME = N_("VNC")
GREETING = b"RFB 003."
LONGEST_S = 8


def make_command(launch: Launch) -> list[str]:
    """Return the command of a small screen that nobody else reaches."""
    # It finds a free display by itself, and says which to nobody.
    small = ["-displayfd", "1", "-geometry", "64x64", "-depth", "24"]
    closed = ["-rfbunixpath", launch.socket, "-rfbunixmode", "0600", "-rfbport", "-1", "-nolisten", "tcp"]
    return [launch.program, *small, *closed, "-SecurityTypes", "None"]


TRIAL = Tool(
    slug="doctor-vnc",
    title=NAME,
    sentence="",
    address="",
    find=find_x_server,
    program=Program(command=make_command, hint="", ready_path=None, longest_seconds=LONGEST_S),
)


class VncTrial:
    """The trial of one server."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._lock = asyncio.Lock()

    async def run(self) -> Finding:
        """Return what came of it."""
        surroundings = self._surroundings
        program = TRIAL.find(surroundings.environ)
        if program is None:
            return Finding("vnc", NAME, "info", Said.of(N_("The image of this server has no desktop.")))
        async with self._lock:
            trial = RunningTool(TRIAL, program, Place(surroundings.base_url, surroundings.folder, surroundings.environ))
            try:
                return await self._look(trial)
            finally:
                await trial.stop()

    async def _look(self, trial: RunningTool) -> Finding:
        fix = Said.of(N_("The desktop needs it: use another image, or tell who made this one."))
        if not await trial.ensure_ready():
            found = Said.of(
                N_("It does not start: {reason} {words}"), reason=trial.reason or "", words=_last_line(trial)
            )
            return Finding("vnc", NAME, "missing", found, fix)
        greeting = await _greeting(trial.socket)
        if greeting.startswith(GREETING):
            version = greeting.decode("ascii", "replace").strip()
            return Finding("vnc", NAME, "ok", Said.of(N_("It starts and speaks {version}."), version=version))
        return Finding("vnc", NAME, "missing", Said.of(N_("It starts, and does not speak VNC.")), fix)


def _last_line(trial: RunningTool) -> str:
    """Return what the program said last; what it was called with, which stands before that, says nothing."""
    lines = trial.last_words().splitlines()
    return lines[-1] if lines and "-rfbunixpath" not in lines[-1] else ""


async def _greeting(socket: str) -> bytes:
    with contextlib.suppress(OSError, asyncio.TimeoutError):
        reader, writer = await asyncio.open_unix_connection(socket)
        try:
            return await asyncio.wait_for(reader.read(12), 2)
        finally:
            writer.close()
    return b""
