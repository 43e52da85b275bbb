"""The service of `made_service` as `bench_pages` measures it: with the real hub's logins, and an eye on its event loop.

    python -m tests.bench.pages_service STATE/settings.json HOLDS

Each second a line of JSON about the event loop goes to the file ``HOLDS`` (`holds`). A driver that answers at once
tells how busy servers are, for none of 3,000 runs here.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from pathlib import Path

from mlabhub.core.readings import Reading, Watched
from mlabhub.service.app import serve
from mlabhub.service.idle import watching
from mlabhub.service.idle.sources import Sources
from mlabhub.settings import load_settings
from tests.bench.holds import note_holds
from tests.bench.made_service import make_doubles
from tests.bench.pages_hub import ADMINS


class Driver:
    """Tells at once of all GPUs and cores: a third of the servers are at work."""

    async def sample(self, watched: Iterable[Watched], now: float) -> tuple[Reading, ...]:
        """Return readings."""
        return tuple(_reading(one, now, busy=number % 3 == 0) for number, one in enumerate(watched))


def _reading(one: Watched, now: float, *, busy: bool) -> Reading:
    percent, cores = (80.0, 0.5) if busy else (0.0, 0.02)
    gpus = len(one.gpus)
    return Reading(one.server, one.launch_id, now, (percent,) * gpus, (2e9,) * gpus, cores, 5.0)


async def main(file: str, holds: str) -> None:
    """Serve until SIGTERM."""
    settings = load_settings(file)
    hub, backend, _ = make_doubles(settings)
    for name in ADMINS:
        hub.add_user(name, admin=True)
    noting = asyncio.create_task(note_holds(Path(holds)))
    await serve(settings, hub=hub, backend=backend)
    noting.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    watching.make_sources = lambda *_: Sources([Driver()])  # type: ignore[assignment]
    asyncio.run(main(*sys.argv[1:]))
