"""The map of GPUs: each is there once, in a word that is true, and what is not known is not made up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.gpu_map import Ground, Held, Hold, Place, counts_of, load_of, make_map
from mlabhub.core.privacy import Viewer


def gpu(index: int, node: str = "n1", **values: Any) -> Gpu:
    return Gpu(**{"uuid": f"{node}-{index}", "type": "a100", "node": node, "name": "A100", "index": index, **values})


def held(launch: str, *gpus: str, node: str = "n1", user: str = "alice", **values: Any) -> Held:
    about = {"group": "vision", "server": "", "display_name": "", "profile": "gpu", "since": 10.0, "starting": False}
    hold = Hold(**{"launch_id": launch, "user": user, "idle_since": None, **about, **values})
    return Held(hold, gpus, "a100", node, 4.0, 32.0)


def ground(node: Node, *held_: Held, uses: dict[str, tuple[float | None, ...]] | None = None, **more: Any) -> Ground:
    return Ground(Capacity((node,)), held_, lambda launch: (uses or {}).get(launch, ()), **more)


def states(place: Place) -> list[str]:
    return [spot.state for spot in place.spots]


NODE = Node(
    "n1",
    64,
    512,
    (
        gpu(0, utilisation=88.0),
        gpu(1, healthy=False),
        gpu(2, busy=True),
        gpu(3, busy=None),
        gpu(4, divided=True),
        gpu(4, uuid="MIG", mig="1g.10gb", parent="n1-4"),
        gpu(5),
    ),
)


def test_each_gpu_has_the_word_that_is_true_of_it() -> None:
    (place,) = make_map(ground(NODE, held("a", "n1-0"), uses={"a": (12.0,)}))
    assert states(place) == ["held", "sick", "outside", "unknown", "divided", "free", "free"]
    assert (place.spots[0].percent, place.cpu_free, place.memory_gib_free, place.kind) == (12.0, 60.0, 480.0, "A100")


def test_what_was_measured_of_a_minute_goes_before_a_look_and_a_look_before_nothing() -> None:
    (place,) = make_map(ground(NODE, held("a", "n1-0")))
    assert place.spots[0].percent == 88.0
    (place,) = make_map(ground(NODE, held("a", "n1-0", "n1-5"), uses={"a": (1.0,)}))
    assert place.spots[0].percent == 88.0, "a measure of fewer GPUs than are held says nothing of which"
    assert place.spots[-1].percent is None


def test_a_machine_that_takes_no_servers_has_nothing_free() -> None:
    (place,) = make_map(ground(replace(NODE, schedulable=False), held("a", "n1-0", starting=True)))
    assert states(place) == ["reserved", "sick", "outside", "unknown", "divided", "closed", "closed"]


def test_of_then_nobody_says_what_could_have_been_had() -> None:
    (place,) = make_map(ground(replace(NODE, schedulable=False), held("a", "n1-0"), past=True))
    assert states(place) == ["held", "unheld", "unheld", "unheld", "divided", "unheld", "unheld"]
    assert (place.spots[0].percent, place.cpu_free, place.memory_gib_free) == (None, None, None)


def test_what_is_held_and_not_listed_is_on_the_map() -> None:
    here, gone = make_map(ground(NODE, held("a", "n1-9"), held("b", "n2-0", node="n2"), past=True))
    assert (here.spots[-1].uuid, here.spots[-1].state, here.gone) == ("n1-9", "held", False)
    assert ([spot.uuid for spot in gone.spots], gone.gone, gone.cpu) == (["n2-0"], True, None)


def test_on_a_cluster_the_last_slots_are_those_of_others() -> None:
    node = Node("n1", 8, 8, tuple(gpu(one) for one in range(4)), counted=True, gpus_taken={"a100": 2})
    (place,) = make_map(ground(node, held("a", "n1-0")))
    assert states(place) == ["held", "free", "taken", "taken"]


@pytest.mark.parametrize(
    ("percent", "load"), [(None, None), (0.0, "idle"), (9.9, "idle"), (10.0, "light"), (49.9, "light"), (50.0, "busy")]
)
def test_how_busy_in_a_word(percent: float | None, load: str | None) -> None:
    assert load_of(percent) == load


@pytest.mark.parametrize(
    ("viewer", "seen"),
    [
        (Viewer("carol", privacy="open"), {"a", "b"}),
        (Viewer("carol", admin=True), {"a", "b"}),
        (Viewer("carol", frozenset({"vision"}), privacy="group"), {"a", "b"}),
        (Viewer("carol", frozenset({"nlp"}), privacy="group"), set()),
        (Viewer("alice"), {"a"}),
    ],
)
def test_of_whom_one_may_learn(viewer: Viewer, seen: set[str]) -> None:
    (place,) = make_map(ground(NODE, held("a", "n1-0"), held("b", "n1-5", user="bob")))
    assert place.seen_by(viewer) == seen


@given(st.data())
def test_every_gpu_that_is_listed_or_held_is_there_once_and_counted_once(data: st.DataObject) -> None:
    nodes = tuple(
        Node(
            name,
            8,
            8,
            tuple(gpu(one, name, healthy=data.draw(st.booleans())) for one in range(data.draw(st.integers(0, 4)))),
            schedulable=data.draw(st.booleans()),
        )
        for name in ("n1", "n2")
    )
    everything = [f"{node}-{one}" for node in ("n1", "n2", "n3") for one in range(5)]
    owners = {uuid: data.draw(st.sampled_from([None, "a", "b"])) for uuid in everything}
    holds = [
        held(f"{owner}{node}", *gpus, node=node)
        for owner in ("a", "b")
        for node in ("n1", "n2", "n3")
        if (gpus := [uuid for uuid, one in owners.items() if one == owner and uuid.startswith(node)])
    ]
    places = make_map(Ground(Capacity(nodes), holds, lambda _: ()))
    listed = {one.uuid for node in nodes for one in node.gpus}
    found = Counter(spot.uuid for place in places for spot in place.spots)
    assert found == Counter(listed | {uuid for uuid, owner in owners.items() if owner})
    assert sum(counts_of(places).values()) == len(found)
    assert counts_of(places)["held"] == sum(owner is not None for owner in owners.values())
