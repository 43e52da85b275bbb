"""Requests, ends, deaths and outages in any order: no GPU twice, nobody lost, everybody has a turn."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.quota_changes import effective
from mlabhub.core.sharing.model import Round
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.ledger import LedgerUnavailable, MemoryLedger
from mlabhub.service.answers import Admitted, Waits
from mlabhub.service.queue import acts, loop
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.quota_desk import QuotaDesk
from tests.doubles import unreachable
from tests.service.queue.lab import PEOPLE, Lab, make_catalog
from tests.service.queue.test_crashes import check_agreement

QUOTAS = {
    "groups": {"nlp": {"guaranteed": {"gpu": 2}, "limit": {"gpu": 3}}, "vision": {"guaranteed": {"gpu": 1}}},
    "notice_seconds": 60,
}
WHAT = (
    "ask",
    "ask",
    "ask",
    "stop",
    "look",
    "look",
    "leave",
    "move",
    "die",
    "hub",
    "ledger",
    "use",
    "quota",
    "quota",
    "undo",
)
OVER = ("claimed", "given_back", "left", "refused")


class Story:
    """One history."""

    def __init__(self, dice: random.Random):
        self.dice = dice
        self.lab = Lab(Path(tempfile.gettempdir()), make_catalog(QUOTAS), memory=MemoryLedger())
        self.asked: set[str] = set()

    async def step(self, what: str) -> None:
        """Let one thing happen; whoever is refused is told so."""
        lab, dice = self.lab, self.dice
        who, server = dice.choice(sorted(PEOPLE)), dice.choice(("", "x"))
        before = self.used()
        waiting = sorted(lab.memory._entries) if isinstance(lab.memory, MemoryLedger) else []
        try:
            if what == "ask":
                answer = await lab.ask(who, server, gpus=dice.randint(0, 4), wait=dice.random() < 0.8)
                if isinstance(answer, Waits):
                    self.asked.add(answer.entry.launch_id)
                elif isinstance(answer, Admitted):
                    assert answer.reservation.user == who
            elif what == "stop":
                await lab.stop(who, server)
            elif what == "look":
                await lab.look(dice.choice((1, 30, 61, 700)))
            elif what in ("leave", "move") and waiting:
                launch_id = dice.choice(waiting)
                act = acts.leave(launch_id, who, lab.now)
                await lab.world.writer.submit(act if what == "leave" else acts.move(launch_id, None, who, lab.now))
            elif what == "die":
                await lab.until_killed(lab.look(5), dice.randint(1, 12))
            elif what == "hub":
                lab.hub.fault = None if lab.hub.fault else unreachable()
            elif what == "ledger":
                lab.ledger.away = None if lab.ledger.away else LedgerUnavailable("The disk is full.")
            elif what == "use" and (who, server) in lab.hub.servers:
                lab.uses(who, server)
            elif what == "quota":
                await self.change_quota()
            elif what == "undo" and (changes := sorted(lab.world.catalog.changes)):
                await QuotaDesk(lab.world).undo("admin", dice.choice(changes))
        except MLabError:
            pass
        lab.check_gpus()
        self.check_limits(before)

    async def change_quota(self) -> None:
        """Change a group's quota, at once or soon, for a while or for good."""
        dice, now = self.dice, self.lab.now
        start = dice.choice((None, now + 20, now + 90))
        body = {
            "group": dice.choice(("nlp", "vision")),
            dice.choice(("guaranteed", "limit", "each")): {"gpu": dice.choice((0, 1, 2, 4, "+1", "-1", None))},
            "reason": "r",
            "from": start,
            "until": dice.choice((None, (start or now) + 40, (start or now) + 400)),
        }
        await QuotaDesk(self.lab.world).change("admin", QuotaChangesBody.model_validate(body))

    async def undo_all(self) -> None:
        """Undo every change: whatever was made in whichever order, there is one in which it can be undone."""
        desk, catalog = QuotaDesk(self.lab.world), self.lab.world.catalog
        while left := [one.change_id for one in desk.history() if one.state in ("in force", "ahead")]:
            undone = 0
            for change_id in left:
                try:
                    await desk.undo("admin", change_id)
                    undone += 1
                except LaunchRefused:  # a guarantee depends on it
                    continue
            assert undone, left
        assert catalog() is catalog.configured()

    def used(self) -> dict[str, float]:
        """Return the GPUs that each group holds; nothing while the ledger is away."""
        try:
            holdings = self.lab.projection.holdings
        except LedgerUnavailable:
            return {}
        return {group: holdings.group(group).as_amounts().get("gpu", 0.0) for group in ("nlp", "vision")}

    def check_limits(self, before: dict[str, float]) -> None:
        """No group came to hold more in a step, and with it more than the limit that is in force."""
        changes = self.lab.world.catalog.changes.values()
        quotas = effective(self.lab.catalog.configured().quotas, changes, self.lab.now)
        for group, used in self.used().items():
            limit = quotas.group_limit(group).get("gpu", used)
            assert used <= max(limit, before.get(group, used)), (group, used, limit)

    async def live(self, steps: list[str]) -> None:
        """Live through it, heal, and look at what is left."""
        lab = await self.lab.boot()
        try:
            for what in steps:
                await self.step(what)
            lab.hub.fault, lab.ledger.away = None, None
            for _ in range(4):
                await lab.look(31)
            check_agreement(lab)
            await self.undo_all()
            await self.drain()
        finally:
            await lab.halt()

    async def drain(self) -> None:
        """Let all that runs end, again and again, until nobody waits: everybody had a turn, and only one."""
        lab = self.lab
        for _ in range(40):
            await lab.look(2000)
            lab.check_gpus()
            for (who, server), one in list(lab.hub.servers.items()):
                if one.ready:
                    await lab.stop(who, server)
            await lab.look(1)
            if not lab.projection.queue and not len(lab.projection):
                break
        assert not lab.projection.queue, lab.projection.queue
        assert not len(lab.projection)
        for launch_id in self.asked:
            assert lab.state(launch_id) in OVER, lab.entry(launch_id)


@settings(max_examples=25, deadline=None)
@given(steps=st.lists(st.sampled_from(WHAT), min_size=5, max_size=30), seed=st.integers(0, 2**32))
def test_any_order(steps: list[str], seed: int) -> None:
    asyncio.run(Story(random.Random(seed)).live(steps))


@pytest.mark.long
def test_long_orders() -> None:
    for seed in range(150):
        dice = random.Random(seed)
        asyncio.run(Story(dice).live(dice.choices(WHAT, k=150)))


async def test_many_at_once(tmp_path: Path) -> None:
    lab = await Lab(tmp_path, memory=MemoryLedger()).boot()
    answers = await asyncio.gather(*(lab.ask(who, f"s{n}", gpus=1) for n in range(10) for who in PEOPLE))
    assert sum(isinstance(one, Admitted) for one in answers) == 4
    assert sum(isinstance(one, Waits) for one in answers) == 36
    await lab.look(1)
    servers = [key for key, one in lab.hub.servers.items() if one.ready]
    both = [lab.stop(*key) for key in servers] + [lab.ask("alice", f"late{n}", gpus=1) for n in range(4)]
    late = await asyncio.gather(*both)
    assert not any(isinstance(one, Admitted) for one in late)
    await lab.look(1)
    check_agreement(lab)
    assert len(lab.projection) == 4
    await lab.halt()


async def test_it_runs_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends wakes it: it would look by itself in an hour."""
    monkeypatch.setattr(loop, "BUSY_S", 3600.0)
    monkeypatch.setattr(loop, "CALM_S", 3600.0)
    lab = await Lab(tmp_path).boot()
    running = asyncio.create_task(lab.world.queue.run())
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.stop("alice")
    for _ in range(3000):
        if lab.held(waiting) == "held":
            break
        await asyncio.sleep(0.02)
    assert lab.held(waiting) == "held"
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await lab.halt()


async def test_nothing_is_planned_while_nothing_changes_and_nothing_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = await Lab(tmp_path).boot()
    planned: list[float] = []

    def plan(*values: Any) -> Round:
        planned.append(lab.mono)
        return plan_round(*values)

    async def sleep(seconds: float) -> None:
        if lab.mono > ends:
            over.set()
            await asyncio.Event().wait()
        lab.now += seconds
        lab.mono += seconds

    async def goes_on(seconds: float) -> list[float]:
        nonlocal ends
        ends = lab.mono + seconds
        planned.clear()
        running = asyncio.create_task(lab.world.queue.run(sleep))
        over.clear()
        await over.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return planned

    ends, over = 0.0, asyncio.Event()
    monkeypatch.setattr(loop, "plan_round", plan)
    await lab.runs("alice", gpus=4)
    waiting = await lab.waits("carol", gpus=4)
    await lab.look()
    assert len(await goes_on(100)) == 3  # time alone changes what the rules say
    await lab.waits("dave", gpus=1)
    assert len(await goes_on(20)) == 1
    lab.world.queue.wake()
    assert len(await goes_on(20)) == 1
    await lab.stop("alice")
    await goes_on(20)
    assert lab.held(waiting) == "held"
    await lab.halt()
