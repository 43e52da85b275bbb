"""How much room there is on the NAS, as far as it says so in time.

Guarantees: nobody waits for it longer than a moment, however many file servers hang, and nobody for one that is known
to hang; it costs one thread for each folder, and is asked again only when it came back; what is not known is unknown,
never zero.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlabhub.core.folder_use import FolderUse
from mlabhub.core.paths import is_within
from mlabhub.service.folder_quotas import quota_of

PATIENCE_S = 1.0
FRESH_S = 20.0
MOST_KNOWN = 10_000
FULL_BYTES = 4 * 2**20
"""With less room than this, hardly anything can be saved."""


@dataclass(frozen=True)
class Room:
    """The room of the file system, or of the quota, that a folder is in; ``use`` is how much of its quota it uses."""

    total_bytes: int
    free_bytes: int
    full: bool
    use: FolderUse | None = None


def room_of(path: str, state_dir: str = "") -> Room | None:
    """Ask the file system. Blocks; None where it has no answer.

    A folder that is not made yet has its root's room; a root below ``state_dir`` that is not, that one's.
    """
    own = (state_dir,) if state_dir and is_within(path, state_dir) else ()
    for place in (path, os.path.dirname(path), *own):
        try:
            found = os.statvfs(place)
        except OSError as error:
            if error.errno == errno.ENOENT:
                continue
            return None
        if found.f_blocks == 0:
            return None
        free = found.f_bavail * found.f_frsize
        no_files = found.f_files > 0 and found.f_favail == 0
        use = quota_of(place) if place == path else None
        return Room(found.f_blocks * found.f_frsize, free, free < FULL_BYTES or no_files, use)
    return None


class DiskUse:
    """Asks in threads, and remembers the answers for a while."""

    def __init__(self, clock: Callable[[], float], ask: Callable[[str], Room | None] = room_of):
        self._clock = clock
        self._ask = ask
        self._known: dict[str, tuple[float, Room | None]] = {}
        self._asking: dict[str, asyncio.Future[None]] = {}
        self._since: dict[str, float] = {}

    async def look(self, paths: Iterable[str]) -> dict[str, Room | None]:
        """Return the room at each path; None for what does not answer in time."""
        wanted = list(dict.fromkeys(paths))
        now = self._clock()
        stale = [path for path in wanted if not 0 <= now - self._known.get(path, (now + 1, None))[0] < FRESH_S]
        hanging = {path for path in stale if path in self._asking and now - self._since[path] > PATIENCE_S}
        waiting = [self._asked(path, now) for path in stale if path not in hanging]
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE_S)
        return {path: self._known[path][1] if path in self._known else None for path in wanted}

    def _asked(self, path: str, now: float) -> asyncio.Future[None]:
        if path not in self._asking:
            self._since[path] = now
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known.pop(path, None)
            loop = asyncio.get_running_loop()
            self._asking[path] = loop.create_future()
            # A thread of its own that nobody waits for: one that hangs must hold up neither others nor the exit.
            threading.Thread(target=self._run, args=(path, loop), name="disk", daemon=True).start()
        return self._asking[path]

    def _run(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        room = self._ask(path)
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._note, path, room)

    def _note(self, path: str, room: Room | None) -> None:
        self._known[path] = (self._clock(), room)
        self._since.pop(path)
        self._asking.pop(path).set_result(None)
