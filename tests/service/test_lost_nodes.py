"""A node goes away with somebody's server on it: counted until the node is back or gone for good, and told in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlabhub.core.capacity import Gpu, Node
from mlabhub.core.slots import Slot
from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from tests.service.conftest import Running
from tests.service.test_reconciler import done, later, launched, shown

LOST = Message.of("Its node {node} does not answer.", node="n1")


def slots(node: str, *numbers: int) -> tuple[str, ...]:
    return tuple(Slot(node, "nvidia.com/gpu", number).uuid for number in numbers)


@pytest.fixture
def cluster(running: Running) -> Running:
    running.backend.nodes = tuple(
        Node(name, 64, 512, tuple(Gpu(uuid, "a100", name, "A100") for uuid in slots(name, 0, 1, 2, 3)), counted=True)
        for name in ("n1", "n2")
    )
    return running


def lose(cluster: Running, one: Reservation, *, lost: bool = True) -> None:
    """Let the node of a server go away, or come back."""
    known = cluster.backend.running[one.launch_id]
    cluster.backend.running[one.launch_id] = replace(known, lost=LOST if lost else None, node=one.node)
    cluster.backend.nodes = tuple(
        replace(node, schedulable=not lost) if node.name == one.node else node for node in cluster.backend.nodes
    )


async def lost_server(cluster: Running) -> Reservation:
    """Return a server that worked, is on a node that does not answer, and that the hub has given up."""
    one = await launched(cluster, gpus=2)
    assert done(await later(cluster)) == ["ready"]
    lose(cluster, one)
    assert done(await later(cluster)) == ["unreachable"], "though the hub has it still"
    cluster.hub.lose("alice", "x")
    await cluster.spawner.released("alice", "x", one.launch_id, reason=Message("The server ended."))
    return one


async def test_what_it_held_stays_taken_until_the_node_is_back(cluster: Running) -> None:
    one = await lost_server(cluster)
    for _ in range(3):
        known = cluster.of_server("alice", "x")
        assert known is not None
        assert (known.state, known.gpus, known.failure) == ("unknown", one.gpus, LOST)
        assert cluster.projection.holdings.user("alice").as_amounts()["gpu"] == 2
        assert shown(await later(cluster)) == ["silent"]
    assert shown(await later(cluster, repair=True)) == ["silent"]
    assert cluster.backend.removed == []
    del cluster.backend.running[one.launch_id]
    assert done(await later(cluster)) == ["release"]
    assert cluster.projection.holdings.user("alice").as_amounts() == {}
    kept = cluster.world.ledger.reservation(one.launch_id)
    assert kept is not None
    assert str(kept.failure) == (
        "It was on the node n1, which did not answer any more. By now it is certain that it has ended."
    )


async def test_the_person_is_told(cluster: Running) -> None:
    one = await lost_server(cluster)
    (server,) = (await cluster.call("GET", "api/v1/servers")).json()["servers"]
    assert (server["state"], server["notes"]) == ("unknown", ["Its node n1 does not answer."])
    assert (await cluster.call("GET", f"api/v1/launches/{one.launch_id}")).json()["failure"] == str(LOST)
    body = {"server_name": "x", "user_options": {"profile": "gpu"}, "queue": False}
    answer = await cluster.call("POST", "api/v1/launches", json=body)
    assert answer.status_code == 409
    assert answer.json()["error"]["message"].startswith(
        "alice's server x cannot be reached now. Its node n1 does not answer. Choose another name,"
    )
    audit = cluster.world.ledger.audit(limit=5, user="alice")
    assert [str(entry.message) for entry in audit if entry.act == "unreachable"] == [str(LOST)]


async def test_another_server_starts_elsewhere(cluster: Running) -> None:
    await lost_server(cluster)
    other = await launched(cluster, "y", gpus=3)
    assert (other.node, other.gpus) == ("n2", slots("n2", 0, 1, 2))


async def test_it_goes_on_where_the_hub_has_it_again(cluster: Running) -> None:
    one = await lost_server(cluster)
    assert shown(await later(cluster)) == ["silent"]
    lose(cluster, one, lost=False)
    assert done(await later(cluster)) == ["lost"], "now it is one that the hub has lost, for an administrator to see"
    known = cluster.of_server("alice", "x")
    assert known is not None
    assert (known.state, known.failure) == ("unknown", None)
    assert shown(await later(cluster)) == ["unknown"]


async def test_it_goes_on_where_its_node_is_back_in_time(cluster: Running) -> None:
    one = await launched(cluster, gpus=2)
    assert done(await later(cluster)) == ["ready"]
    lose(cluster, one)
    assert done(await later(cluster)) == ["unreachable"]
    (server,) = (await cluster.call("GET", "api/v1/servers")).json()["servers"]
    assert (server["state"], server["notes"]) == ("unknown", [str(LOST)])
    lose(cluster, one, lost=False)
    assert done(await later(cluster)) == ["resume"]
    known = cluster.of_server("alice", "x")
    assert known is not None
    assert (known.state, known.gpus, known.failure) == ("held", one.gpus, None)


async def test_without_the_hubs_word_the_reconciler_sees_it(cluster: Running) -> None:
    one = await launched(cluster, gpus=2)
    lose(cluster, one)
    cluster.hub.lose("alice", "x")
    assert done(await later(cluster)) == ["unreachable"]
    known = cluster.of_server("alice", "x")
    assert known is not None
    assert (known.state, known.gpus, known.failure) == ("unknown", one.gpus, LOST)


async def test_its_owners_wish_to_stop_it_gives_nothing_away(cluster: Running) -> None:
    await lost_server(cluster)
    answer = await cluster.call("POST", "api/v1/servers/alice/x/stop")
    assert answer.status_code == 202
    assert done(await later(cluster)) == ["unreachable"]
    known = cluster.of_server("alice", "x")
    assert known is not None
    assert (known.state, known.failure) == ("unknown", LOST)


async def test_a_service_that_begins_anew_counts_it(cluster: Running) -> None:
    cluster.backend.run("0" * 26, "carol", "z", slots("n1", 0, 1))
    cluster.backend.running["0" * 26] = replace(cluster.backend.running["0" * 26], lost=LOST, node="n1", cpu=2.0)
    await cluster.world.census.ensure()
    known = cluster.of_server("carol", "z")
    assert known is not None
    assert (known.state, known.node, known.gpu_type, known.cpu, known.failure) == ("unknown", "n1", "a100", 2.0, LOST)


async def test_servers_that_were_found_share_no_gpu(cluster: Running) -> None:
    for number, user in enumerate(("alice", "bob", "carol")):
        launch = str(number) * 26
        server = cluster.backend.run(launch, user, "", slots("n1", 0, 1))
        cluster.backend.running[launch] = replace(server, node="n1")
    await cluster.world.census.ensure()
    held = {one.user: one.gpus for one in cluster.projection}
    assert held == {"alice": slots("n1", 0, 1), "bob": slots("n1", 2, 3), "carol": slots("n1", 4, 5)}


async def test_what_runs_elsewhere_is_moved(cluster: Running) -> None:
    one = await launched(cluster, gpus=2)
    known = cluster.backend.running[one.launch_id]
    cluster.backend.running[one.launch_id] = replace(known, node="n2")
    assert done(await later(cluster)) == ["ready"]
    assert done(await later(cluster)) == ["move"]
    moved = cluster.of_server("alice", "x")
    assert moved is not None
    assert (moved.node, moved.gpus, moved.state) == ("n2", slots("n2", 0, 1), "held")
    assert (await later(cluster)).findings == ()
