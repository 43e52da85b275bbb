"""Who was refused lately for want of room: until there is a queue, these are the people who wait.

Guarantees: kept in memory, bounded, one entry for each person and kind of server, however often they ask; an entry ends
when the person gets a server of that kind, `WAIT_S` after they last asked, or with the service.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.waiting import Waiting

WAIT_S = 15 * 60.0
MOST_WAITING = 1000

Key = tuple[str, bool]


@dataclass(frozen=True)
class _Entry:
    waiting: Waiting
    asked: float


class Waitlist:
    """The people who wait, by name and whether they want GPUs; who asked last comes last."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}

    def note(self, waiting: Waiting) -> None:
        """Remember that somebody waits; they wait since they first asked, for what they asked last."""
        key = _key(waiting.request)
        known = self._entries.pop(key, None)
        since = known.waiting.since if known and waiting.since - known.asked < WAIT_S else waiting.since
        self._entries[key] = _Entry(replace(waiting, since=since), waiting.since)
        while len(self._entries) > MOST_WAITING:
            del self._entries[next(iter(self._entries))]

    def served(self, request: LaunchRequest) -> None:
        """Forget somebody who got a server of the kind they waited for, or took another one instead."""
        self._entries.pop(_key(request), None)

    def at(self, now: float) -> tuple[Waiting, ...]:
        """Return who waits now."""
        late = [key for key, entry in self._entries.items() if not 0 <= now - entry.asked < WAIT_S]
        for key in late:
            del self._entries[key]
        return tuple(entry.waiting for entry in self._entries.values())


def _key(request: LaunchRequest) -> Key:
    return request.user, request.gpus > 0
