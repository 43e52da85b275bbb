"""What the last round left, as a launch between rounds meets it; and who is told that they borrow."""

import pytest

from mlabhub.core.admission import NOTHING, Capacity, Holdings, Standing, decide, would_start
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Claim, Round
from mlabhub.core.units import to_micro
from tests.core.examples import make_holding, make_node, make_request

QUOTAS = Quotas.model_validate(
    {"groups": {"vision": {"guaranteed": {"gpu:a100": 2}}, "nlp": {"guaranteed": {"gpu:a100": 4}}}}
)
NODES = Capacity((make_node("n1", 4), make_node("n2", 4)))
CLAIM = Claim("W1", "n1", "a100", 3, to_micro(2), to_micro(4))


def ask(gpus=1, group="vision", **more):
    return make_request(profile="gpu", gpus=gpus, gpu_type="a100" if gpus else None, group=group, **more)


def answer(request, standing=NOTHING, holdings=None, quotas=QUOTAS, capacity=NODES):
    holdings = holdings or Holdings()
    decision = decide(request, quotas, holdings, (), capacity, 0.0, standing=standing)
    assert would_start(request, quotas, holdings, (), capacity, standing) == (decision.placement is not None)
    return decision


def codes(decision):
    return [reason.code for reason in decision.reasons]


def test_room_that_is_promised_is_not_free():
    alone = Capacity(NODES.nodes[:1])
    refused = answer(ask(2), Standing((CLAIM,)), capacity=alone)
    assert codes(refused) == ["claimed"]
    assert not refused.never
    assert str(refused.reasons[0].message) == "What is free is promised to those who wait already."
    assert answer(ask(1), Standing((CLAIM,)), capacity=alone).placement.node == "n1"
    assert answer(ask(2), Standing((CLAIM,))).placement.node == "n2"


def test_promised_cpu_and_memory_are_not_free_either():
    alone = Capacity((make_node("n1", 4, cpu=4, memory_gib=8),))
    assert answer(make_request(cpu=2.0, memory_gib=4.0), Standing((CLAIM,)), capacity=alone).placement is not None
    assert codes(answer(make_request(cpu=3.0), Standing((CLAIM,)), capacity=alone)) == ["claimed"]
    assert codes(answer(make_request(memory_gib=5.0), Standing((CLAIM,)), capacity=alone)) == ["claimed"]


def test_what_is_promised_to_oneself_is_ones_own():
    alone = Capacity(NODES.nodes[:1])
    assert answer(ask(4), Standing((CLAIM,)).without("W1"), capacity=alone).placement is not None


def test_who_borrows_leaves_the_reserve_and_an_owner_takes_it():
    kept = Standing.after(Round(kept={"a100": 7}))
    assert codes(answer(ask(2, group=None), kept)) == ["reserve"]
    assert answer(ask(1, group=None), kept).borrowed
    owner = answer(ask(2), kept)
    assert owner.placement is not None
    assert not owner.borrowed
    assert answer(make_request(), kept).placement is not None


def test_what_stands_in_the_way_anyhow_is_named_as_ever():
    assert codes(answer(ask(8), Standing((CLAIM,), {"a100": 8}))) == ["never_fits"]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        (
            "vision",
            "Beyond vision's guarantee of 2 A100: it may be taken back, with 10 min of notice, when a group with a "
            "guarantee needs it.",
        ),
        ("bio", "Borrowed: it may be taken back, with 10 min of notice, when a group with a guarantee needs it."),
        (None, "Borrowed: it may be taken back, with 10 min of notice, when a group with a guarantee needs it."),
    ],
)
def test_who_borrows_is_told_so(group, words):
    told = answer(ask(3, group=group))
    assert told.borrowed
    assert [(note.code, str(note.message)) for note in told.notes] == [("borrowed", words)]


def test_within_the_guarantee_nobody_borrows():
    gpus = ("n1-a100-0",)
    holdings = Holdings([make_holding("L1", "bob", group="vision", gpus=gpus, gpu_type="a100")])
    assert not answer(ask(1), holdings=holdings).borrowed
    assert answer(ask(2), holdings=holdings).borrowed
    assert not answer(make_request(group="vision")).borrowed


def test_where_nobody_else_may_count_on_anything_nobody_borrows():
    only = Quotas.model_validate({"groups": {"vision": {"guaranteed": {"gpu": 1}, "limit": {"gpu": 8}}, "nlp": {}}})
    assert answer(ask(4), quotas=only).notes == ()
