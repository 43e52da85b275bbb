"""The folder of one server where its tools keep their sockets and logs.

Guarantees: only its owner can enter it (mode 0700); two servers of one person never share it; a path in it is short
enough for a unix socket; it is made when it is first needed and removed with the server. After a server that was killed
the last keeper of its tools removes it, or else the next server of the same person does: as long as anybody uses it, a
lock on it (`flock`) is held. May be called from any thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

LONGEST_ROOT = 60
"""How long the path around it may be: the kernel takes at most 107 bytes for a socket's whole path."""
REMOVALS = 10
FRESH_S = 60.0
"""A folder this young may belong to a server that has not taken its lock yet."""


class PrivateFolder:
    """A folder that exists from its first use until `remove`."""

    def __init__(self, runtime_dir: str | None) -> None:
        """Remember where it will be: below ``XDG_RUNTIME_DIR`` if that can be used, else below the temporary folder."""
        self._runtime_dir = runtime_dir
        self._path: Path | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def fresh(self, name: str) -> Path:
        """Return an empty folder in it. Raises `OSError` if the disk is full or read-only, or if it was removed."""
        with self._lock:
            if self._is_over:
                raise OSError(errno.ESHUTDOWN, "The server has ended", name)
            if self._path is None or not self._path.is_dir():
                self._path = self._make()
                # Held until this process ends.
                fcntl.flock(os.open(self._path, os.O_RDONLY), fcntl.LOCK_SH)
        place = self._path / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(mode=0o700)
        return place

    def remove(self) -> None:
        """Remove it and all that is in it, for good; a thread that is still writing there finds its place gone."""
        with self._lock:
            self._is_over = True
            if self._path is None:
                return
            gone = self._path.with_name(f"{self._path.name}.gone")
            with contextlib.suppress(OSError):
                self._path.rename(gone)
            for _ in range(REMOVALS):  # What was being made in the very moment of the renaming is in it, too.
                shutil.rmtree(gone, ignore_errors=True)
                if not gone.exists():
                    break

    def _make(self) -> Path:
        prefix = f"{os.getpid()}-"
        if self._runtime_dir and len(os.fsencode(self._runtime_dir)) <= LONGEST_ROOT:
            around = Path(self._runtime_dir) / "mlabhub"
            with contextlib.suppress(OSError):
                around.mkdir(mode=0o700, parents=True, exist_ok=True)
                remove_left_behind(around.iterdir())
                return Path(tempfile.mkdtemp(prefix=prefix, dir=around))
        remove_left_behind(Path(tempfile.gettempdir()).glob("mlabhub-tools-*"))
        return Path(tempfile.mkdtemp(prefix=f"mlabhub-tools-{prefix}"))


def remove_left_behind(folders: Iterable[Path]) -> None:
    """Remove those folders of this account whose servers are gone: nobody holds their locks."""
    for folder in folders:
        try:
            found = folder.lstat()
            if found.st_uid != os.getuid() or time.time() - found.st_mtime < FRESH_S:
                continue
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass  # In use.
        finally:
            os.close(handle)
