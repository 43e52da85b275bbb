"""What Prometheus is told about GPUs, nodes and the cluster's watch."""

from __future__ import annotations

from dataclasses import replace

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.ledger import Contents, QueueEntry, ReclaimNotice, Record, Reservation
from mlabhub.service.metrics import GPU_STATES, Metrics, gpu_states
from mlabhub.service.projection import Projection
from mlabhub.service.tallies import tally


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


def test_the_queue_is_counted_once_whatever_is_written_twice() -> None:
    entry = QueueEntry("Q", "alice", "x", "waiting", since=100.0, created=100.0, changed=100.0, gpus=2, gpu_type="a100")
    started = replace(entry, state="started", changed=160.0)
    notice = ReclaimNotice("L", 100.0, 700.0, "Q")
    records: tuple[Record, ...] = (
        entry,
        replace(entry, priority=3),
        notice,
        notice,
        replace(notice, state="withdrawn"),
        replace(notice, at=900.0),
        replace(notice, at=900.0, state="done"),
        started,
        replace(started, claim_by=1000.0),
        replace(started, state="claimed"),
        replace(entry, launch_id="R"),
        replace(entry, launch_id="R", state="left"),
    )
    metrics, projection = Metrics(), Projection(Contents((), {}, (), ()))
    for record in records:
        if (counted := tally(projection, record)) is not None:
            metrics.count(counted)
        projection.apply(record)
    said = metrics.render((), None, queue=(entry, replace(entry, gpu_type=None), replace(entry, gpus=0))).decode()
    expected = {
        "queue_events_total": {"queued": 2, "started": 1, "left": 1, "given_back": 0, "refused": 0},
        "notices_total": {"given": 2, "withdrawn": 1, "done": 1},
    }
    for name, events in expected.items():
        for event, count in events.items():
            assert f'mlabhub_{name}{{event="{event}"}} {count}.0' in said
    assert "mlabhub_queue_wait_seconds_sum 60.0" in said
    for kind in ("a100", "any", "none"):
        assert f'mlabhub_queue{{type="{kind}"}} 1.0' in said
