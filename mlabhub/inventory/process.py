"""Servers that are plain processes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping

from mlabhub.core.capacity import Capacity
from mlabhub.core.tools import TOOLS, ProfileTool
from mlabhub.engine import processes
from mlabhub.inventory.backend import BackendServer, SavedLayer
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


class ProcessBackend:
    """Processes of this machine that carry the installation's id."""

    images = None

    def __init__(self, settings: Settings):
        self._instance = settings.instance
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

    async def close(self) -> None:
        """Do nothing: there is no connection."""
