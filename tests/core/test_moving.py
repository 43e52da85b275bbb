"""Which slots a server holds where the cluster put it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.holdings import Holding, Holdings
from mlabhub.core.moving import move
from mlabhub.core.placement import free_rooms
from mlabhub.core.slots import Slot, free_slots, split_slot
from tests.core.examples import make_request

A100, MIG = "nvidia.com/gpu", "nvidia.com/mig-1g.10gb"


def slots(node: str, *numbers: int, resource: str = A100) -> tuple[str, ...]:
    return tuple(Slot(node, resource, number).uuid for number in numbers)


def make_node(name: str, count: int = 4, resource: str = A100) -> Node:
    gpus = tuple(Gpu(uuid, "a100", name, "NVIDIA-A100") for uuid in slots(name, *range(count), resource=resource))
    return Node(name, 8, 64, gpus, counted=True)


def holding(launch: str, node: str, *gpus: str, state: str = "pending") -> Holding:
    return Holding(launch, "", launch, None, 1, 1, "a100", gpus, node, state)


TWO = Capacity((make_node("n1"), make_node("n2")))


def test_a_slot_is_told_by_its_id() -> None:
    assert split_slot("node1.lab/nvidia.com/mig-1g.10gb/12") == Slot("node1.lab", MIG, 12)
    for other in ("GPU-1234", "node1/nvidia.com/gpu", "node1/nvidia.com/gpu/-1", "/nvidia.com/gpu/1", "a/b/c/d/1", ""):
        assert split_slot(other) is None
    numbers = free_slots("n1", A100, {"n1/nvidia.com/gpu/1"})
    assert [next(numbers), next(numbers)] == ["n1/nvidia.com/gpu/0", "n1/nvidia.com/gpu/2"]


def test_it_takes_free_slots_where_it_is() -> None:
    one = holding("L1", "n1", *slots("n1", 0, 1))
    others = holding("L2", "n2", *slots("n2", 0))
    assert move(one, "n2", TWO, Holdings([one, others])) == {"L1": slots("n2", 1, 2)}


def test_where_it_was_meant_to_be_nothing_moves() -> None:
    one = holding("L1", "n1", *slots("n1", 2, 3))
    assert move(one, "n1", TWO, Holdings([one])) == {"L1": slots("n1", 2, 3)}


def test_a_server_that_is_not_placed_yet_gives_way_and_stays_counted() -> None:
    one, full = holding("L1", "n1", *slots("n1", 0, 1)), holding("L2", "n2", *slots("n2", 0, 1, 2, 3))
    assert move(one, "n2", TWO, Holdings([one, full]), {"L2"}) == {
        "L1": slots("n2", 0, 1),
        "L2": slots("n2", 4, 5, 2, 3),
    }
    back = holding("L2", "n2", *slots("n2", 4, 5, 2, 3))
    assert move(back, "n2", TWO, Holdings([back])) == {"L2": slots("n2", 2, 3, 0, 1)}


def test_beside_servers_that_run_it_is_counted_beyond_what_there_is() -> None:
    one, full = holding("L1", "n1", *slots("n1", 0, 1)), holding("L2", "n2", *slots("n2", 0, 1, 2, 3), state="held")
    assert move(one, "n2", TWO, Holdings([one, full])) == {"L1": slots("n2", 4, 5)}


def test_what_is_counted_beyond_is_not_free_elsewhere_on_the_node() -> None:
    beyond = Holdings([holding("L1", "n2", *slots("n2", 4, 5), state="held")])
    request = make_request(gpus=1, gpu_type="a100")
    free = {room.node.name: len(room.gpus) for room in free_rooms(request, ["a100"], 1.0, beyond, TWO)}
    assert free == {"n1": 4, "n2": 2}


def test_on_a_node_that_nobody_knows_yet_it_is_counted_as_well() -> None:
    one = holding("L1", "n1", *slots("n1", 0))
    assert move(one, "n9", TWO, Holdings([one])) == {"L1": slots("n9", 0)}


def test_slots_are_of_the_same_resource() -> None:
    mixed = Node("n3", 8, 64, (*make_node("n3", 2).gpus, *make_node("n3", 2, MIG).gpus), counted=True)
    one = holding("L1", "n1", *slots("n1", 0, resource=MIG))
    assert move(one, "n3", Capacity((*TWO.nodes, mixed)), Holdings([one])) == {"L1": slots("n3", 0, resource=MIG)}


def test_gpus_that_are_no_slots_stay() -> None:
    one = holding("L1", "n1", "GPU-1")
    assert move(one, "n2", TWO, Holdings([one])) == {"L1": ("GPU-1",)}


@st.composite
def situations(draw: st.DrawFn) -> tuple[Holding, str, Holdings, set[str]]:
    holdings = Holdings()
    for number in range(draw(st.integers(0, 5))):
        node = draw(st.sampled_from(["n1", "n2"]))
        free = [uuid for uuid in slots(node, *range(6)) if holdings.is_free(uuid)]
        chosen = draw(st.lists(st.sampled_from(free), unique=True, max_size=3)) if free else []
        holdings.add(holding(f"L{number}", node, *chosen))
    node = draw(st.sampled_from(["n1", "n2"]))
    free = [uuid for uuid in slots(node, *range(9)) if holdings.is_free(uuid)]
    one = holding("me", node, *draw(st.lists(st.sampled_from(free), unique=True, max_size=4)))
    holdings.add(one)
    return one, draw(st.sampled_from(["n1", "n2", "n3"])), holdings, set(draw(st.lists(st.sampled_from(["L0", "L1"]))))


@given(situations())
def test_nobody_loses_or_shares_a_slot(situation: tuple[Holding, str, Holdings, set[str]]) -> None:
    one, node, holdings, unplaced = situation
    moves = move(one, node, TWO, holdings, unplaced)
    assert next(iter(moves)) == "me"
    assert set(moves) - {"me"} <= unplaced
    for other in [holding for holding in holdings if holding.launch_id in moves]:
        assert len(moves[other.launch_id]) == len(other.gpus)
    everything = [uuid for other in holdings for uuid in moves.get(other.launch_id, other.gpus)]
    assert len(everything) == len(set(everything))
    assert all(uuid.startswith(f"{node}/") for uuid in moves["me"])
    real = [gpu.uuid for gpu in TWO.gpus.values() if gpu.node == node]
    if any(uuid not in real for uuid in moves["me"]):
        holders = {uuid: other.launch_id for other in holdings for uuid in moves.get(other.launch_id, other.gpus)}
        assert all(holders.get(uuid, "") not in ("", *unplaced) for uuid in real)
