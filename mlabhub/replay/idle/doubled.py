"""A recording that stands in a stream twice, as ``cat f f`` makes it, is read once.

Guarantees: pure; lines are left out only while they repeat, from the very first one on and in its order, what was read
before, and only if these say different things: a server that stands idle says the same at all times, so that a clock
that was set back to its beginning looks like a copy.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator

HELD = 1_000
"""After so many lines that repeat others a copy is told from a clock that was set back."""
LEAST_DIFFERENT = 8
"""A copy says at least so many different things."""
WHO_AND_WHEN = frozenset({"t", "server", "launch_id", "last_activity"})


class Once:
    """The lines of a stream with their numbers, those of copies left out; ``left_out`` counts these."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self.left_out = 0
        self._lines = lines
        self._marks = array("q")
        self._held: list[tuple[int, bytes]] = []
        self._place = 0
        self._is_copy = False

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for number, raw in enumerate(self._lines, 1):
            mark = hash(raw.strip())
            if self._marks and mark == self._marks[self._place]:
                yield from self._repeated(number, raw)
                continue
            if self._place:
                yield from self._go_on()
            self._marks.append(mark)
            yield number, raw
        yield from self._go_on()

    def _repeated(self, number: int, raw: bytes) -> Iterator[tuple[int, bytes]]:
        """Take a line that is the next of a copy, if it is one."""
        self._place += 1
        ends = self._place == len(self._marks)
        if self._is_copy:
            self.left_out += 1
        else:
            self._held.append((number, raw))
            if ends or len(self._held) == HELD:
                self._is_copy = _differ(one for _, one in self._held)
                if not self._is_copy:
                    yield from self._go_on()
                    return
                self.left_out += len(self._held)
                self._held = []
        if ends:
            self._place, self._is_copy = 0, False

    def _go_on(self) -> Iterator[tuple[int, bytes]]:
        """Give out what was held: it was no copy, or the copy is over."""
        held, self._held = self._held, []
        self._place, self._is_copy = 0, False
        for number, raw in held:
            self._marks.append(hash(raw.strip()))
            yield number, raw


def _differ(lines: Iterable[bytes]) -> bool:
    """Whether lines say enough different things, whoever says them and when."""
    said = set()
    for raw in lines:
        try:
            data = json.loads(raw)
        except (ValueError, RecursionError):
            continue
        if isinstance(data, dict):
            said.add(
                json.dumps({name: value for name, value in data.items() if name not in WHO_AND_WHEN}, sort_keys=True)
            )
            if len(said) >= LEAST_DIFFERENT:
                return True
    return False
