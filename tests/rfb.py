"""A small VNC client for tests: pixels as they are on the screen, keys, the pointer, and text by the clipboard.

It speaks RFB 3.8 with raw rectangles and the extended clipboard (UTF-8) over anything that sends and receives bytes.
"""

from __future__ import annotations

import socket
import struct
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import websocket

RAW, DESKTOP_SIZE, EXTENDED_CLIPBOARD = 0, -223, -0x3F5E1A32
TEXT = 1
CAPS, REQUEST, PEEK, NOTIFY, PROVIDE = (1 << bit for bit in (24, 25, 26, 27, 28))
KEYS = {"\n": 0xFF0D, "\t": 0xFF09, "ctrl": 0xFFE3}
MOST_CUT_TEXT = 2**20


class Line(Protocol):
    """What the client needs of a connection."""

    def recv(self, size: int, /) -> bytes:
        """Return some bytes; none at the end; raise `TimeoutError` when nothing comes."""

    def sendall(self, data: bytes, /) -> None:
        """Send bytes."""

    def close(self) -> None:
        """End it."""


def keysym(character: str) -> int:
    """Return the number of a key or a character."""
    if character in KEYS:
        return KEYS[character]
    code = ord(character)
    return code if code < 0x100 else 0x01000000 + code


@dataclass
class Screen:
    """The screen of a desktop. ``pixels`` are four bytes each: blue, green, red, and one without meaning."""

    line: Line
    width: int = 0
    height: int = 0
    pixels: bytearray = field(default_factory=bytearray)
    clipboard: str = ""
    _offered: str = ""
    _buffer: bytearray = field(default_factory=bytearray)

    @classmethod
    def connect(cls, path: Path) -> Screen:
        """Connect to a unix socket."""
        line = socket.socket(socket.AF_UNIX)
        try:
            line.connect(str(path))
            line.settimeout(0.1)
            return cls.greet(line)
        except BaseException:
            line.close()
            raise

    @classmethod
    def greet(cls, line: Line) -> Screen:
        """Agree on a version, no password, the pixels' layout and the rectangles' kinds."""
        screen = cls(line)
        assert screen._read(12) == b"RFB 003.008\n"
        line.sendall(b"RFB 003.008\n")
        kinds = screen._read(screen._read(1)[0])
        assert 1 in kinds, f"a password is asked for: {kinds!r}"
        line.sendall(b"\x01")
        assert screen._read(4) == bytes(4)
        line.sendall(b"\x01")  # shared
        screen.width, screen.height = struct.unpack(">HH", screen._read(4))
        screen._read(16)
        screen._read(struct.unpack(">I", screen._read(4))[0])
        screen.pixels = bytearray(screen.width * screen.height * 4)
        line.sendall(b"\x00\0\0\0" + struct.pack(">BBBBHHHBBB3x", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0))
        encodings = (RAW, DESKTOP_SIZE, EXTENDED_CLIPBOARD)
        line.sendall(struct.pack(">BxH", 2, len(encodings)) + struct.pack(f">{len(encodings)}i", *encodings))
        screen._ask(incremental=False)
        return screen

    def close(self) -> None:
        """Leave."""
        self.line.close()

    # -- what is seen

    def look(self, seconds: float = 0.5) -> bytes:
        """Take in what changes for some seconds; return the pixels."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._take_message()
        return bytes(self.pixels)

    def wait_until(self, condition: Callable[[Screen], bool], seconds: float, what: str) -> None:
        """Look until something is true of the screen; fail with ``what``."""
        deadline = time.monotonic() + seconds
        while True:
            self.look(0.3)
            if condition(self):
                return
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"

    def wait_still(self, seconds: float, still: float = 1.5) -> bytes:
        """Return the pixels once nothing has changed for a while, or after some seconds."""
        deadline = time.monotonic() + seconds
        before = self.look(still)
        while (now := self.look(still)) != before and time.monotonic() < deadline:
            before = now
        return now

    def share_changed(self, before: bytes) -> float:
        """Return which part of the pixels differs from an earlier look of the same size."""
        assert len(before) == len(self.pixels), "the screen has another size"
        mine, earlier = memoryview(self.pixels).cast("I"), memoryview(before).cast("I")
        return sum(one != other for one, other in zip(mine, earlier, strict=True)) / len(mine)

    def colours(self) -> int:
        """Return how many colours there are."""
        return len(set(memoryview(self.pixels).cast("I")))

    def save(self, file: Path) -> None:
        """Write the screen as PNG."""
        rows = bytearray()
        for y in range(self.height):
            row = self.pixels[y * self.width * 4 : (y + 1) * self.width * 4]
            rgb = bytearray(self.width * 3)
            rgb[0::3], rgb[1::3], rgb[2::3] = row[2::4], row[1::4], row[0::4]
            rows += b"\0" + rgb
        parts = [(b"IHDR", struct.pack(">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0))]
        parts += [(b"IDAT", zlib.compress(bytes(rows), 6)), (b"IEND", b"")]
        data = b"".join(
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
            for kind, body in parts
        )
        file.write_bytes(b"\x89PNG\r\n\x1a\n" + data)

    # -- what is done

    def press(self, *keys: str) -> None:
        """Press keys together and let them go."""
        for key in keys:
            self.line.sendall(struct.pack(">BB2xI", 4, 1, keysym(key)))
        for key in reversed(keys):
            self.line.sendall(struct.pack(">BB2xI", 4, 0, keysym(key)))
        self.look(0.05)

    def type(self, text: str) -> None:
        """Type text, key by key."""
        for character in text:
            self.press(character)

    def click(self, x: int, y: int, button: int = 1) -> None:
        """Click somewhere."""
        for mask in (0, 1 << (button - 1), 0):
            self.line.sendall(struct.pack(">BBHH", 5, mask, x, y))
            self.look(0.1)

    def offer(self, text: str) -> None:
        """Put text on the clipboard, as a browser does when its window is entered."""
        self._offered = text
        self._send_clipboard(struct.pack(">I", NOTIFY | TEXT))
        self.look(0.5)

    # -- the protocol

    def _ask(self, *, incremental: bool) -> None:
        self.line.sendall(struct.pack(">BBHHHH", 3, incremental, 0, 0, self.width, self.height))

    def _read(self, size: int, seconds: float = 10) -> bytes:
        deadline = time.monotonic() + seconds
        while len(self._buffer) < size:
            try:
                got = self.line.recv(1 << 20)
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                raise
            if not got:
                raise ConnectionError("the desktop closed the connection")
            self._buffer += got
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _take_message(self) -> None:
        try:
            kind = self._read(1, 0)[0]
        except TimeoutError:
            return
        {0: self._take_update, 1: self._take_colours, 2: bytes, 3: self._take_cut_text}[kind]()

    def _take_update(self) -> None:
        number = struct.unpack(">xH", self._read(3))[0]
        for _ in range(number):
            x, y, width, height, encoding = struct.unpack(">HHHHi", self._read(12))
            if encoding == DESKTOP_SIZE:
                self.width, self.height = width, height
                self.pixels = bytearray(width * height * 4)
                self._ask(incremental=False)
                continue
            assert encoding == RAW, encoding
            data = self._read(width * height * 4)
            for row in range(height):
                start = ((y + row) * self.width + x) * 4
                self.pixels[start : start + width * 4] = data[row * width * 4 : (row + 1) * width * 4]
        self._ask(incremental=True)

    def _take_colours(self) -> None:
        raise AssertionError("a map of colours came")

    def _take_cut_text(self) -> None:
        length = struct.unpack(">3xi", self._read(7))[0]
        if length >= 0:
            self.clipboard = self._read(length).decode("latin-1")
            return
        data = self._read(-length)
        flags = struct.unpack(">I", data[:4])[0]
        if flags & CAPS:
            everything = CAPS | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT
            self._send_clipboard(struct.pack(">II", everything, MOST_CUT_TEXT))
        elif flags & NOTIFY and flags & TEXT:
            self._send_clipboard(struct.pack(">I", REQUEST | TEXT))
        elif flags & PROVIDE and flags & TEXT:
            plain = zlib.decompressobj().decompress(data[4:])
            size = struct.unpack(">I", plain[:4])[0]
            self.clipboard = plain[4 : 4 + size].rstrip(b"\0").decode().replace("\r\n", "\n")
        elif flags & REQUEST:
            text = self._offered.replace("\n", "\r\n").encode() + b"\0"
            packed = zlib.compress(struct.pack(">I", len(text)) + text)
            self._send_clipboard(struct.pack(">I", PROVIDE | TEXT) + packed)

    def _send_clipboard(self, data: bytes) -> None:
        self.line.sendall(struct.pack(">B3xi", 6, -len(data)) + data)


class WebsocketLine:
    """A websocket whose messages are the bytes of the line."""

    def __init__(self, address: str, token: str) -> None:
        self._socket = websocket.create_connection(address, header=[f"Authorization: token {token}"], timeout=30)
        self._socket.settimeout(0.1)

    def recv(self, size: int, /) -> bytes:
        """Return a message's bytes."""
        try:
            data = self._socket.recv()
        except websocket.WebSocketTimeoutException as error:
            raise TimeoutError from error
        except websocket.WebSocketConnectionClosedException:
            return b""
        return data if isinstance(data, bytes) else data.encode()

    def sendall(self, data: bytes, /) -> None:
        """Send bytes as one message."""
        self._socket.send_binary(data)

    def close(self) -> None:
        """End it."""
        self._socket.close()
