"""What a browser sends to a desktop (RFB, RFC 6143), read only as far as is needed to know that a person is there.

Guarantees: of a message its kind and its length are looked at and nothing else: no key, no place on the screen, no text
of the clipboard is read, and nothing is kept. It costs a few bytes of work for each message, however long that is.

Keys (4, and 255 with QEMU's extension) and the pointer (5) are a person's. Text for the clipboard (6) is not counted,
though people paste: noVNC sends it also when a program on the desktop copies or asks for something, with nobody there,
and who pastes presses keys or a button. All else (3 and 150 ask for the picture, 248 answers the desktop's own
questions, 251 follows the window) comes by itself.
"""

from __future__ import annotations

import struct

VERSION, OLDEST = 12, b"RFB 003.003\n"
PASSWORD_KIND, SHARED = 1, 1
KEY, POINTER, QEMU = 4, 5, 255
LENGTHS = {0: 20, 3: 10, KEY: 8, 150: 10, 250: 4}
ALL_EIGHT = 0x80
"""In a pointer's mask: one more byte of buttons follows."""


class ClientMessages:
    """One connection's bytes from the browser, in pieces of any size."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        """Bytes of the present message that do not matter."""
        self._greets = True
        self._lost = False

    def take(self, piece: bytes) -> bool:
        """Return whether a person did something in the next bytes."""
        if self._lost:
            # noVNC begins a message with each of its own, long ones apart.
            return bool(piece) and _is_input(piece[:2])
        acted, at = False, 0
        while at < len(piece):
            if self._left:
                step = min(self._left, len(piece) - at)
                self._left -= step
                at += step
                continue
            self._head.append(piece[at])
            at += 1
            length = _greeting(self._head) if self._greets else _length(self._head)
            if length is None:
                continue
            if length < len(self._head):
                self._lost = True
                return acted or _is_input(piece[:2])
            acted = acted or (not self._greets and _is_input(self._head))
            self._left, self._greets = length - len(self._head), False
            self._head.clear()
        return acted


def _is_input(head: bytes | bytearray) -> bool:
    return head[0] in (KEY, POINTER) or (head[0] == QEMU and head[1:2] == b"\0")


def _greeting(head: bytearray) -> int | None:
    """Return how long the greeting is: version, the kind of password unless the server says it, shared or not."""
    if len(head) < VERSION:
        return None
    return VERSION + SHARED + (0 if bytes(head) == OLDEST else PASSWORD_KIND)


def _length(head: bytearray) -> int | None:
    """Return how long a message is, None if more of it is needed to know, 0 if nobody knows."""
    kind, known = head[0], len(head)
    if kind in LENGTHS:
        return LENGTHS[kind]
    if kind == POINTER:
        return None if known < 2 else 7 if head[1] & ALL_EIGHT else 6
    if kind == 2:
        return None if known < 4 else 4 + 4 * struct.unpack_from(">H", head, 2)[0]
    if kind == 6:
        return None if known < 8 else 8 + abs(struct.unpack_from(">i", head, 4)[0])
    if kind == 248:
        return None if known < 9 else 9 + head[8]
    if kind == 251:
        return None if known < 7 else 8 + 16 * head[6]
    if kind == QEMU:
        return None if known < 2 else 12 if head[1] == 0 else 0
    return 0
