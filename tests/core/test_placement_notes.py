"""What placement keeps from one decision to the next is never stale."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity, Gpu, Holding, Holdings, Node, decide
from mlabhub.core.quotas import Quotas
from tests.core.examples import make_request

NODES = tuple(
    Node(f"n{n}", 8.0, 32.0, tuple(Gpu(f"GPU-{n}-{gpu}", kind, f"n{n}", kind) for gpu in range(n + 1)))
    for n, kind in enumerate(("a100", "t4", "a100"))
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 3),  # GPUs asked for
        st.sampled_from([None, "a100", "t4"]),
        st.sampled_from([1.0, 2.0]),  # overcommitment
        st.sampled_from(["take", "take", "take elsewhere", "give back", "close a node", "lose a GPU"]),
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
            capacity = Capacity(tuple(replace(node, schedulable=which % 4 != n) for n, node in enumerate(NODES)))
        elif event == "lose a GPU":
            first = NODES[which % 3]
            broken = replace(first, gpus=(replace(first.gpus[0], healthy=False), *first.gpus[1:]))
            capacity = Capacity(tuple(broken if node is first else node for node in NODES))
