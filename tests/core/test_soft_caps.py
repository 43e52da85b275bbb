"""Caps that count only while others wait: who is let beyond them, what is said, and what never changes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity, Holdings, Waiting, decide, would_start
from mlabhub.core.quotas import Quotas
from mlabhub.core.waiting import others_wait
from tests.core.examples import make_holding, make_node, make_request
from tests.core.test_admission_properties import RESOURCES, capacities, fill, limits, requests, used_by, within

NODE = Capacity((make_node("n1", 16),))
SOFT = Quotas.model_validate({"users": {"default": {"gpu": 8, "soft": True}, "alice": {"servers": 9}}})


def waiting(user="bob", lacks=("gpu:a100",), *, in_group=False, **values):
    return Waiting(make_request(user=user, gpus=4, gpu_type="a100", **values), 100.0, frozenset(lacks), in_group)


def holding(gpus, server="train", user="alice", first=0, group=None):
    uuids = tuple(f"n1-a100-{number}" for number in range(first, first + gpus))
    return make_holding(f"L-{user}-{server}", user, server=server, gpus=uuids, gpu_type="a100", group=group)


def ask(gpus, queue=(), held=(), quotas=SOFT, **values):
    request = make_request(gpus=gpus, gpu_type="a100", **values)
    return decide(request, quotas, Holdings(held), queue, NODE, 0.0)


def test_beyond_a_soft_cap_when_nobody_waits():
    decision = ask(4, held=[holding(6)])
    assert decision.verdict == "admit"
    assert [(note.code, note.resource) for note in decision.notes] == [("beyond_soft_cap", "gpu")]
    assert str(decision.notes[0].message) == "Beyond your cap of 8 GPU: counted again as soon as others wait."


def test_at_a_soft_cap_nothing_is_said():
    assert ask(2, held=[holding(6)]).notes == ()
    assert ask(9).notes != ()


@pytest.mark.parametrize(
    ("queue", "admitted"),
    [
        pytest.param([waiting()], False, id="somebody waits for the same type"),
        pytest.param([waiting(lacks=["gpu"])], False, id="for any type"),
        pytest.param([waiting(lacks=["gpu:t4"])], False, id="for another type, as the cap is on all"),
        pytest.param([waiting("alice")], True, id="who waits themself is not others"),
        pytest.param([waiting(lacks=["cpu"])], True, id="for CPUs only"),
        pytest.param([waiting(lacks=["cpu"]), waiting("carol")], False, id="one of several"),
        pytest.param([waiting(in_group=True, group="nlp")], True, id="for the limit of another group"),
        pytest.param([waiting(in_group=True, group="vision")], False, id="for the limit of the group that pays"),
        pytest.param([], True, id="nobody"),
    ],
)
def test_who_counts_as_waiting(queue, admitted):
    assert (ask(4, queue, [holding(6)], group="vision").verdict == "admit") == admitted


@pytest.mark.parametrize(
    ("lacks", "cap", "counts"),
    [
        ("gpu:a100", "gpu:a100", True),
        ("gpu", "gpu:a100", True),
        ("gpu:t4", "gpu:a100", False),
        ("cpu", "gpu:a100", False),
        ("cpu", "cpu", True),
        ("gpu:t4", "servers", True),
        ("memory_gib", "servers", True),
    ],
)
def test_a_cap_counts_while_somebody_lacks_what_it_is_about(lacks, cap, counts):
    quotas = Quotas.model_validate({"users": {"default": {cap: 1, "soft": True}}})
    held = [holding(1)]
    assert (ask(2, [waiting(lacks=[lacks])], held, quotas).verdict == "refuse") == counts
    assert ask(2, [], held, quotas).verdict == "admit"


def test_a_refusal_by_a_soft_cap_says_what_to_do():
    (reason,) = ask(4, [waiting()], [holding(5), holding(1, "dev", first=5)]).reasons
    assert (reason.code, reason.resource) == ("user_limit", "gpu")
    assert str(reason.message) == (
        "alice holds 6 of 8 GPU on servers: train 5, dev 1. Others wait, so the cap of 8 GPU counts. "
        "Take 2 GPU or less, or stop train (5)."
    )


def test_more_than_a_soft_cap_is_not_never():
    decision = ask(9, [waiting()])
    assert not decision.never
    assert [str(reason.message) for reason in decision.reasons] == [
        "Others wait, so the cap of 8 GPU counts. Take 8 GPU or less, or wait until nobody else waits."
    ]
    assert ask(9).verdict == "admit"


def test_a_type_that_a_soft_cap_shuts_may_open_again():
    """Of any type: the open one can never hold it, but the other one can when nobody waits any more."""
    capacity = Capacity((make_node("n1", 2), make_node("n2", 1, "t4")))
    quotas = Quotas.model_validate({"users": {"default": {"gpu:a100": 0, "soft": True}}})
    decision = decide(make_request(gpus=2), quotas, Holdings(), [waiting()], capacity, 0.0)
    assert [reason.code for reason in decision.reasons] == ["user_limit"]
    hard = Quotas.model_validate({"users": {"default": {"gpu:a100": 0}}})
    assert decide(make_request(gpus=2), hard, Holdings(), [waiting()], capacity, 0.0).never


def test_softness_is_inherited_and_can_be_taken_back():
    hard = Quotas.model_validate({"users": {"default": {"gpu": 8, "soft": True}, "alice": {"gpu": 10, "soft": False}}})
    assert [reason.code for reason in ask(4, held=[holding(8)], quotas=hard).reasons] == ["user_limit"]
    own = Quotas.model_validate({"users": {"default": {"gpu": 8, "soft": True}, "alice": {"gpu": 10}}})
    assert ask(4, held=[holding(8)], quotas=own).verdict == "admit"
    listed = Quotas.model_validate({"users": {"default": {"gpu": 8, "servers": 1, "soft": ["gpu"]}}})
    assert [reason.resource for reason in ask(4, held=[holding(8)], quotas=listed).reasons] == ["servers"]


@given(st.sampled_from(RESOURCES), st.sampled_from(RESOURCES))
def test_whoever_lacks_the_very_resource_waits_for_it(one, other):
    assert others_wait([waiting(lacks=[one])], make_request(), one)
    assert others_wait([waiting(lacks=[one])], make_request(), other) == others_wait(
        [waiting(lacks=[other])], make_request(), one
    )


soft_quotas = st.builds(
    lambda vision, default, alice, soft: Quotas.model_validate(
        {
            "groups": {"vision": {"limit": vision}},
            "users": {"default": {**default, "soft": soft}, "alice": alice},
        }
    ),
    limits,
    limits,
    limits,
    st.one_of(st.booleans(), st.lists(st.sampled_from(RESOURCES), max_size=3)),
)
queues = st.lists(
    st.builds(
        lambda request, lacks, in_group: Waiting(request, 0.0, lacks, in_group),
        requests(),
        st.frozensets(st.sampled_from(RESOURCES), min_size=1, max_size=2),
        st.booleans(),
    ),
    max_size=3,
)


@settings(max_examples=200)
@given(capacities, soft_quotas, st.lists(requests(), max_size=6), requests(), queues)
def test_a_soft_cap_never_lets_beyond_anything_else(capacity, quotas, earlier, request, queue):
    holdings = fill(capacity, quotas, earlier)
    decision = decide(request, quotas, holdings, queue, capacity, 0.0)
    assert decision == decide(request, quotas, holdings, queue, capacity, 9.0)
    assert would_start(request, quotas, holdings, queue, capacity) == (decision.verdict == "admit")
    if decision.verdict != "admit":
        assert decision.reasons
        return
    taken = make_holding(
        "new", request.user, group=request.group, cpu=request.cpu, memory_gib=request.memory_gib,
        gpus=decision.placement.gpus, gpu_type=decision.placement.gpu_type,
    )  # fmt: skip
    soft, cap = quotas.user_soft(request.user), quotas.user_limit(request.user)
    hard = {resource: amount for resource, amount in cap.items() if resource not in soft}
    assert within(quotas.group_limit(request.group), used_by(holdings, group=request.group), taken.amounts)
    assert within(hard, used_by(holdings, user=request.user), taken.amounts)
    beyond = {r for r in soft if not within({r: cap.get(r, 1e9)}, used_by(holdings, user=request.user), taken.amounts)}
    assert {note.resource for note in decision.notes} == beyond & set(taken.amounts)
    assert not any(others_wait(queue, request, resource) for resource in beyond & set(taken.amounts))


@settings(max_examples=200)
@given(capacities, soft_quotas, st.lists(requests(), max_size=6), requests(), queues, st.data())
def test_who_leaves_never_turns_an_admission_into_a_refusal(capacity, quotas, earlier, request, queue, data):
    holdings = fill(capacity, quotas, earlier)
    if decide(request, quotas, holdings, queue, capacity, 0.0).verdict != "admit":
        return
    left = data.draw(st.sets(st.sampled_from([one.launch_id for one in holdings]))) if len(holdings) else set()
    fewer = Holdings(one for one in holdings if one.launch_id in left)
    still = [one for one in queue if data.draw(st.booleans())]
    assert decide(request, quotas, fewer, still, capacity, 0.0).verdict == "admit"
