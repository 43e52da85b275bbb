"""What the replays share: files of JSON Lines read and written, and how their figures are printed.

Guarantees: a fault in a file is one sentence and exit status 2; what was read is never written over.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mlabhub.cli.shown import counting
from mlabhub.errors import InvalidConfiguration
from mlabhub.replay.reader import MOST_LINE_BYTES

TOLD_LINES = 5000
Read = TypeVar("Read")


class Line(Protocol):
    """What a line of a file is made of."""

    def to_dict(self) -> dict[str, Any]: ...


def read_recording(file: Path, read: Callable[[Iterator[bytes]], Read], invalid: type[InvalidConfiguration]) -> Read:
    """Return what ``read`` makes of a file's lines; whether it is compressed is seen from its first bytes.

    ``invalid`` is what ``read`` raises, and what is raised of a file that is damaged.
    """
    try:
        with counting("Reading", file.stat().st_size) as steps:
            return read(lines_of(file, steps.done))
    except invalid as error:
        raise invalid(f"{file}: {error}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise invalid(f"{file}: it was compressed by gzip and is cut off or damaged ({error}).") from None
    except OSError as error:
        raise InvalidConfiguration(f"{file} cannot be read: {error.strerror or error}. Name a file that can.") from None


def lines_of(file: Path, tell: Callable[[int], None]) -> Iterator[bytes]:
    """Yield a file's lines, no more of one at a time than a line may have; tell now and then how far it is read."""
    with file.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(raw) if packed else raw as text:
            for number in count():
                if not (line := text.readline(MOST_LINE_BYTES + 1)):
                    return
                if number % TOLD_LINES == 0:
                    tell(raw.tell())
                yield line


def write_lines(file: Path, lines: Iterable[Line], source: Path | None, name: str) -> None:
    """Write JSON Lines to a file that is not the one that was read, ``source``; ``name`` says what that is."""
    if source is not None and file.exists() and source.exists() and file.samefile(source):
        raise InvalidConfiguration(f"--out {file} is the {name}. Name another file.")
    with file.open("w") as out:
        for line in lines:
            out.write(json.dumps(line.to_dict()) + "\n")


def share(value: float) -> str:
    """Print a share: ``73.8 %``."""
    return f"{value * 100:.1f} %"


def number(value: float) -> str:
    """Print an amount of GPU-hours."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
