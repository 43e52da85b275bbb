"""What placement keeps from one decision to the next is never stale."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity, Gpu, Holding, Holdings, Node, decide
from mlabhub.core.placement import FEW, find_place, free_gpus, free_rooms
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Claim
from mlabhub.core.units import to_micro
from tests.core.examples import make_request

NODES = tuple(
    Node(f"n{n}", 8.0, 32.0, tuple(Gpu(f"GPU-{n}-{gpu}", kind, f"n{n}", kind) for gpu in range(n % 3 + 1)))
    for n, kind in enumerate(("a100", "t4", "a100", "t4", "a100", "a100"))
)
assert len(NODES) > FEW  # fewer are looked at one by one
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # GPUs asked for
        st.sampled_from([None, "a100", "t4"]),
        st.sampled_from([1.0, 2.0]),  # overcommitment
        st.sampled_from(
            ["take", "take", "take elsewhere", "give back", "close a node", "keep one for others", "lose a GPU"]
        ),
        st.integers(0, 1000),
    ),
    max_size=30,
)


@given(STEPS)
def test_a_long_history_decides_as_a_fresh_start_does(steps: list[tuple[int, str | None, float, str, int]]) -> None:
    holdings, capacity = Holdings(), Capacity(NODES)
    for number, (gpus, gpu_type, overcommit, event, which) in enumerate(steps):
        request = make_request(profile="lab", gpus=gpus, gpu_type=gpu_type if gpus else None, cpu=2.0, memory_gib=4.0)
        quotas = Quotas(cpu_overcommit=overcommit)
        decision = decide(request, quotas, holdings, (), capacity, 0.0)
        assert decision == decide(request, quotas, Holdings(holdings), (), capacity, 0.0)
        place, launches = decision.placement, list(holdings)
        if event.startswith("take") and place is not None:
            # A server that was found may be counted without its node: its GPUs are taken all the same.
            node = place.node if event == "take" else None
            holding = Holding("u", f"s{number}", f"L{number}", None, 2.0, 4.0, place.gpu_type, place.gpus, node)
            holdings.add(holding)
        elif event == "give back" and launches:
            holdings.remove(launches[which % len(launches)].launch_id)
        elif event == "close a node":
            capacity = Capacity(tuple(replace(node, schedulable=which % 7 != n) for n, node in enumerate(NODES)))
        elif event == "keep one for others":
            changed = {"for_all": False} if which % 2 else {"exceptions": frozenset({"lab"})}
            capacity = Capacity((*NODES[:-1], replace(NODES[-1], **changed)))
        elif event == "lose a GPU":
            first = NODES[which % len(NODES)]
            broken = replace(first, gpus=(replace(first.gpus[0], healthy=False), *first.gpus[1:]))
            capacity = Capacity(tuple(broken if node is first else node for node in NODES))


CLAIMS = st.lists(
    st.builds(
        Claim,
        st.just("w"),
        st.sampled_from([node.name for node in NODES]),
        st.sampled_from(["a100", "t4"]),
        st.integers(0, 3),
        st.integers(0, 8).map(to_micro),
        st.integers(0, 32).map(to_micro),
    ),
    max_size=3,
)
TAKEN = st.sets(st.sampled_from([gpu for node in NODES for gpu in node.gpus]))


@given(TAKEN, TAKEN, st.integers(0, 3), st.sampled_from([("a100",), ("a100", "t4")]), st.integers(1, 9), CLAIMS)
def test_the_best_place_of_all_is_found(
    taken: set[Gpu], back: set[Gpu], gpus: int, gpu_types: tuple[str, ...], cpu: int, claims: list[Claim]
) -> None:
    capacity, holdings = Capacity(NODES), Holdings()
    request = make_request(profile="lab", gpus=gpus, gpu_type=None, cpu=float(cpu), memory_gib=4.0)
    claimed = {one.machine: [other for other in claims if other.machine == one.machine] for one in claims}
    about = 1.0, holdings, capacity, claimed
    find_place(request, gpu_types, *about)  # what it keeps has to follow what happens now
    for gpu in sorted(taken, key=lambda one: one.uuid):
        holdings.add(Holding("u", gpu.uuid, gpu.uuid, None, 1.0, 4.0, gpu.type, (gpu.uuid,), gpu.node))
    for gpu in back:
        holdings.remove(gpu.uuid)
    rooms = list(free_rooms(request, gpu_types, *about))
    enough = [
        room for room in rooms if len(room.gpus) >= gpus and room.cpu >= to_micro(cpu) and room.memory >= to_micro(4.0)
    ]
    best, found = min(enough, key=lambda room: room.rank, default=None), find_place(request, gpu_types, *about)
    assert (best is None) == (found is None)
    if best is not None and found is not None:
        assert (found.node, found.gpus) == (best.node.name, tuple(gpu.uuid for gpu in best.gpus[:gpus]))
    for gpu_type in gpu_types if gpus else ():
        free = sum(len(room.gpus) for room in rooms if room.gpu_type == gpu_type)
        assert free_gpus("lab", gpu_type, *about) == free
