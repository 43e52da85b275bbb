"""The end of what a shell printed, with positions, so that a reader can go on where it was.

Guarantees: at most `LIMIT` characters are kept, whatever is printed; positions only grow; what is cut off at the front
is known to the reader, never silently skipped.
"""

from __future__ import annotations

import secrets
from collections import deque

LIMIT = 2**20
SMALL = 4096
DRAW_ANEW = "\x1bc"
"""Resets a terminal, so that what is repeated after it does not stand there twice."""


class Tape:
    """What terminado keeps in ``read_buffer``, bounded by characters and not by pieces of any size."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        """Names this shell: Jupyter gives a terminal's name again when the shell has ended."""
        self.end = 0
        self._pieces: deque[str] = deque()
        self._length = 0

    def append(self, text: str) -> None:
        """Record what the shell printed."""
        if self._pieces and len(self._pieces[-1]) + len(text) <= SMALL:
            self._pieces[-1] += text
        else:
            self._pieces.append(text)
        self.end += len(text)
        self._length += len(text)
        while self._length > LIMIT and len(self._pieces) > 1:
            self._length -= len(self._pieces.popleft())

    def copy(self) -> deque[str]:
        """Return what Jupyter's own terminals repeat to a browser that connects, again or for the first time."""
        return deque([DRAW_ANEW, *self._pieces]) if self._pieces else deque()

    def read(self, position: int, at_most: int) -> tuple[int, str]:
        """Return text from a position on, and where it really starts: later, if that much is not kept any more."""
        start = max(position, self.end - self._length)
        wanted: deque[str] = deque()
        place = self.end
        for piece in reversed(self._pieces):
            if place <= start:
                break
            place -= len(piece)
            wanted.appendleft(piece)
        return start, "".join(wanted)[max(0, start - place) :][:at_most]
