"""Machines are maintained: who runs there is told, and nothing new starts."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from mlabhub.service.answers import Admitted, Refused, Waits
from mlabhub.service.capacity import CapacityCache
from mlabhub.service.closing import ClosingCapacity
from tests.doubles import make_node
from tests.service.queue.lab import START, Lab, make_catalog


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(START + seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


async def make_lab(folder: Path) -> Lab:
    window = {"nodes": ["n1"], "from": moment(7200), "until": moment(14400), "reason": "New disks"}
    nodes = (make_node("n1", gpus=4), make_node("n2", gpus=2))
    lab = await Lab(folder, make_catalog({"maintenance": [window]}), nodes).boot()
    source = CapacityCache(lab.backend.capacity, lambda: lab.mono, fresh_s=0.0)
    lab.world.capacity = ClosingCapacity(source, lambda: lab.catalog().quotas, lambda: lab.now)
    return lab


async def test_who_runs_there_is_told_once(tmp_path: Path) -> None:
    lab = await make_lab(tmp_path)
    await lab.runs("alice", gpus=4)
    await lab.runs("bob", gpus=1)
    for _ in range(3):
        await lab.look(60)
    assert (lab.news.of("alice"), lab.news.of("bob")) == (["machine_closes"], [])
    await lab.halt()


async def test_nothing_starts_there_until_it_is_over(tmp_path: Path) -> None:
    lab = await make_lab(tmp_path)
    await lab.look(7201)
    waiting = await lab.ask("alice", gpus=4)
    assert isinstance(waiting, Waits)
    assert isinstance(await lab.ask("carol", gpus=2), Admitted)
    assert isinstance(await lab.ask("dave", gpus=1, wait=False), Refused)
    capacity = await lab.world.capacity.get()
    assert [str(one) for one in capacity.nodes[0].notes] == [
        "It is being maintained (New disks), and takes no servers until that is over."
    ]
    await lab.look(7100)
    assert lab.state(waiting.entry.launch_id) == "waiting"
    await lab.look(101)
    assert lab.state(waiting.entry.launch_id) == "started"
    await lab.halt()


async def test_all_machines_close_while_people_wait(tmp_path: Path) -> None:
    """Nobody is told to give back for one that could not start before; afterwards it goes on where it was."""
    window = {"nodes": ["*"], "from": moment(3600), "until": moment(7200), "reason": "Power"}
    quotas = {"groups": {"nlp": {"guaranteed": {"gpu": 4}}, "vision": {}}, "maintenance": [window]}
    lab = await Lab(tmp_path, make_catalog(quotas)).boot()
    source = CapacityCache(lab.backend.capacity, lambda: lab.mono, fresh_s=0.0)
    lab.world.capacity = ClosingCapacity(source, lambda: lab.catalog().quotas, lambda: lab.now)
    running = await lab.runs("alice", gpus=4, group="vision")
    await lab.look(3000)
    owner, other = await lab.waits("carol", gpus=4, group="nlp"), await lab.waits("bob", gpus=1)
    for seconds in (1, 700, 60):
        await lab.look(seconds)
    assert lab.news.of("alice") == ["machine_closes"]
    assert lab.held(running) == "held"
    await lab.stop("alice")
    await lab.look(3000)
    assert [lab.state(one) for one in (owner, other)] == ["waiting", "waiting"]
    await lab.look(500)
    assert [lab.state(one) for one in (owner, other)] == ["started", "waiting"]
    await lab.halt()


async def test_who_asks_meanwhile_learns_that_it_is_maintained_and_what_for(tmp_path: Path) -> None:
    lab = await make_lab(tmp_path)
    await lab.look(7201)
    some = await lab.ask("alice", gpus=4)
    assert isinstance(some, Waits)
    assert str(some.reasons[0].message).endswith("These are being maintained (New disks): n1.")
    lab.backend.nodes = lab.backend.nodes[:1]
    all_of_them = await lab.ask("bob", gpus=4)
    assert isinstance(all_of_them, Waits)
    assert [(one.code, str(one.message)) for one in all_of_them.reasons] == [
        ("maintenance", "No machine is ready to run servers. These are being maintained (New disks): n1.")
    ]
    assert all_of_them.advice is None
    await lab.halt()
