"""The catalogue in force: read when the service starts, and again when a file of its folder has changed.

Guarantees: a folder that has become faulty changes nothing; the last good catalogue stays in force, and the fault is in
the log and in `CatalogSource.fault` until it is mended. A change is read only once no file has changed for a while, and
counts only if none changed while it was read, so that of an edit to several files all is in force, or nothing yet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from mlabhub.catalog import FILES, InvalidCatalog
from mlabhub.core.profiles import Catalog
from mlabhub.errors import MLabError
from mlabhub.messages import Message

log = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
SETTLED_AFTER_S = 2.0

Signature = tuple[tuple[int, int, int, int] | None, ...]


class CatalogSource:
    """Call it for the catalogue. ``clock`` is monotonic; raises what ``load`` raises if there is no good one yet."""

    def __init__(self, folder: Path, load: Callable[[Path], Catalog], clock: Callable[[], float]):
        self._folder = folder
        self._load = load
        self._clock = clock
        self._read = _signature(folder)
        self._catalog = load(folder)
        self._seen = self._read
        self._seen_at = clock()
        self.fault: MLabError | None = None

    def __call__(self) -> Catalog:
        """Return the catalogue in force."""
        return self._catalog

    async def watch(self) -> None:
        """Look again and again. What is read meanwhile does not hold up anything else."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await asyncio.to_thread(self.look)
            except Exception:
                log.exception("The configuration folder %s could not be looked at; what was read stays", self._folder)

    def look(self) -> None:
        """Read the folder if it has changed and then was left alone for a while."""
        now, signature = self._clock(), _signature(self._folder)
        if signature != self._seen:
            self._seen, self._seen_at = signature, now
        elif signature != self._read and now - self._seen_at >= SETTLED_AFTER_S:
            self._reload(signature)

    def _reload(self, signature: Signature) -> None:
        try:
            catalog = self._load(self._folder)
        except MLabError as error:
            if _signature(self._folder) == signature:
                self._read, self.fault = signature, error
                log.error("The configuration folder %s has faults; what was read before stays: %s", self._folder, error)
            return
        if _signature(self._folder) == signature:
            self._read, self.fault, self._catalog = signature, None, catalog
            log.info("The configuration folder %s has changed and is in force", self._folder)


def fault_lines(fault: MLabError | None) -> tuple[Message, ...]:
    """Return what is wrong with the folder, a line a fault; nothing if it is in force."""
    if fault is None:
        return ()
    return tuple(one.line_text for one in fault.faults) if isinstance(fault, InvalidCatalog) else (fault.message,)


def _signature(folder: Path) -> Signature:
    signature: list[tuple[int, int, int, int] | None] = []
    for name in FILES:
        try:
            status = (folder / name).stat()
            signature.append((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino))
        except OSError:
            signature.append(None)
    return tuple(signature)
