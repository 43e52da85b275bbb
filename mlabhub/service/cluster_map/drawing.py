"""How the map is drawn: machine by machine, each once for all who see the same of it, and pressed once for all.

Guarantees: what is drawn for somebody depends on nothing but the map, the pen and the launches whose holders they may
know, so nobody gets what was drawn for somebody who may know more. Memory is bounded, however many people look.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, NamedTuple, Protocol, TypeVar

from mlabhub.core.gpu_map import Place, State
from mlabhub.core.privacy import Viewer

MOST_FRAGMENTS = 8192
MOST_PIECES = 32
"""An answer about 3,200 GPUs is 0.7 MB, and a tenth of it compressed."""
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""Of gzip: no name, no time, from an unknown system."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The last values that were asked for or put, at least ``most`` and at most twice as many. Threads may share it."""

    def __init__(self, most: int):
        self._most = most
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return a value, and keep it for longer."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Keep a value."""
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[key] = value


class Piece:
    """A part of an answer that many get, with what it is when it is compressed."""

    def __init__(self, text: bytes):
        self.text = text

    @cached_property
    def deflated(self) -> bytes:
        """The text as a part of a deflate stream that stands on nothing before it and ends at a byte."""
        press = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
        return press.compress(self.text) + press.flush(zlib.Z_FULL_FLUSH)


def gzipped(before: bytes, piece: Piece, after: bytes) -> bytes:
    """Return all three as one gzip file. What is personal, before and after, is not compressed together with it."""
    crc = zlib.crc32(after, zlib.crc32(piece.text, zlib.crc32(before)))
    size = len(before) + len(piece.text) + len(after)
    tail = crc.to_bytes(4, "little") + (size & 0xFFFFFFFF).to_bytes(4, "little")
    return _HEADER + _stored(before, zlib.Z_FULL_FLUSH) + piece.deflated + _stored(after, zlib.Z_FINISH) + tail


def _stored(text: bytes, flush: int) -> bytes:
    press = zlib.compressobj(0, zlib.DEFLATED, -zlib.MAX_WBITS)
    return press.compress(text) + press.flush(flush)


class Wanted(NamedTuple):
    """Which machines are shown: those that have ``text`` in a name, the type, or only those with a free GPU."""

    text: str = ""
    kind: str = ""
    free: bool = False

    def has(self, place: Place, seen: Collection[str] | None) -> bool:
        """Whether a machine is shown; of those who hold something only who may be known counts (None: all)."""
        if self.kind and place.kind != self.kind:
            return False
        if self.free and not any(spot.state == "free" for spot in place.spots):
            return False
        text = self.text.casefold()
        return not text or any(text in word.casefold() for word in self._words(place, seen))

    def _words(self, place: Place, seen: Collection[str] | None) -> list[str]:
        holds = [spot.hold for spot in place.spots if spot.hold is not None]
        known = [one for one in holds if seen is None or one.launch_id in seen]
        return [
            *(place.name, place.kind, *(spot.type for spot in place.spots)),
            *(word for one in known for word in (one.user, one.group or "", one.server, one.display_name)),
        ]


EVERYTHING = Wanted()
Seen = frozenset[str] | None
"""The launches on a machine whose holders somebody may know; None for all of them."""


@dataclass(frozen=True, eq=False)
class Tick:
    """One map. ``past`` is the moment that it is about, None for now; ``number`` grows with every map.

    ``revisions`` say for each machine with which map it became what it is, ``revision`` that of all of it. ``changes``
    is the number of the change that it stands on.
    """

    number: int
    changes: int
    made: float
    past: float | None
    places: tuple[Place, ...]
    revisions: Mapping[str, int]
    counts: Mapping[State, int]
    revision: int

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """The types of GPUs that there are, as sections of the map, in their order; empty for machines without."""
        return tuple(dict.fromkeys(place.kind for place in self.places))


@dataclass(frozen=True)
class Drawn:
    """A machine as somebody sees it."""

    place: Place
    text: str


@dataclass(frozen=True)
class View:
    """What somebody sees of a map."""

    tick: Tick
    drawn: Sequence[Drawn]


class Pen(Protocol):
    """Draws machines, and makes one answer of them.

    Two of the same ``key`` draw the same, and two of the same ``form`` beside it compose the same answer.
    """

    @property
    def key(self) -> Hashable: ...
    @property
    def form(self) -> Hashable: ...

    def draw(self, place: Place, seen: Collection[str] | None) -> str:
        """Return a machine; ``seen`` are the launches whose holders may be told, None for all."""

    def compose(self, view: View) -> bytes:
        """Return the answer."""


class Drawings:
    """Draws, and remembers what was drawn. Threads may share it."""

    def __init__(self) -> None:
        self._fragments: Recent[Hashable, tuple[Place, str]] = Recent(MOST_FRAGMENTS)
        self._pieces: Recent[Hashable, Piece] = Recent(MOST_PIECES)

    def draw(self, tick: Tick, viewer: Viewer, pen: Pen, wanted: Wanted) -> Piece:
        """Return the answer for somebody, pressed; one for all who see the same."""
        sight = sight_of(tick.places, viewer, wanted)
        key = (tick.number, pen.key, pen.form, wanted, tuple(seen for _, seen in sight))
        piece = self._pieces.get(key)
        if piece is None:
            drawn = [Drawn(place, self._fragment(pen, place, seen)) for place, seen in sight]
            piece = Piece(pen.compose(View(tick, drawn)))
            self._pieces.put(key, piece)
        _ = piece.deflated
        return piece

    def _fragment(self, pen: Pen, place: Place, seen: Seen) -> str:
        key = (pen.key, id(place), seen)
        found = self._fragments.get(key)
        if found is None or found[0] is not place:  # an id may be somebody else's later
            found = (place, pen.draw(place, seen))
            self._fragments.put(key, found)
        return found[1]


def sight_of(places: Sequence[Place], viewer: Viewer, wanted: Wanted) -> list[tuple[Place, Seen]]:
    """Return the machines that somebody wants to see, each with the launches whose holders they may know."""
    all_seen = ((place, None if viewer.sees_all else place.seen_by(viewer)) for place in places)
    return [(place, seen) for place, seen in all_seen if wanted.has(place, seen)]
