"""For how long an event loop is held: time in which it gives nobody a turn."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

PAUSE_S = 0.001


class Holds:
    """Notes how long the event loop, which should give a turn each millisecond, gives none; both in seconds.

    ``cpu`` is what its own thread computed at most between two turns: without what other programs took.
    """

    def __init__(self) -> None:
        self.hold = self.cpu = 0.0

    async def watch(self) -> None:
        """Note it until cancelled."""
        while True:
            begun, spent = time.perf_counter(), time.thread_time()
            await asyncio.sleep(PAUSE_S)
            self.hold = max(self.hold, time.perf_counter() - begun - PAUSE_S)
            self.cpu = max(self.cpu, time.thread_time() - spent)


async def note_holds(file: Path) -> None:
    """Append a line of JSON each second: until when, and how the loop was held since the last one. Until cancelled."""
    while True:
        holds = Holds()
        watching = asyncio.create_task(holds.watch())
        await asyncio.sleep(1)
        watching.cancel()
        told = {"at": time.time(), "hold_ms": 1000 * holds.hold, "cpu_ms": 1000 * holds.cpu}
        with file.open("a") as lines:
            lines.write(json.dumps(told) + "\n")


def longest(file: Path, since: float, until: float) -> dict[str, float]:
    """Return the longest hold, and the most that the loop's thread computed between two turns, in ms, of a while."""
    told = [json.loads(line) for line in file.read_text().splitlines()]
    meant = [one for one in told if since <= one["at"] <= until + 1]
    return {name: round(max((one[name] for one in meant), default=0.0), 1) for name in ("hold_ms", "cpu_ms")}
