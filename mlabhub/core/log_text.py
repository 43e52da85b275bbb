"""What a server writes, made fit to be shown: whole lines of plain text, out of bytes that come in any pieces.

Guarantees: pure; whatever a program writes, no line is longer than `LONGEST_LINE`, holds a control character or turns
the direction of what stands beside it; what a terminal would have written over is left out, as it would be there.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

LONGEST_LINE = 2000
MOST_UNFINISHED = 64 * 1024
"""So many characters of a line that has not ended are kept: the last ones, as a progress bar writes over itself."""
TAB = " " * 4

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|\][^\x07\x1b]{0,2048}(?:\x07|\x1b\\)|[ -/]{0,2}[0-Z\\^-~])")


class LineReader:
    """Takes bytes in and gives lines out; what is not UTF-8 is marked as such."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are whole now."""
        *whole, rest = (self._rest + self._decoder.decode(data)).split("\n")
        self._rest = rest[-MOST_UNFINISHED:]
        return [clean(line) for line in whole]

    def end(self) -> list[str]:
        """Return what has not ended with a line's end, if there is something."""
        rest, self._rest = self._rest + self._decoder.decode(b"", final=True), ""
        return [clean(rest)] if rest else []


def last_lines(data: bytes, most: int) -> tuple[str, ...]:
    """Return the last lines of a text."""
    reader = LineReader()
    lines = [*reader.feed(data), *reader.end()]
    return tuple(lines[-most:]) if most > 0 else ()


def clean(line: str) -> str:
    """Return one line without colours, overwritten parts and characters that cannot be seen."""
    shown = _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2][: 4 * LONGEST_LINE]).replace("\t", TAB)
    cut = shown if len(shown) <= LONGEST_LINE else shown[: LONGEST_LINE - 1] + "…"
    return cut if cut.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in cut)


def what_is_new(known: Sequence[str], told: Sequence[str]) -> tuple[str, ...]:
    """Return which of the lines that a log ends with now come after those that were known to be its end before.

    Where the two have nothing in common, all of them are new.
    """
    for count in range(min(len(known), len(told)), 0, -1):
        if list(known[-count:]) == list(told[:count]):
            return tuple(told[count:])
    return tuple(told)
