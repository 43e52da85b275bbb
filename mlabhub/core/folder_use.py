"""How much is in a folder, and how much may be: from its quota, or as it was counted at night.

Guarantees: pure; what cannot be read is None, never zero; amounts are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

KIB = 1024
COLUMNS = 9
"""Of a line of ``quota -pw``: file system, then blocks, quota, limit and grace, then the same of files."""

By = Literal["folder quota", "user quota", "group quota", "count"]


@dataclass(frozen=True)
class FolderUse:
    """``used`` of ``limit`` bytes (None: no limit is known), and what says so; a count was made ``at`` that time."""

    used: int
    limit: int | None
    by: By
    at: float | None = None


def read_quota(text: str, by: By) -> FolderUse | None:
    """Return what ``quota --raw-grace --no-wrap`` says of one file system; None if there is no quota on it.

    The lower one of its two limits counts, if there is one: beyond it nothing may be written before long.
    """
    for line in text.splitlines():
        words = line.split()
        if len(words) != COLUMNS or not all(word.rstrip("*").isdecimal() for word in words[1:]):
            continue
        used, *limits = (int(word.rstrip("*")) * KIB for word in words[1:4])
        known = [limit for limit in limits if limit]
        return FolderUse(used, min(known), by) if known else None
    return None


def read_du(told: bytes, complaints: str, folders: Iterable[str]) -> dict[str, int]:
    """Return the bytes of those of the folders that ``du --null --block-size=1`` told of.

    Where it could not read something of a folder, what it says of that one is too little, and is left out.
    """
    wanted, sizes = frozenset(folders), dict[str, int]()
    unread = [line for line in complaints.splitlines() if "No such file" not in line]
    for record in told.split(b"\0"):
        size, _, path = record.decode("utf-8", "surrogateescape").partition("\t")
        complained = any(f"{path}/" in line or f"{path}'" in line for line in unread)
        if path in wanted and size.isdecimal() and not complained:
            sizes[path] = int(size)
    return sizes


def next_count(now: datetime, hour: int) -> datetime:
    """Return when it is that hour for the next time."""
    at = now.replace(hour=hour, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)
