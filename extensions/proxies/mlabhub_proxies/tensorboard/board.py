"""The log folders of one server as its pages know them.

Guarantees: made once per server, in the background while it starts, so that a storage that does not answer never delays
the server itself; every question to the storage has a time limit, after which the answer says so.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from mlabhub_proxies.patience import NoAnswer, within
from mlabhub_proxies.surroundings import Surroundings
from mlabhub_proxies.tensorboard.folders import GIVEN, Folder, FolderList, FolderRefused, Places, read_paths
from mlabhub_proxies.tensorboard.look import PATIENCE_S, SILENT, Look, find_folders, look_into
from mlabhub_proxies.tensorboard.use import Use
from mlabhub_proxies.tools import Environ
from mlabhub_proxies.words import N_

Result = TypeVar("Result")

log = logging.getLogger(__name__)

KEY = "tensorboard"
LINKS = "log-folders"
SETTLES_S = 8.0
"""How long TensorBoard takes at most to see a change of the list."""


@dataclass(frozen=True)
class Seen:
    """A folder of the list and what is in it."""

    folder: Folder
    look: Look


class Board:
    """The folders that TensorBoard shows in this server."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.use = Use()
        self._running = surroundings.running[KEY]
        self.places = Places.of(surroundings.environ)
        self.changed_at: float | None = None
        """When the list was last changed, by the clock of `time.monotonic`."""
        self.version = 0
        self._list: FolderList | None = None
        self._made = threading.Event()
        threading.Thread(target=self._make, args=(surroundings,), daemon=True, name="log-folders").start()

    def _make(self, surroundings: Surroundings) -> None:
        environ = surroundings.environ
        given = read_paths(environ.get(GIVEN))
        try:
            links = surroundings.folder.fresh(LINKS)
            self._list = FolderList(kept_file(environ, self.places), links, self.places, given)
        except OSError as error:  # The disk is full, or the server ended meanwhile.
            log.warning("The list of log folders could not be made: %s", error)
            return
        self._made.set()

    def _folders(self) -> FolderList:
        self._made.wait()
        assert self._list is not None
        return self._list

    async def folders(self) -> FolderList:
        """Return the list."""
        if self._list is not None:
            return self._list
        return await self._ask(self._folders)

    async def add(self, typed: object) -> Folder:
        """Add a folder. Raises `FolderRefused`."""
        folder = await self._ask((await self.folders()).add, typed)
        self._changed()
        return folder

    async def remove(self, path: object) -> None:
        """Take a folder off the list. Raises `FolderRefused`."""
        await self._ask((await self.folders()).remove, path)
        self._changed()

    async def look(self) -> list[Seen]:
        """Return each folder with what is in it, all looked at side by side."""
        folders = await self.folders()
        await self._ask(folders.refresh)
        looks = await asyncio.gather(*(self._look(folder) for folder in folders.folders))
        return [Seen(folder, look) for folder, look in zip(folders.folders, looks, strict=True)]

    async def offers(self) -> list[str]:
        """Return folders with event files nearby that are not on the list."""
        listed = [folder.path for folder in (await self.folders()).folders]
        return await within(PATIENCE_S, find_folders, self.places, listed)

    @property
    def settles_s(self) -> float:
        """How long until TensorBoard has read what it is to show, after a change of the list or its start."""
        since_change = SETTLES_S if self.changed_at is None else time.monotonic() - self.changed_at
        since_start = time.time() - self._running.since
        return max(0.0, SETTLES_S - min(since_change, abs(since_start)))

    async def _look(self, folder: Folder) -> Look:
        try:
            return await within(PATIENCE_S, look_into, folder.path, self.places)
        except NoAnswer:
            return SILENT

    async def _ask(self, function: Callable[..., Result], *arguments: Any) -> Result:
        try:
            return await within(2 * PATIENCE_S, function, *arguments)
        except NoAnswer:
            raise FolderRefused("no_answer", N_("The storage does not answer. Try again in a while.")) from None

    def _changed(self) -> None:
        self.version += 1
        self.changed_at = time.monotonic()


def kept_file(environ: Environ, places: Places) -> Path:
    """Return where the list of a server is kept; two servers of one person have two."""
    config = Path(environ.get("XDG_CONFIG_HOME") or os.path.join(places.home, ".config"))
    server = environ.get("JUPYTERHUB_SERVER_NAME") or "_default"
    return config / "mlabhub" / "log-folders" / f"{server.replace('/', '_')}.json"
