"""Servers that are plain processes."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from mlabhub.core.capacity import Capacity
from mlabhub.core.names import server_slug
from mlabhub.core.tools import TOOLS, ProfileTool
from mlabhub.engine import processes
from mlabhub.errors import NotFound
from mlabhub.inventory.backend import NO_LOG, BackendServer, SavedLayer
from mlabhub.inventory.machine import Inventory
from mlabhub.inventory.tenants import Tenants, tenants_of_processes
from mlabhub.settings import Settings

_PROGRAMS: Mapping[ProfileTool, tuple[tuple[str, ...], ...]] = {
    "vscode": (("code-server",),),
    "desktop": (("Xtigervnc", "Xvnc"), ("startplasma-x11",), ("dbus-run-session",)),
}
"""What a tool needs on the machine: one program of each of these. What is not named comes with the hub."""


def find_tools(path: str | None = None) -> tuple[ProfileTool, ...]:
    """Return the tools that plain processes of this machine have; ``path`` is where programs are, by default PATH."""
    return tuple(
        tool
        for tool in TOOLS
        if all(any(shutil.which(name, path=path) for name in names) for names in _PROGRAMS.get(tool, ()))
    )


PIECE_BYTES = 2**16
MOST_BYTES = 2**20
"""So much of the end of a log is read: a process may write for months."""
LOG_PAUSE_S = 0.5


class ProcessBackend:
    """Processes of this machine that carry the installation's id."""

    images = None

    def __init__(self, settings: Settings):
        self._instance = settings.instance
        self._log_dir = settings.log_dir
        self._inventory = Inventory(settings)

    async def capacity(self) -> Capacity:
        """Return what this machine has."""
        facts = await asyncio.to_thread(self._inventory.look)
        tenants = Tenants() if facts is None else tenants_of_processes(await self.servers(), self._instance)
        return await asyncio.to_thread(self._inventory.read, facts, tenants)

    async def servers(self) -> tuple[BackendServer, ...]:
        """Return the servers that run."""
        found = await asyncio.to_thread(processes.find_servers, self._instance)
        return tuple(
            BackendServer(
                launch_id=server.launch_id,
                user=server.user,
                server_name=server.server_name,
                state="running",
                started=server.started,
                gpus=server.gpus,
                handle=str(server.pid),
                pid=server.pid,
            )
            for server in found
        )

    async def lost(self, launch_id: str) -> None:
        """Return None: it can always be told."""

    async def remove(self, server: BackendServer) -> None:
        """End every process of a server."""
        await asyncio.to_thread(processes.end_server, self._instance, server.launch_id)

    async def saved(self, user: str) -> tuple[SavedLayer, ...]:
        """Return nothing: what a process installs is in the user's own folder."""
        return ()

    async def reset(self, user: str, server_name: str) -> None:
        """Do nothing, for the same reason."""

    async def log(self, user: str, server_name: str, *, follow: bool = False) -> AsyncIterator[bytes]:
        """Yield the end of what a server's last process wrote, which is kept when it has ended.

        Raises `NotFound` if none was ever started.
        """
        file = processes.log_file(self._log_dir, server_slug(user, server_name))
        at = max(0, await asyncio.to_thread(_size, file) - MOST_BYTES)
        while True:
            piece = await asyncio.to_thread(_read, file, at)
            if piece:
                at += len(piece)
                yield piece
            elif not follow:
                return
            else:
                await asyncio.sleep(LOG_PAUSE_S)
                if await asyncio.to_thread(_size, file) < at:  # a new launch has begun it anew
                    at = 0

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def _size(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        raise NotFound(NO_LOG) from None


def _read(file: Path, at: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(at)
            return opened.read(PIECE_BYTES)
    except OSError:
        raise NotFound(NO_LOG) from None
