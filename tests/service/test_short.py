"""What the service says is short where the cluster finds no node for a launch that was admitted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.errors import LaunchRefused, Unavailable
from tests.service.conftest import Running
from tests.service.test_placed import cluster, cluster_node, reserve

__all__ = ["cluster"]


async def test_what_others_took_in_between_is_told_with_numbers(cluster: Running) -> None:
    launch = await reserve(cluster, "", 4)
    assert await cluster.spawner.short("alice", "", launch) is None
    cluster.backend.nodes = (
        replace(cluster_node("n1"), gpus_taken={"a100": 1}),
        replace(cluster_node("n2"), gpus_taken={"a100": 4}),
    )
    short = await cluster.spawner.short("alice", "", launch)
    others = "Pods that are not this hub's hold: n1 1 A100, n2 4 A100."
    assert str(short) == f"4 A100 wait: 3 are free (n1 3). {others}"


async def test_servers_of_ours_count_and_its_own_place_does_not(cluster: Running) -> None:
    launch = await reserve(cluster, "", 3)
    await reserve(cluster, "b", 3, "carol")
    cluster.backend.nodes = (replace(cluster_node("n1"), gpus_taken={"a100": 2}), cluster_node("n2"))
    others = "Pods that are not this hub's hold: n1 2 A100."
    short = await cluster.spawner.short("alice", "", launch)
    assert str(short) == f"3 A100 wait: 3 are free, but no node has 3 (n1 2, n2 1). {others}"


async def test_memory_is_told_too(cluster: Running) -> None:
    launch = await reserve(cluster, "", 1)
    cluster.backend.nodes = tuple(replace(node, memory_gib_taken=511.5) for node in cluster.backend.nodes)
    assert "free; free are: n1 0.5" in str(await cluster.spawner.short("alice", "", launch))


async def test_other_launches_are_not_told_of(cluster: Running) -> None:
    launch = await reserve(cluster, "", 1)
    for user, server, asked in (("bob", "", launch), ("alice", "x", launch), ("alice", "", "nothing")):
        with pytest.raises(LaunchRefused):
            await cluster.spawner.short(user, server, asked)
    await cluster.spawner.released("alice", "", launch)
    with pytest.raises(LaunchRefused):
        await cluster.spawner.short("alice", "", launch)


async def test_nothing_is_told_while_the_cluster_does_not_answer(cluster: Running) -> None:
    launch = await reserve(cluster, "", 1)
    cluster.backend.down = True
    with pytest.raises(Unavailable):
        await cluster.spawner.short("alice", "", launch)
