"""The catalogue in force: read when the service starts, and again when a file of its folder has changed.

Guarantees: a folder that has become faulty changes nothing; the last good catalogue stays in force, and the fault is in
the log and in `CatalogSource.fault` until it is mended.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from mlabhub.catalog import FILES
from mlabhub.core.profiles import Catalog
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)
LOOK_EVERY_S = 2.0


class CatalogSource:
    """Call it for the catalogue. ``clock`` is monotonic; raises what ``load`` raises if there is no good one yet."""

    def __init__(self, folder: Path, load: Callable[[Path], Catalog], clock: Callable[[], float]):
        self._folder = folder
        self._load = load
        self._clock = clock
        self._looked_at = clock()
        self._signature = _signature(folder)
        self._catalog = load(folder)
        self.fault: MLabError | None = None

    def __call__(self) -> Catalog:
        """Return the catalogue in force."""
        now = self._clock()
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            signature = _signature(self._folder)
            if signature != self._signature:
                self._signature = signature
                self._reload()
        return self._catalog

    def _reload(self) -> None:
        try:
            self._catalog = self._load(self._folder)
            self.fault = None
            log.info("The configuration folder %s has changed and is in force", self._folder)
        except MLabError as error:
            self.fault = error
            log.error("The configuration folder %s has faults; what was read before stays: %s", self._folder, error)


def _signature(folder: Path) -> tuple[tuple[int, int, int] | None, ...]:
    signature: list[tuple[int, int, int] | None] = []
    for name in FILES:
        try:
            status = (folder / name).stat()
            signature.append((status.st_mtime_ns, status.st_size, status.st_ino))
        except OSError:
            signature.append(None)
    return tuple(signature)
