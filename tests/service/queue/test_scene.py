"""What the rules are told of the ledger and the machines, and who counts as waiting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.capacity import Capacity
from mlabhub.ledger import Contents, QueueEntry, ReclaimNotice, Reservation
from mlabhub.service.answers import Waits
from mlabhub.service.projection import Projection
from mlabhub.service.queue.scene import NOWHERE, Facts, Known, room_of, scene_of, waiting_of
from tests.doubles import make_node
from tests.service.queue.lab import Lab, make_catalog

NODES = (make_node("n1", gpus=4), make_node("n2", gpus=2, gpu_type="t4"))
CAPACITY = Capacity(NODES)


def launch(launch_id: str, *gpus: str, **more: Any) -> Reservation:
    usual: dict[str, Any] = {
        "user": "alice",
        "server": launch_id,
        "state": "held",
        "created": 1.0,
        "changed": 1.0,
        "deadline": 1.0,
        "profile": "gpu",
        "gpu_type": "a100" if gpus else None,
        "gpus": tuple(f"GPU-n1-a100-{one}" for one in gpus),
        "node": "n1",
        "cpu": 2.0,
        "memory_gib": 4.0,
        "held": 2.0,
    }
    return Reservation(launch_id, **{**usual, **more})


def entry(launch_id: str, **more: Any) -> QueueEntry:
    usual: dict[str, Any] = {
        "user": "bob",
        "server": launch_id,
        "state": "waiting",
        "since": 5.0,
        "created": 5.0,
        "changed": 5.0,
        "profile": "gpu",
        "gpus": 1,
        "cpu": 1.0,
        "memory_gib": 2.0,
    }
    return QueueEntry(launch_id, **{**usual, **more})


def projection(*records: Any) -> Projection:
    found = Projection(Contents((), {}, (), ()))
    for one in records:
        found.apply(one)
    return found


def test_runs_and_machines() -> None:
    one = launch("a", "0", "1", reclaims=2)
    found = projection(one, launch("b", state="stopping"), ReclaimNotice("a", 10.0, 20.0, "w"))
    scene = scene_of(found, make_catalog({"notice_seconds": 99}), CAPACITY, Facts(deadlines={"a": 33.0}), 12.0)
    run, ending = scene.runs
    assert (run.ask.gpus, run.ask.gpu_type, run.machine, run.started, run.notice_s) == (2, "a100", "n1", 2.0, 99)
    assert run.notice is not None
    assert (run.notice.deadline, run.notice.waiter, run.reclaims, run.reclaimable) == (33.0, "w", 2, True)
    assert (ending.ending, ending.reclaimable) == (True, False)
    n1, n2 = scene.machines
    assert (n1.gpus, n1.free_gpus, n2.free_gpus) == ({"a100": 4}, {"a100": 2}, {"t4": 2})
    assert (n1.free_cpu, n1.free_memory, n1.most_cpu) == (60_000_000, 504_000_000, 64_000_000)


def test_what_is_known_is_made_once_and_only_while_it_is_the_same() -> None:
    one, known, catalog = launch("a", "0"), dict[str, Known](), make_catalog()
    found = projection(one)
    first = scene_of(found, catalog, CAPACITY, Facts(), 1.0, known).runs[0]
    assert scene_of(found, catalog, CAPACITY, Facts(), 2.0, known).runs[0] is first
    found.apply(replace(one, state="stopping"))
    assert scene_of(found, catalog, CAPACITY, Facts(), 2.0, known).runs[0].ending
    assert scene_of(found, make_catalog({"notice_seconds": 1}), CAPACITY, Facts(), 2.0, known).runs[0].notice_s == 1
    found.apply(replace(one, state="released"))
    assert scene_of(found, catalog, CAPACITY, Facts(), 2.0, known).machines[0].free_gpus == {"a100": 4}
    assert not known


def test_a_longest_durations_notice_is_not_the_rules() -> None:
    found = projection(launch("a", "0"), ReclaimNotice("a", 10.0, 20.0, ""))
    scene = scene_of(found, make_catalog(longest_hours=2.0), CAPACITY, Facts(), 12.0)
    assert (scene.runs[0].notice, scene.runs[0].ends_by) == (None, 7202.0)


def test_who_cannot_start_has_no_machine() -> None:
    held = launch("a", "0")
    wants = {
        "any": entry("any"),
        "its name runs": entry("named", user="alice", server="a"),
        "its GPU is held": entry("held", gpu_ids=("GPU-n1-a100-0",)),
        "its GPU is free": entry("free", gpu_ids=("GPU-n1-a100-1",)),
        "its GPU is gone": entry("gone", gpu_ids=("GPU-n9-a100-1",)),
        "on two machines": entry("two", gpus=2, gpu_ids=("GPU-n1-a100-1", "GPU-n2-t4-0")),
    }
    scene = scene_of(projection(held, *wants.values()), make_catalog(), CAPACITY, Facts(skipped="any"), 12.0)
    machines = {one.id: one.machines for one in scene.waiters}
    assert machines == {
        "named": NOWHERE,
        "held": NOWHERE,
        "free": frozenset({"n1"}),
        "gone": NOWHERE,
        "two": NOWHERE,
    }


def test_a_clock_that_was_set_back_leaves_nobody_out() -> None:
    found = projection(entry("a", not_before=1000.0, changed=100.0))
    for now, not_before in ((100.0, 1000.0), (30.0, 0.0), (50.0, 1000.0)):
        scene = scene_of(found, make_catalog(), CAPACITY, Facts(), now)
        assert scene.waiters[0].not_before == not_before


@pytest.mark.parametrize(
    ("more", "blocked", "lacks", "in_group"),
    [
        ({}, None, {"gpu"}, False),
        ({"gpu_type": "t4"}, "room", {"gpu:t4"}, False),
        ({"gpus": 0}, "room", {"cpu", "memory_gib"}, False),
        ({}, "limit", {"gpu"}, True),
    ],
)
def test_who_waits(more: dict[str, Any], blocked: str | None, lacks: set[str], in_group: bool) -> None:
    one = waiting_of(entry("a", **more), blocked)
    assert one is not None
    assert (one.lacks, one.in_group, one.user) == (lacks, in_group, "bob")


@pytest.mark.parametrize(("more", "blocked"), [({}, "cap"), ({}, "backoff"), ({"state": "started"}, None)])
def test_who_is_in_nobodys_way(more: dict[str, Any], blocked: str | None) -> None:
    assert waiting_of(entry("a", **more), blocked) is None


def test_what_is_measured_is_not_room() -> None:
    busier = replace(NODES[0], gpus=tuple(replace(one, utilisation=50.0) for one in NODES[0].gpus))
    assert room_of(Capacity((busier, NODES[1]))) == room_of(CAPACITY)
    sick = replace(NODES[0], gpus=tuple(replace(one, healthy=False) for one in NODES[0].gpus))
    assert room_of(Capacity((sick, NODES[1]))) != room_of(CAPACITY)
    assert room_of(Capacity((replace(NODES[0], schedulable=False), NODES[1]))) != room_of(CAPACITY)


async def test_a_fault_of_ours_lets_nobody_by_and_refuses_nobody(tmp_path: Path) -> None:
    lab = await Lab(tmp_path).boot()
    await lab.runs("alice", gpus=4)
    first = await lab.waits("carol", gpus=4)

    def broken(scene: object) -> Any:
        raise ZeroDivisionError

    plan, lab.world.queue._plan = lab.world.queue._plan, broken  # type: ignore[method-assign]
    await lab.stop("alice")
    second = await lab.ask("bob", gpus=1)
    assert isinstance(second, Waits)
    assert [one.code for one in second.reasons] == ["claimed"]
    lab.world.queue._plan = plan  # type: ignore[method-assign]
    await lab.look()
    assert (lab.state(first), lab.state(second.entry.launch_id)) == ("started", "waiting")
    await lab.halt()
