"""Logs of the supervised processes: one file each in one folder, rotated by size.

Guarantees: a full disk never stops a process (its output is dropped, not blocked); files are readable by their owner
only, since a hub's log names users.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
from collections import deque
from pathlib import Path

MAX_BYTES = 10 * 1024 * 1024
BACKUPS = 5
TAIL_LINES = 40


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """A rotating file of mode 0600 that gives up a line rather than an exception."""

    def _open(self):  # type: ignore[no-untyped-def]  # the base class returns a TextIOWrapper that typeshed names differently
        descriptor = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop what cannot be written and open the file anew for the next line: a full disk must not stop the hub."""
        stream, self.stream = self.stream, None  # emit() opens it again
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.close()


class LogFile:
    """The log of one process; remembers the last lines for a message when it fails."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handler = _PrivateFile(path, maxBytes=MAX_BYTES, backupCount=BACKUPS, delay=True)

    def write(self, line: str) -> None:
        """Append one line, without its line end."""
        self.tail.append(line)
        self._handler.emit(logging.LogRecord("", logging.INFO, "", 0, line, None, None))

    async def follow(self, stream: asyncio.StreamReader) -> None:
        """Copy a process's output until it ends. Overlong lines are cut into pieces, never lost."""
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self.write(line.decode(errors="replace"))
            if len(rest) > 65536:
                self.write(rest.decode(errors="replace"))
                rest = b""
        if rest:
            self.write(rest.decode(errors="replace"))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()
