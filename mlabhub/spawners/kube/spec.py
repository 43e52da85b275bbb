"""``kubernetes.yaml`` as it is now, with the places of the storage's folders.

Guarantees: a folder that has become faulty changes nothing; what was read before stays, and the log says why.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from mlabhub.catalog import FILES, load_catalog
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import MLabError

log = logging.getLogger(__name__)

Signature = tuple[tuple[int, int, int] | None, ...]


class SpecSource:
    """Says how the site uses its cluster. Making it raises `InvalidCatalog` if the folder is faulty."""

    def __init__(self, folder: Path, nas_dir: Path):
        self._folder = folder
        self._nas_dir = nas_dir
        self._read = self._signature()
        self.latest = self._load()

    async def __call__(self) -> KubernetesSpec:
        """Return it, read again if a file has changed."""
        signature = self._signature()
        if signature != self._read:
            self._read = signature
            try:
                self.latest = await asyncio.to_thread(self._load)
            except MLabError as error:
                log.error("%s has faults; what was read before stays: %s", self._folder, error)
        return self.latest

    def _load(self) -> KubernetesSpec:
        return load_catalog(self._folder).located(str(self._nas_dir)).kubernetes

    def _signature(self) -> Signature:
        return tuple(_signature_of(self._folder / name) for name in FILES)


def _signature_of(file: Path) -> tuple[int, int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
