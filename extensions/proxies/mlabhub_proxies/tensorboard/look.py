"""Looking into folders: what is in one, which ones hold event files, how a path goes on.

Guarantees: every look ends by itself after so many entries or seconds and says that it did; a loop of links is walked
once; what cannot be read is said in words, never raised. A storage that does not answer keeps whoever calls; call by
`mlabhub_proxies.patience`.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from mlabhub_proxies.tensorboard.folders import Places
from mlabhub_proxies.words import N_, Said

USUAL_NAMES = ("runs", "logs", "lightning_logs", "tb_logs", "tensorboard", "tensorboard_logs", "outputs")
MOST_ENTRIES = 20_000
MOST_OFFERED = 20
LOOK_S = 2.0
PATIENCE_S = 4.0


@dataclass(frozen=True)
class Look:
    """What was seen in a folder."""

    runs: int = 0
    """Folders with event files in them."""
    files: int = 0
    """Event files."""
    newest: float | None = None
    """When one was last written, in seconds since the epoch."""
    complete: bool = True
    """False if there was more than one look takes in."""
    problem: Said | None = None
    """Why nothing can be seen, or not all."""


OUTSIDE = Look(problem=Said.of(N_("It now leads out of your folders, so it is not shown.")))
SILENT = Look(complete=False, problem=Said.of(N_("The storage does not answer.")))
ABSENT = Look(problem=Said.of(N_("Nothing there yet: the first run that writes into it appears by itself.")))


class Budget:
    """How much one look may still take in."""

    def __init__(self, entries: int = MOST_ENTRIES, seconds: float = LOOK_S) -> None:
        self._left = entries
        self._deadline = time.monotonic() + seconds

    def spend(self) -> bool:
        """Take one entry in; False when there is nothing left."""
        self._left -= 1
        return self._left >= 0 and time.monotonic() < self._deadline


def is_event_file(entry: os.DirEntry[str]) -> bool:
    """Return whether TensorBoard would read a file. Whoever writes to a shared folder may leave anything in it."""
    try:
        return "tfevents" in entry.name and entry.is_file()
    except OSError:
        return False  # a link that leads to itself, or where one may not look


def look_into(path: str, places: Places, budget: Budget | None = None) -> Look:
    """Return what is in a folder, looked at with patience for `budget`."""
    budget = budget or Budget()
    if not places.holds(path):
        return OUTSIDE
    try:
        with os.scandir(path):
            pass
    except FileNotFoundError:
        return ABSENT
    except OSError as fault:
        return Look(problem=Said.of(N_("It cannot be read: {why}."), why=fault.strerror))
    seen = Look()
    for _, event_files in walk(path, budget):
        newest = max((written(entry) for entry in event_files), default=0.0)
        if event_files:
            seen = replace(
                seen,
                runs=seen.runs + 1,
                files=seen.files + len(event_files),
                newest=max(newest, seen.newest or 0.0),
            )
    return seen if budget.spend() else replace(seen, complete=False)


def written(entry: os.DirEntry[str]) -> float:
    """Return when a file was last written, 0 if it is gone."""
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def walk(
    top: str, budget: Budget, deepest: int = 40, *, hidden: bool = True
) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each readable folder with its event files, the upper ones first, each once whatever links lead to it."""
    known: set[tuple[int, int]] = set()
    waiting = deque([(top, 0)])
    while waiting:
        folder, depth = waiting.popleft()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in known:
                continue
            known.add((status.st_dev, status.st_ino))
            entries = list(take(folder, budget))
        except OSError:
            continue
        yield folder, [entry for entry in entries if is_event_file(entry)]
        if depth < deepest:
            below = (entry for entry in entries if (hidden or not entry.name.startswith(".")) and is_folder(entry))
            waiting.extend((entry.path, depth + 1) for entry in below)


def take(folder: str, budget: Budget) -> Iterator[os.DirEntry[str]]:
    """Yield a folder's entries as far as the budget goes."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if not budget.spend():
                return
            yield entry


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def find_folders(places: Places, listed: Iterable[str]) -> list[str]:
    """Return folders with event files near the top of the person's places that are not on the list yet."""
    known = set(listed)
    found: dict[str, None] = {}
    for place in places:
        for folder, event_files in walk(place, Budget(entries=5_000, seconds=LOOK_S / 4), deepest=4, hidden=False):
            if event_files:
                found[worth_offering(folder, place)] = None
    return [path for path in found if not any(path == old or path.startswith(old + "/") for old in known)][
        :MOST_OFFERED
    ]


def worth_offering(folder: str, place: str) -> str:
    """Return the folder to offer for one that holds event files: the one with a usual name, else the one around it.

    >>> worth_offering("/home/alice/project/runs/may/1", "/home/alice")
    '/home/alice/project/runs'
    >>> worth_offering("/home/alice/project/1", "/home/alice")
    '/home/alice/project'
    >>> worth_offering("/home/alice/first", "/home/alice")
    '/home/alice/first'
    """
    below = os.path.relpath(folder, place).split("/")
    for depth, name in enumerate(below, start=1):
        if name in USUAL_NAMES:
            return os.path.join(place, *below[:depth])
    return os.path.join(place, *below[:-1]) if len(below) > 1 else folder


def complete(typed: str, places: Places) -> list[str]:
    """Return the folders whose path begins with what was typed, written as it was, those with event files first."""
    if typed == "~" or typed.startswith("~/"):
        return ["~" + path[len(places.home) :] for path in complete(places.home + typed[1:], places)]
    around, _, beginning = typed.rpartition("/")
    if not typed.startswith("/") or "\0" in typed or not places.holds(around or "/"):
        return [place for place in places if place.startswith(typed)]
    try:
        entries = [
            entry.path
            for entry in take(around or "/", Budget(entries=5_000))
            if entry.name.startswith(beginning) and (beginning or not entry.name.startswith(".")) and is_folder(entry)
        ]
    except OSError:
        return []
    return sorted(sorted(entries)[:200], key=lambda path: not has_event_files(path))[:MOST_OFFERED]


def has_event_files(path: str) -> bool:
    """Return whether a folder has event files in it or not far below."""
    return any(files for _, files in walk(path, Budget(entries=200, seconds=0.2), deepest=2))
