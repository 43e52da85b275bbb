"""The folder of one server where its tools keep their sockets and logs.

Guarantees: only its owner can enter it (mode 0700); two servers of one person never share it; a path in it is short
enough for a unix socket; it is made when it is first needed and removed with the server.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

LONGEST_ROOT = 60
"""How long the path around it may be: the kernel takes at most 107 bytes for a socket's whole path."""


class PrivateFolder:
    """A folder that exists from its first use until `remove`."""

    def __init__(self, runtime_dir: str | None) -> None:
        """Remember where it will be: below ``XDG_RUNTIME_DIR`` if that can be used, else below the temporary folder."""
        self._runtime_dir = runtime_dir
        self._path: Path | None = None

    def fresh(self, name: str) -> Path:
        """Return an empty folder in it. Raises `OSError` if the disk is full or read-only."""
        if self._path is None or not self._path.is_dir():
            self._path = self._make()
        place = self._path / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        return place

    def remove(self) -> None:
        """Remove it and all that is in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)

    def _make(self) -> Path:
        prefix = f"{os.getpid()}-"
        if self._runtime_dir and len(os.fsencode(self._runtime_dir)) <= LONGEST_ROOT:
            around = Path(self._runtime_dir) / "mlabhub"
            try:
                around.mkdir(mode=0o700, parents=True, exist_ok=True)
                return Path(tempfile.mkdtemp(prefix=prefix, dir=around))
            except OSError:
                pass
        return Path(tempfile.mkdtemp(prefix=f"mlabhub-{prefix}"))
