"""Who may learn who holds what, and that no sentence of a decision says more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity, Holdings, Viewer, decide
from mlabhub.core.forecast import forecast
from mlabhub.core.privacy import EVERYTHING
from mlabhub.core.quotas import Quotas
from mlabhub.i18n import get_translator
from tests.core.examples import make_gpus, make_holding, make_node, make_request
from tests.core.test_forecast import ANY

PRIVACIES = ("open", "group", "self")
GROUPS = ("vision", "nlp", None)
MINE = make_holding("L1", "alice", group="nlp")
MATES = make_holding("L2", "bob", group="vision")
OTHERS = make_holding("L3", "carol", group="nlp")
NOBODYS = make_holding("L4", "dave")


@pytest.mark.parametrize(
    ("privacy", "admin", "seen"),
    [
        ("open", False, [MINE, MATES, OTHERS, NOBODYS]),
        ("group", False, [MINE, MATES]),
        ("self", False, [MINE]),
        ("self", True, [MINE, MATES, OTHERS, NOBODYS]),
    ],
)
def test_who_sees_what(privacy, admin, seen):
    viewer = Viewer("alice", frozenset({"vision"}), admin, privacy)
    assert [one for one in (MINE, MATES, OTHERS, NOBODYS) if viewer.may_see(one)] == seen


def test_without_a_setting_only_oneself_is_seen():
    assert [one for one in (MINE, MATES) if Viewer("alice", frozenset({"vision", "nlp"})).may_see(one)] == [MINE]
    assert EVERYTHING.may_see(NOBODYS)


@pytest.mark.parametrize(
    ("privacy", "holders"),
    [("open", "alice 1, bob 2, carol 3"), ("group", "alice 1, bob 2, carol 3"), ("self", "alice 1, others 5")],
)
def test_a_groups_holders(privacy, holders):
    held = [
        make_holding(f"L{gpus}", user, group="vision", gpus=tuple(f"{user}{n}" for n in range(gpus)), gpu_type="a100")
        for user, gpus in (("alice", 1), ("bob", 2), ("carol", 3))
    ]
    quotas = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 6}}}, "privacy": privacy})
    request = make_request(group="vision", gpus=1, gpu_type="a100")
    (reason,) = decide(request, quotas, Holdings(held), (), Capacity((make_node("n1", 8),)), 0.0).reasons
    assert str(reason.message).startswith(f"vision holds 6 of 6 GPU: {holders}. ")
    chinese = get_translator("zh_CN").say(reason.message)
    assert ("carol" in chinese) == ("carol" in holders)


@pytest.mark.parametrize(
    ("privacy", "group", "name"),
    [
        ("open", "nlp", "bob"),
        ("group", "vision", "bob"),
        ("group", "nlp", "somebody of another group"),
        ("group", None, "somebody else"),
        ("self", "vision", "somebody else"),
    ],
)
def test_the_holder_of_one_gpu(privacy, group, name):
    holding = make_holding("L", "bob", group=group, gpus=("n1-a100-0",), gpu_type="a100")
    request = make_request(group="vision", gpus=1, gpu_type="a100", gpu_ids=("n1-a100-0",))
    quotas = Quotas.model_validate({"privacy": privacy})
    (reason,) = decide(request, quotas, Holdings([holding]), (), Capacity((make_node("n1", 1),)), 0.0).reasons
    assert f"is held by {name}." in str(reason.message)


@st.composite
def labs(draw):
    """A machine that is full or nearly so, with a holder of their own name for each server."""
    count = draw(st.integers(1, 6))
    holdings = []
    for number in range(count):
        gpus = (f"n1-a100-{number}",) if draw(st.booleans()) else ()
        user = draw(st.sampled_from(["alice", f"zq{number}zq", f"zq{number}zq"]))
        holdings.append(
            make_holding(
                f"L{number}",
                user,
                server="" if user != "alice" else f"s{number}",
                group=draw(st.sampled_from(GROUPS)),
                gpus=gpus,
                gpu_type="a100" if gpus else None,
                cpu=1.0,
                memory_gib=1.0,
            )
        )
    gpus = make_gpus("n1", 6)
    some = tuple(replace(gpu, healthy=draw(st.booleans())) for gpu in gpus)
    node = replace(make_node("n1", cpu=float(draw(st.integers(1, 8))), memory_gib=8.0), gpus=some)
    return Capacity((node,)), Holdings(holdings)


limits = st.dictionaries(st.sampled_from(["cpu", "servers", "gpu", "gpu:a100"]), st.integers(0, 4).map(float))


@settings(max_examples=200)
@given(
    labs(),
    st.sampled_from(PRIVACIES),
    st.sets(st.sampled_from(["vision", "nlp"])),
    limits,
    limits,
    st.sampled_from([0, 1, 2, 5, 9]),
    st.booleans(),
    st.booleans(),
)
def test_no_sentence_names_whom_the_viewer_may_not_see(lab, privacy, groups, limit, cap, gpus, admin, by_id):
    capacity, holdings = lab
    quotas = Quotas.model_validate(
        {
            "groups": {group: {"limit": limit} for group in ("vision", "nlp")},
            "users": {"default": cap},
            "privacy": privacy,
        }
    )
    viewer = Viewer("root" if admin else "alice", frozenset(groups), admin, privacy)
    for group in sorted(groups) or [None]:
        ids = tuple(f"n1-a100-{number}" for number in range(min(gpus, 6))) if by_id and 0 < gpus < 6 else None
        request = make_request(profile="any", group=group, gpus=gpus, gpu_type="a100" if gpus else None, gpu_ids=ids)
        request = replace(request, cpu=2.0, memory_gib=2.0, shm_gib=0.5)
        answer = forecast(request, ANY, quotas, holdings, (), capacity, 0.0, viewer)
        parts = [*(one.message for one in (*answer.decision.reasons, *answer.decision.notes))]
        texts = [get_translator(language).say(part) for part in parts for language in ("en", "zh_CN")]
        hidden = {one.user for one in holdings} - {one.user for one in holdings if viewer.may_see(one)}
        assert not [name for name in hidden for text in texts if name in text]
