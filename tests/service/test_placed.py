"""The cluster puts servers where it likes; the ledger follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.core.capacity import Gpu, Node
from mlabhub.core.slots import Slot
from mlabhub.errors import InvalidLaunch, LaunchRefused, Unavailable
from tests.service.conftest import Running


def slots(node: str, *numbers: int) -> tuple[str, ...]:
    return tuple(Slot(node, "nvidia.com/gpu", number).uuid for number in numbers)


def cluster_node(name: str, count: int = 4) -> Node:
    return Node(
        name, 64, 512, tuple(Gpu(uuid, "a100", name, "A100") for uuid in slots(name, *range(count))), counted=True
    )


@pytest.fixture
def cluster(running: Running) -> Running:
    running.backend.nodes = (cluster_node("n1"), cluster_node("n2"))
    return running


async def reserve(cluster: Running, server: str, gpus: int, user: str = "alice") -> str:
    launch_id = cluster.world.make_launch_id()
    options = {"profile": "gpu", "gpus": gpus}
    admission = await cluster.spawner.reserve(
        user, server, launch_id=launch_id, user_options=options, groups=("vision",), backend="kube", deadline_s=60
    )
    assert admission.admitted, admission.sentence
    return launch_id


def at(cluster: Running, server: str, user: str = "alice") -> tuple[str, tuple[str, ...]]:
    one = cluster.of_server(user, server)
    assert one is not None
    assert (one.plan or {})["node"] == one.node
    assert tuple((one.plan or {})["gpus"]) == one.gpus
    return one.node, one.gpus


async def test_a_server_holds_gpus_where_the_cluster_put_it(cluster: Running) -> None:
    launch = await reserve(cluster, "", 2)
    assert at(cluster, "") == ("n1", slots("n1", 0, 1))
    await cluster.spawner.placed("alice", "", launch, "n2")
    await cluster.spawner.placed("alice", "", launch, "n2")
    assert at(cluster, "") == ("n2", slots("n2", 0, 1))
    await cluster.spawner.held("alice", "", launch)
    holdings = cluster.projection.holdings
    assert holdings.node("n1").as_amounts() == {}
    assert holdings.node("n2").as_amounts()["gpu:a100"] == 2
    audit = [entry for entry in cluster.world.ledger.audit(limit=10) if entry.act == "move"]
    assert [str(entry.message) for entry in audit] == ["the cluster put it on n2, where n1 was planned"]
    kept = cluster.world.ledger.reservation(launch)
    assert kept is not None
    assert (kept.node, kept.gpus) == ("n2", slots("n2", 0, 1))


async def test_who_is_not_placed_yet_gives_way(cluster: Running) -> None:
    first, second = await reserve(cluster, "", 4), await reserve(cluster, "b", 2, "carol")
    assert at(cluster, "b", "carol") == ("n2", slots("n2", 0, 1))
    await cluster.spawner.placed("carol", "b", second, "n1")
    assert at(cluster, "b", "carol") == ("n1", slots("n1", 0, 1))
    assert at(cluster, "") == ("n1", slots("n1", 4, 5, 2, 3))
    await cluster.spawner.placed("alice", "", first, "n2")
    assert at(cluster, "") == ("n2", slots("n2", 0, 1, 2, 3))


async def test_who_is_placed_keeps_its_slots(cluster: Running) -> None:
    first, second = await reserve(cluster, "", 4), await reserve(cluster, "b", 2, "carol")
    known = cluster.backend.run(first, "alice", "", slots("n1", 0, 1, 2, 3))
    cluster.backend.running[first] = replace(known, node="n1")
    await cluster.spawner.placed("carol", "b", second, "n1")
    assert at(cluster, "b", "carol") == ("n1", slots("n1", 4, 5))
    assert at(cluster, "") == ("n1", slots("n1", 0, 1, 2, 3))


async def test_other_launches_cannot_be_placed(cluster: Running) -> None:
    launch = await reserve(cluster, "", 1)
    with pytest.raises(LaunchRefused):
        await cluster.spawner.placed("bob", "", launch, "n2")
    with pytest.raises(LaunchRefused):
        await cluster.spawner.placed("alice", "", "nothing", "n2")
    for node in ("", "a/b", "x" * 300):
        with pytest.raises(InvalidLaunch):
            await cluster.spawner.placed("alice", "", launch, node)
    await cluster.spawner.released("alice", "", launch)
    with pytest.raises(LaunchRefused, match="given up"):
        await cluster.spawner.placed("alice", "", launch, "n2")


async def test_nothing_moves_while_the_cluster_does_not_answer(cluster: Running) -> None:
    launch = await reserve(cluster, "", 1)
    cluster.backend.down = True
    with pytest.raises(Unavailable):
        await cluster.spawner.placed("alice", "", launch, "n2")
    assert at(cluster, "")[0] == "n1"
