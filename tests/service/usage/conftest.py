"""A service whose clock is moved by hand, with servers that were held, used and waited for."""

from __future__ import annotations

import pytest

from mlabhub.core.readings import Sample
from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running

BEGIN = 1_764_244_800.0
"""Noon in UTC: in most zones, its neighbours belong to the same day."""
HOUR = 3600.0


def held(number: int, user: str, group: str | None, gpus: int = 1, hours: float | None = None) -> Reservation:
    """Return a launch that began at `BEGIN`."""
    return Reservation(
        f"01USAGE{number:019}",
        user,
        f"s{number}",
        "held" if hours is None else "released",
        created=BEGIN,
        changed=BEGIN,
        deadline=BEGIN,
        group=group,
        profile="gpu",
        gpu_type="a100",
        gpus=tuple(f"GPU-n1-a100-{number * 2 + one}" for one in range(gpus)),
        node="n1",
        held=BEGIN,
        released=None if hours is None else BEGIN + hours * HOUR,
    )


class Past:
    """What happened: alice held two GPUs for an hour and used one of them for half of it; bob's nobody measured."""

    def __init__(self, running: Running):
        self.running, self.world = running, running.world
        self.now = BEGIN
        self.world.clock = lambda: self.now

    async def happen(self) -> None:
        """Let it."""
        launches = [held(1, "alice", "vision", 2, 1.0), held(2, "bob", "vision", 1, 2.0), held(3, "carol", None)]
        waited = QueueEntry("w", "carol", "q", "left", BEGIN, BEGIN, BEGIN + HOUR, group="nlp", profile="gpu", gpus=4)
        await self.world.writer.submit(lambda _: Outcome(None, (*launches, waited)))
        for minute in range(1, 61):
            util = (90.0 if minute <= 30 else 0.0, 1.0)
            t = BEGIN + 60.0 * minute
            self.world.samples.add(t, [Sample(t, "alice/s1", launches[0].launch_id, 2, util, (0.0, 0.0), 0.1)])

    async def pass_by(self, hours: float) -> None:
        """Let time pass, and be added up."""
        self.now += hours * HOUR
        while await self.world.usage_loop.step():
            pass


@pytest.fixture
async def past(running: Running) -> Past:
    """Return a service that has added three hours up."""
    one = Past(running)
    await one.happen()
    await one.pass_by(3.1)
    return one
