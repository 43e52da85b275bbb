"""What Prometheus is told about GPUs, nodes and the cluster's watch."""

from __future__ import annotations

from dataclasses import replace

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.ledger import Reservation
from mlabhub.service.metrics import GPU_STATES, Metrics, gpu_states


def gpu(number: int, kind: str = "a100", **more: object) -> Gpu:
    return Gpu(f"n1/nvidia.com/gpu/{kind}{number}", kind, "n1", kind, **more)  # type: ignore[arg-type]


def held(*gpus: str) -> Reservation:
    return Reservation("L", "alice", "", "held", created=0.0, changed=0.0, deadline=0.0, gpus=gpus, gpu_type="a100")


NODE = Node(
    "n1",
    8,
    64,
    gpus=(gpu(0), gpu(1), gpu(2), gpu(3, healthy=False), gpu(0, "t4"), gpu(4, divided=True), gpu(5, busy=True)),
    gpus_taken={"a100": 1},
)


def states(node: Node, *reservations: Reservation) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (kind, state), count in gpu_states(Capacity((node,)), reservations).items():
        found.setdefault(kind, {})[state] = count
    return found


def test_each_gpu_is_in_one_state():
    counted = states(NODE, held(NODE.gpus[0].uuid))
    assert counted["a100"] == {"held": 1, "free": 1, "others": 2, "unhealthy": 1, "closed": 0}
    assert counted["t4"] == {"held": 0, "free": 1, "others": 0, "unhealthy": 0, "closed": 0}
    assert all(set(of_type) == set(GPU_STATES) for of_type in counted.values())


def test_what_is_free_on_a_cordoned_node_is_closed():
    counted = states(replace(NODE, schedulable=False))
    assert counted["a100"] == {"held": 0, "free": 0, "others": 2, "unhealthy": 1, "closed": 2}


def test_what_is_not_known_is_said_to_be_not_known():
    metrics = Metrics()
    known = metrics.render((held(),), Capacity((NODE,)), {"pods": 1.5}).decode()
    assert "mlabhub_inventory_known 1.0" in known
    assert 'mlabhub_nodes{state="open"} 1.0' in known
    assert 'mlabhub_watch_age_seconds{what="pods"} 1.5' in known
    unknown = metrics.render((held(),), None, {"pods": float("inf")}).decode()
    assert "mlabhub_inventory_known 0.0" in unknown
    assert "mlabhub_gpus{" not in unknown
    assert 'mlabhub_servers{state="held"} 1.0' in unknown
    assert 'mlabhub_watch_age_seconds{what="pods"} +Inf' in unknown
