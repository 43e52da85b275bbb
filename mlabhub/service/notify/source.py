"""What `notifications.yaml` says, read when the service runs, and again when one of its files has changed.

Guarantees: a file that has become faulty changes nothing; what was read last stays in force, and the faults, which
repeat no address, are in the log. The service starts without waiting for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from mlabhub.catalog import LoadedNotifications
from mlabhub.core.notifications import Notifications
from mlabhub.service.catalogue import LOOK_EVERY_S, SETTLED_AFTER_S

log = logging.getLogger(__name__)
Signature = tuple[tuple[int, int, int, int, int] | None, ...]


class NotificationsSource:
    """Call it for what is in force; nothing is sent before the first look. ``clock`` is monotonic."""

    def __init__(self, file: Path, read: Callable[[Path], LoadedNotifications], clock: Callable[[], float]) -> None:
        self._file = file
        self._read_file = read
        self._clock = clock
        self._loaded = LoadedNotifications(file, False, Notifications(), files=(file,))
        self._files: tuple[Path, ...] = (file,)
        self._read: Signature | None = None
        self._seen: Signature | None = None
        self._seen_at = 0.0

    def __call__(self) -> LoadedNotifications:
        """Return what is in force."""
        return self._loaded

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await asyncio.to_thread(self.look)
            except Exception as error:  # its text may repeat what the file says
                log.error("%s could not be looked at (%s); what was read stays", self._file, type(error).__name__)

    def look(self) -> None:
        """Read the files at first, and if they have changed and then were left alone for a while."""
        now, signature = self._clock(), _signature(self._files)
        if signature != self._seen:
            self._seen, self._seen_at = signature, now
        if self._read is None or (signature != self._read and now - self._seen_at >= SETTLED_AFTER_S):
            self._load()

    def _load(self) -> None:
        before = _signature(self._files)
        loaded = self._read_file(self._file)
        if _signature(self._files) != before:
            return  # changed meanwhile: the next look sees that
        self._files = loaded.files
        self._read = self._seen = _signature(self._files)
        if loaded.faults:
            lines = "; ".join(map(str, loaded.faults))
            log.error("%s has faults; what was read before stays: %s", self._file, lines)
            return
        if loaded.there or self._loaded.there:
            log.info("%s %s", self._file, "is in force" if loaded.there else "is gone: no messages are sent")
        self._loaded = loaded


def _signature(files: Sequence[Path]) -> Signature:
    signature: list[tuple[int, int, int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
            signature.append((status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_mode))
        except OSError:
            signature.append(None)
    return tuple(signature)
