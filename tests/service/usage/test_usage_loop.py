"""Adding up: whatever starts, ends and waits, and whenever it is looked at, sums are those of the ledger."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.readings import Sample
from mlabhub.core.usage.report import whole
from mlabhub.core.usage.sums import Sums
from mlabhub.errors import Unavailable
from mlabhub.ledger import MemoryLedger, MemorySamples, MemoryUsage, QueueEntry, Reservation
from mlabhub.service.metrics import Metrics
from mlabhub.service.usage.loop import EACH_S, LATE_S, UsageLoop

BEGIN = 1_764_201_600.0
SPAN_S = 40 * 3600


class NoCapacity:
    """Machines that nobody can ask."""

    async def get(self) -> Any:
        """Fail."""
        raise Unavailable("The machines do not answer.")


class Installation:
    """A ledger in memory, and what adds it up; ``now`` is moved by hand."""

    def __init__(self) -> None:
        self.ledger, self.samples, self.now = MemoryLedger(), MemorySamples(), BEGIN
        self.world: Any = SimpleNamespace(
            usage=MemoryUsage(self.ledger),
            samples=self.samples,
            capacity=NoCapacity(),
            metrics=Metrics(),
            clock=lambda: self.now,
        )
        self.loop = UsageLoop(self.world)

    async def look(self, now: float) -> None:
        """Add up what is over, by a service that may have been started just now."""
        self.now = now
        while await self.loop.step():
            pass

    def total(self) -> Sums:
        """Return all that was added up."""
        days = self.world.usage.totals("day", "0000", "9999")
        return whole(SimpleNamespace(sums=one) for one in days.values())  # type: ignore[misc]


def make(installation: Installation, spans: list[tuple[int, int, int]]) -> list[tuple[float, list[Any]]]:
    """Return what is committed when: launches that wait half as long as they run, and end or run on."""
    acts: list[tuple[float, list[Any]]] = []
    for number, (begin, length, gpus) in enumerate(spans):
        start, end = BEGIN + begin, BEGIN + begin + length
        held = tuple(f"GPU-{number}-{one}" for one in range(gpus))
        about = {"group": "vision", "profile": "gpu"}
        one = Reservation(f"L{number}", "alice", f"s{number}", "held", start, start, start, gpus=held, **about)
        asked = QueueEntry(
            f"L{number}", "alice", f"s{number}", "waiting", start, start - 0.5 * length, start, gpus=gpus, **about
        )
        over = {**vars(one), "state": "released", "released": end, "changed": end}
        began = {**vars(asked), "state": "claimed", "started": start}
        acts += [(asked.created, [asked]), (start, [one, QueueEntry(**began)]), (end, [Reservation(**over)])]
    return sorted(acts, key=lambda act: act[0])


spans = st.tuples(st.integers(3600, SPAN_S), st.integers(1, SPAN_S), st.integers(1, 8))


@settings(max_examples=60)
@given(st.lists(spans, max_size=6), st.integers(1, 20), st.randoms(use_true_random=False))
def test_sums_are_those_of_the_ledger(given: list[tuple[int, int, int]], looks: int, chance: random.Random) -> None:
    installation = Installation()
    acts = make(installation, given)
    moments = sorted(BEGIN + chance.random() * 2 * SPAN_S for _ in range(looks))

    async def live() -> None:
        for moment in (*moments, BEGIN + 3 * SPAN_S):
            while acts and acts[0][0] <= moment:
                _, records = acts.pop(0)
                installation.ledger.commit(records)
            for one in installation.ledger._reservations.values():
                if one.active:
                    util = tuple(chance.choice((None, 0.0, 50.0)) for _ in one.gpus)
                    t = moment // 60 * 60
                    sample = Sample(t, f"alice/{one.server}", one.launch_id, len(util), util, (), None)
                    installation.samples.add(t, [sample])
            await installation.look(moment)
            if chance.random() < 0.3:
                installation.loop = UsageLoop(installation.world)

    asyncio.run(live())
    total = installation.total()
    assert total.held == sum(length * gpus * 1000 for _, length, gpus in given)
    assert total.waited == sum(length * gpus * 500 for _, length, gpus in given)
    assert min(total.used, total.idle, total.unknown) >= 0


async def test_what_is_not_over_waits() -> None:
    installation = Installation()
    installation.ledger.commit(make(installation, [(3600, 3600, 1)])[0][1])
    await installation.look(BEGIN + 3600)
    first = installation.loop.until
    assert first is not None
    assert first % EACH_S == 0
    await installation.look(first + EACH_S + LATE_S - 1)
    assert installation.loop.until == first
    await installation.look(first + EACH_S + LATE_S)
    assert installation.loop.until == first + EACH_S


async def test_two_that_add_up_count_once() -> None:
    installation = Installation()
    for _, records in make(installation, [(3600, 3600, 2)]):
        installation.ledger.commit(records)
    other = UsageLoop(cast(Any, installation.world))
    installation.now = BEGIN + 3 * 3600
    await asyncio.gather(installation.loop.step(), other.step(), installation.loop.step(), other.step())
    await installation.look(BEGIN + 4 * 3600)
    while await other.step():
        pass
    assert installation.total().held == 2 * 3600 * 1000
