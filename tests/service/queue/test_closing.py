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
