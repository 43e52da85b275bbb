"""Decisions, one situation at a time: who gets what, and in which words others are refused."""

from dataclasses import replace
from typing import Any

import pytest

from mlabhub.core.admission import Capacity, Gpu, Holdings, Node, Placement
from mlabhub.core.quotas import Quotas
from mlabhub.messages import Message
from tests.core.examples import hold, judge, make_gpus, make_holding, make_node, make_request

ONE = Capacity((make_node("n1", 8),))
TWO = Capacity((make_node("n1", 4), make_node("n2", 4)))
MIXED = Capacity((make_node("n1", 2), make_node("n2", 4, "t4"), make_node("n3")))
GPU = {"gpu_type": "a100", "profile": "gpu"}


def quotas(**values):
    return Quotas.model_validate(values)


def held(user, gpus, group=None, node="n1", server="", gpu_type="a100", first=0, **values):
    uuids = tuple(f"{node}-{gpu_type}-{index}" for index in range(first, first + gpus))
    return make_holding(
        f"{user}-{server}-{node}-{first}",
        user,
        group=group,
        node=node,
        server=server,
        gpus=uuids,
        gpu_type=gpu_type if gpus else None,
        **values,
    )


def refused(request, capacity, holdings=(), limits=None):
    """Return the codes and sentences of a refusal."""
    decision = judge(request, capacity, Holdings(holdings), limits)
    assert decision.verdict == "refuse"
    assert decision.placement is None
    for reason in decision.reasons:
        assert str(reason.message).isprintable()
        assert str(reason.message).endswith(".")
    return [(reason.code, str(reason.message)) for reason in decision.reasons]


VISION = quotas(groups={"vision": {"limit": {"gpu:a100": 6}}})


def test_group_at_its_limit():
    holdings = [held("alice", 2, "vision"), held("bob", 4, "vision", first=2)]
    request = make_request(user="carol", group="vision", gpus=1, **GPU)
    assert refused(request, ONE, holdings, VISION) == [
        (
            "group_limit",
            "vision holds 6 of 6 A100: alice 2, bob 4. "
            "Wait until one of them stops, or ask an administrator for a higher limit.",
        )
    ]


def test_group_near_its_limit():
    holdings = [held("bob", 4, "vision"), held("bob", 1, "vision", first=4, server="x")]
    request = make_request(group="vision", gpus=2, **GPU)
    assert refused(request, ONE, holdings, VISION) == [
        (
            "group_limit",
            "vision holds 5 of 6 A100: bob 5. Take 1 A100 or less, or wait until one of them stops.",
        )
    ]
    assert judge(replace(request, gpus=1), ONE, Holdings(holdings), VISION).verdict == "admit"


def test_another_group_pays():
    holdings = [held("bob", 6, "vision")]
    assert judge(make_request(group="nlp", gpus=2, **GPU), ONE, Holdings(holdings), VISION).verdict == "admit"
    assert judge(make_request(group=None, gpus=2, **GPU), ONE, Holdings(holdings), VISION).verdict == "admit"


def test_more_than_the_group_may_ever_hold():
    request = make_request(group="vision", gpus=8, **GPU)
    assert refused(request, ONE, (), VISION) == [
        (
            "group_never",
            "8 A100 is more than vision may ever hold: its limit is 6 A100. "
            "Take 6 A100 or less, or ask an administrator for a higher limit.",
        )
    ]
    assert judge(request, ONE, quotas=VISION).never


def test_user_at_their_cap():
    holdings = [held("alice", 2, server="train"), held("alice", 1, first=2)]
    caps = quotas(users={"default": {"gpu": 3}})
    assert refused(make_request(gpus=1, **GPU), ONE, holdings, caps) == [
        (
            "user_limit",
            "alice holds 3 of 3 GPU on servers: train 2, default 1. "
            "Stop default (1), or ask an administrator for a higher cap.",
        )
    ]
    assert judge(make_request(user="bob", gpus=1, **GPU), ONE, Holdings(holdings), caps).verdict == "admit"


def test_user_near_their_cap():
    caps = quotas(users={"default": {"memory_gib": 10}})
    holdings = [make_holding("L1", server="a")]
    assert refused(make_request(memory_gib=8.0), ONE, holdings, caps) == [
        (
            "user_limit",
            "alice holds 4 of 10 GiB of memory on servers: a 4. Take 6 GiB of memory or less, or stop a (4).",
        )
    ]


def test_more_than_a_user_may_ever_hold():
    caps = quotas(users={"default": {"gpu": 8}, "alice": {"gpu": 2}})
    assert refused(make_request(gpus=4, **GPU), ONE, (), caps) == [
        (
            "user_never",
            "4 GPU is more than alice may ever hold: the cap is 2 GPU. "
            "Take 2 GPU or less, or ask an administrator for a higher cap.",
        )
    ]


def test_a_personal_cap_replaces_the_default_one_by_resource():
    caps = quotas(users={"default": {"gpu": 1, "servers": 1}, "alice": {"gpu": 4}})
    assert judge(make_request(gpus=4, **GPU), ONE, quotas=caps).verdict == "admit"
    codes = [code for code, _ in refused(make_request(gpus=1, **GPU), ONE, [held("alice", 1)], caps)]
    assert codes == ["user_limit"]


def test_servers_without_gpus_count_too():
    limits = quotas(groups={"vision": {"limit": {"servers": 1, "gpu": 0}}})
    assert judge(make_request(group="vision"), ONE, quotas=limits).verdict == "admit"
    assert refused(make_request(group="vision"), ONE, [make_holding("L1", "bob", group="vision")], limits) == [
        (
            "group_limit",
            "vision holds 1 of 1 servers: bob 1. "
            "Wait until one of them stops, or ask an administrator for a higher limit.",
        )
    ]


def test_all_limits_are_named_at_once():
    limits = quotas(groups={"vision": {"limit": {"gpu": 1, "cpu": 3}}}, users={"default": {"servers": 1}})
    holdings = [held("alice", 1, "vision")]
    codes = [code for code, _ in refused(make_request(group="vision", gpus=1, **GPU), ONE, holdings, limits)]
    assert codes == ["group_limit", "group_limit", "user_limit"]


def test_of_many_holders_the_largest_are_named():
    limits = quotas(groups={"vision": {"limit": {"servers": 13}}})
    holdings = [make_holding(f"L{n}", f"u{n:02}", group="vision", node="n9") for n in range(12)]
    holdings.append(make_holding("M", "u11", group="vision", node="n9"))
    ((_, sentence),) = refused(make_request(group="vision"), ONE, holdings, limits)
    assert "u00 1, u01 1" in sentence
    assert "u08 1, u11 2 and 2 more." in sentence


@pytest.mark.parametrize("state", ["pending", "held", "stopping", "unknown"])
def test_every_active_state_holds_its_gpu(state):
    holdings = [held("bob", 8, state=state)]
    assert refused(make_request(gpus=1, **GPU), ONE, holdings) == [("no_room", "1 A100 waits: none is free.")]


def test_free_but_not_on_one_machine():
    holdings = [held("bob", 1), held("carol", 2, node="n2")]
    assert refused(make_request(gpus=4, **GPU), TWO, holdings) == [
        ("no_room", "4 A100 wait: 5 are free, but no node has 4 (n1 3, n2 2).")
    ]


def test_larger_than_any_machine():
    assert refused(make_request(gpus=6, **GPU), TWO) == [
        ("never_fits", "No machine has 6 A100: the most is 4, on n1. Take 4 or less.")
    ]
    assert refused(make_request(cpu=65.0), TWO) == [
        ("never_fits", "No machine has 65 CPU: the most is 64, on n1. Take 64 or less.")
    ]
    assert refused(make_request(gpus=1, memory_gib=1024.0, **GPU), TWO) == [
        (
            "never_fits",
            "No machine has 1024 GiB of memory: the most is 512, on n1. Take 512 or less.",
        )
    ]
    assert judge(make_request(gpus=6, **GPU), TWO).never


def test_no_such_gpu_type():
    assert refused(make_request(gpus=1, gpu_type="v100"), MIXED) == [
        ("never_fits", "There is no V100 here; there is: T4, A100.")
    ]
    assert refused(make_request(gpus=1, gpu_type=None), Capacity((make_node("n1"),))) == [
        ("never_fits", "There is no GPU here. Choose a profile that needs none.")
    ]


def test_no_machine_at_all():
    assert refused(make_request(), Capacity()) == [
        ("no_room", "No machine is ready to run servers. Try again soon, or tell an administrator.")
    ]


def test_gpus_free_but_no_cpu_beside_them():
    capacity = Capacity((make_node("n1", 4, cpu=8), make_node("n2", cpu=64)))
    holdings = [make_holding("L1", cpu=6.0)]
    assert refused(make_request(gpus=2, cpu=4.0, **GPU), capacity, holdings) == [
        ("no_room", "No machine with 2 A100 free has 4 CPU free as well; free are: n1 2.")
    ]


def test_memory_is_never_handed_out_twice():
    capacity = Capacity((make_node("n1", memory_gib=16),))
    holdings = [make_holding("L1", memory_gib=15.5)]
    assert refused(make_request(memory_gib=1.0), capacity, holdings) == [
        ("no_room", "No machine has 1 GiB of memory free; free are: n1 0.5.")
    ]


def test_cpus_are_handed_out_several_times_where_the_quotas_say_so():
    capacity = Capacity((make_node("n1", cpu=2),))
    twice = quotas(cpu_overcommit=2)
    holdings = [make_holding("L1", cpu=2.0)]
    assert judge(make_request(cpu=2.0), capacity, Holdings(holdings), twice).verdict == "admit"
    assert refused(make_request(cpu=2.0), capacity, holdings)[0][0] == "no_room"
    assert refused(make_request(cpu=3.0), capacity, (), twice)[0][0] == "never_fits"
    holdings.append(make_holding("L2", cpu=1.0))
    assert refused(make_request(cpu=2.0), capacity, holdings, twice)[0][0] == "no_room"


def test_closed_machines_and_sick_gpus_do_not_count_and_are_named():
    sick = tuple(replace(gpu, healthy=gpu.uuid != "n1-a100-0") for gpu in make_gpus("n1", 2))
    closed = replace(make_node("n2", 8), schedulable=False)
    capacity = Capacity((Node("n1", 64, 512, sick), closed))
    assert judge(make_request(gpus=1, **GPU), capacity).placement == Placement("n1", ("n1-a100-1",), "a100")
    assert refused(make_request(gpus=2, **GPU), capacity) == [
        (
            "no_room",
            "2 A100 wait: 1 is free, on n1. These take no new servers: n2. These GPUs are not healthy: n1-a100-0 (n1).",
        )
    ]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ({"busy": True}, "These GPUs are used by something outside of this hub: n1-a100-0 (n1)."),
        ({"busy": None}, "Whether these GPUs are free cannot be told now: n1-a100-0 (n1)."),
        ({"busy": None, "healthy": False}, "These GPUs are not healthy: n1-a100-0 (n1)."),
    ],
    ids=["busy", "not known", "sick besides"],
)
def test_gpus_that_others_use_are_not_handed_out_and_are_named(state: dict[str, Any], sentence: str):
    first, second = make_gpus("n1", 2)
    capacity = Capacity((Node("n1", 64, 512, (replace(first, **state), second)),))
    assert judge(make_request(gpus=1, **GPU), capacity).placement == Placement("n1", ("n1-a100-1",), "a100")
    [(code, said)] = refused(make_request(gpus=2, **GPU), capacity)
    assert (code, said.endswith(sentence)) == ("no_room", True)


def test_a_divided_gpu_is_not_one_but_its_slices_are():
    whole, second = make_gpus("n1", 2)
    slices = tuple(
        Gpu(f"MIG-{number}", "a100-1g.10gb", "n1", "A100 MIG 1g.10gb", mig="1g.10gb", parent=whole.uuid)
        for number in range(2)
    )
    capacity = Capacity((Node("n1", 64, 512, (replace(whole, divided=True), *slices, second)),))
    assert capacity.gpu_types == ("a100-1g.10gb", "a100")
    assert refused(make_request(gpus=2, **GPU), capacity) == [
        ("never_fits", "No machine has 2 A100: the most is 1, on n1. Take 1 or less.")
    ]
    small = make_request(gpus=2, gpu_type="a100-1g.10gb", group="vision")
    assert judge(small, capacity).placement == Placement("n1", ("MIG-0", "MIG-1"), "a100-1g.10gb")


@pytest.mark.parametrize(
    ("state", "code", "sentence"),
    [
        ({"divided": True}, "no_such_gpu", "is divided into slices (MIG). Choose a slice of it, or another GPU."),
        ({"healthy": False}, "gpu_sick", "is not healthy; the list of GPUs says why. Choose another one."),
        ({"busy": True}, "gpu_busy", "is used by something outside of this hub. Choose another one, or wait."),
        ({"busy": None}, "gpu_unsure", "is free cannot be told now. Choose another one, or try again soon."),
    ],
    ids=["divided", "sick", "busy", "not known"],
)
def test_a_gpu_chosen_by_id_says_why_it_is_not_given(state: dict[str, Any], code: str, sentence: str):
    first, second = make_gpus("n1", 2)
    capacity = Capacity((Node("n1", 64, 512, (replace(first, **state), second)),))
    [(given, said)] = refused(make_request(gpus=1, gpu_ids=(first.uuid,), **GPU), capacity)
    assert (given, first.uuid in said, said.endswith(sentence)) == (code, True, True)


@pytest.mark.parametrize("known", [0, 2], ids=["none known", "known before"])
def test_gpus_that_cannot_be_read_are_never_said_not_to_be_there(known: int):
    gpus = tuple(replace(gpu, busy=None) for gpu in make_gpus("n1", known))
    capacity = Capacity((Node("n1", 64, 512, gpus, gpu_fault=Message("The driver is silent.")),))
    assert judge(make_request(), capacity).verdict == "admit"
    [(code, said)] = refused(make_request(gpus=1, **GPU), capacity)
    assert code == "no_room"
    assert "The GPUs of n1 cannot be read: The driver is silent." in said
    assert "no GPU" not in said


def test_what_no_machine_has_is_never_to_be_had_while_all_are_closed():
    capacity = Capacity((replace(make_node("n1", gpus=1), schedulable=False),))
    [(code, said)] = refused(make_request(gpus=1, gpu_type="v100"), capacity)
    assert (code, said) == ("never_fits", "There is no V100 here; there is: A100.")


def test_all_machines_closed():
    capacity = Capacity((replace(make_node("n1"), schedulable=False),))
    assert refused(make_request(), capacity) == [
        (
            "no_room",
            "No machine is ready to run servers. These take no new servers: n1. "
            "Try again soon, or tell an administrator.",
        )
    ]


def test_best_fit_keeps_the_large_hole():
    holdings = [held("bob", 2, node="n2")]
    assert judge(make_request(gpus=1, **GPU), TWO, Holdings(holdings)).placement == Placement(
        "n2", ("n2-a100-2",), "a100"
    )
    assert judge(make_request(gpus=4, **GPU), TWO, Holdings(holdings)).placement.node == "n1"


def test_servers_without_gpus_leave_gpu_machines_alone():
    assert judge(make_request(), MIXED).placement == Placement("n3")
    assert judge(make_request(), Capacity(MIXED.nodes[:2])).placement == Placement("n1")


def test_any_type_takes_the_tightest_place_of_one_type():
    request = make_request(gpus=2, gpu_type=None)
    assert judge(request, MIXED).placement == Placement("n1", ("n1-a100-0", "n1-a100-1"), "a100")
    both = Capacity((Node("n1", 64, 512, (*make_gpus("n1", 1), *make_gpus("n1", 1, "t4"))),))
    assert refused(request, both)[0] == (
        "never_fits",
        "No machine has 2 GPU: the most is 1, on n1. Take 1 or less.",
    )


def test_any_type_avoids_a_type_at_its_limit():
    limits = quotas(groups={"vision": {"limit": {"gpu:a100": 1}}})
    request = make_request(group="vision", gpus=2, gpu_type=None)
    assert judge(request, MIXED, quotas=limits).placement.gpu_type == "t4"
    tight = quotas(groups={"vision": {"limit": {"gpu:a100": 1, "gpu:t4": 1}}})
    assert [code for code, _ in refused(request, MIXED, (), tight)] == ["group_never", "group_never"]


def test_chosen_gpus():
    request = make_request(gpus=2, gpu_ids=("n2-a100-3", "n2-a100-1"), **GPU)
    assert judge(request, TWO).placement == Placement("n2", ("n2-a100-1", "n2-a100-3"), "a100")
    assert refused(request, TWO, [held("bob", 1, node="n2", first=3)]) == [
        ("gpu_held", 'The GPU "n2-a100-3" is held by somebody else. Choose another one, or wait.')
    ]
    assert refused(replace(request, gpu_ids=("all", "n2-a100-1")), TWO) == [
        ("no_such_gpu", 'There is no GPU "all" here. Leave the choice to us, or look at the list of GPUs.')
    ]
    assert refused(replace(request, gpu_type="t4"), TWO)[0] == (
        "no_such_gpu",
        'The GPU "n2-a100-3" is of type A100, not T4. Choose another one.',
    )
    assert refused(replace(request, gpu_ids=("n1-a100-1", "n2-a100-1")), TWO) == [
        ("never_fits", "The GPUs that were chosen are on different machines: n1, n2. Choose GPUs of one machine.")
    ]


def test_what_capacity_does_not_know_is_still_held():
    holdings = [held("bob", 2, "vision", node="gone"), make_holding("L2", "bob", group="vision", node=None)]
    limits = quotas(groups={"vision": {"limit": {"gpu": 2}}})
    assert refused(make_request(group="vision", gpus=1, **GPU), ONE, holdings, limits)[0][0] == "group_limit"
    assert judge(make_request(group="nlp", gpus=8, **GPU), ONE, Holdings(holdings), limits).verdict == "admit"


def test_a_machine_that_shrank_takes_nothing():
    capacity = Capacity((make_node("n1", cpu=2, memory_gib=4),))
    assert refused(make_request(cpu=1.0, memory_gib=1.0), capacity, [make_holding("L1", cpu=8.0)])[0][0] == "no_room"


def test_names_and_templates_of_others_are_only_text():
    holdings = [make_holding("L1", "{0.x}\n", group="{group}")]
    limits = quotas(groups={"{group}": {"limit": {"servers": 1}}})
    ((_, sentence),) = refused(make_request(group="{group}"), ONE, holdings, limits)
    assert sentence.startswith("{group} holds 1 of 1 servers: {0.x}\ufffd 1.")


def test_eight_gpus_for_two_thousand():
    holdings = Holdings()
    admitted = 0
    for number in range(2000):
        request = make_request(user=f"u{number}", gpus=1, cpu=1.0, memory_gib=1.0, **GPU)
        decision = judge(request, ONE, holdings)
        if decision.verdict == "admit":
            hold(holdings, request, decision, f"L{number}")
            admitted += 1
    assert admitted == 8
