"""``kubernetes.yaml`` as it is now.

Guarantees: a file that has become faulty changes nothing; what was read before stays, and the log says why.
"""

from __future__ import annotations

import logging
from pathlib import Path

from mlabhub.catalog import InvalidCatalog, load_kubernetes
from mlabhub.core.kubernetes import KubernetesSpec

log = logging.getLogger(__name__)


class SpecSource:
    """Call it for the site's use of its cluster. Making it raises `InvalidCatalog` if the file is faulty."""

    def __init__(self, folder: Path):
        self._file = folder / "kubernetes.yaml"
        self._read = self._signature()
        self._spec = load_kubernetes(self._file)

    def __call__(self) -> KubernetesSpec:
        """Return it, read again if the file has changed."""
        signature = self._signature()
        if signature != self._read:
            self._read = signature
            try:
                self._spec = load_kubernetes(self._file)
            except InvalidCatalog as error:
                log.error("%s has faults; what was read before stays: %s", self._file, error)
        return self._spec

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            status = self._file.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_ino
