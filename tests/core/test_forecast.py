"""Forecasts: what is in the way, in the right resource and numbers, and the nearest choice that starts now."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity, Holdings, Node, Waiting, decide
from mlabhub.core.forecast import forecast
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.core.resolve import resolve
from mlabhub.core.sharing.model import Claim
from mlabhub.core.sharing.standing import Standing
from mlabhub.core.units import to_micro
from mlabhub.core.waiting import in_the_way
from tests.core.examples import judge, make_gpus, make_holding, make_node, make_request
from tests.core.test_admission_properties import capacities, fill, places, requests
from tests.core.test_soft_caps import queues, soft_quotas

CATALOG = Catalog.model_validate(
    {
        "images": [{"slug": "base", "display_name": "B", "reference": "localhost/b"}],
        "profiles": [
            {
                "slug": "train",
                "display_name": "T",
                "images": ["base"],
                "cpu": {"min": 2, "max": 64, "step": 2, "default": 16},
                "memory_gib": {"choices": [16, 64, 128, 512], "default": 128},
                "gpus": [1, 2, 4, 8, 16],
                "gpu_types": ["a100", "t4"],
            },
            {
                "slug": "any",
                "display_name": "A",
                "images": ["base"],
                "cpu": {"min": 0.5, "max": 9, "step": 0.5, "default": 1},
                "memory_gib": {"min": 0.5, "max": 9, "step": 0.5, "default": 1},
                "shm_gib": {"min": 0.5, "max": 4, "step": 0.5, "default": 0.5},
                "gpus": {"min": 0, "max": 4},
                "gpu_types": ["any"],
            },
        ],
    }
)
TRAIN, ANY = CATALOG.profiles
NO_LIMITS = Quotas()


def held(gpus, node, user="bob", gpu_type="a100", **values):
    uuids = tuple(f"{node}-{gpu_type}-{number}" for number in range(gpus))
    return make_holding(f"{user}-{node}-{gpu_type}", user, node=node, gpus=uuids, gpu_type=gpu_type, **values)


def told(options, capacity, holdings=(), quotas=NO_LIMITS, groups=()):
    """Return a forecast's state, its sentences, and the changes that lead to the nearest choice."""
    request = resolve(CATALOG, "alice", groups, {"profile": "train", **options}, present=capacity.gpu_types)
    answer = forecast(request, TRAIN, quotas, Holdings(holdings), (), capacity, 0.0)
    parts = [reason.message for reason in answer.decision.reasons] + ([answer.advice] if answer.advice else [])
    return answer.state, " ".join(map(str, parts)), dict(answer.nearest.changes) if answer.nearest else None


def lab(*nodes):
    return Capacity(nodes)


THREE_AND_THREE = lab(make_node("n1", 8), make_node("n2", 8))
TAKEN = [held(5, "n1"), held(5, "n2")]
FOUR_T4 = lab(make_node("n1", 2), make_node("n2", 4, "t4"))


@pytest.mark.parametrize(
    ("options", "capacity", "holdings", "state", "sentence", "changes"),
    [
        pytest.param({"gpus": 2}, THREE_AND_THREE, TAKEN, "now", "", None, id="starts now"),
        pytest.param(
            {"gpus": 4},
            THREE_AND_THREE,
            TAKEN,
            "later",
            "4 A100 wait: 6 are free, but no node has 4 (n1 3, n2 3). 2 A100 start now.",
            {"gpus": 2},
            id="free, but apart",
        ),
        pytest.param(
            {"gpus": 8},
            THREE_AND_THREE,
            TAKEN,
            "later",
            "8 A100 wait: 6 are free (n1 3, n2 3). 2 A100 start now.",
            {"gpus": 2},
            id="too few",
        ),
        pytest.param(
            {"gpus": 2},
            FOUR_T4,
            [held(1, "n1")],
            "later",
            "2 A100 wait: 1 is free, on n1. 1 A100 starts now.",
            {"gpus": 1},
            id="one is free",
        ),
        pytest.param(
            {"gpus": 2},
            FOUR_T4,
            [held(2, "n1")],
            "later",
            "2 A100 wait: none is free. 2 T4 start now.",
            {"gpu_type": "t4"},
            id="another type",
        ),
        pytest.param(
            {"gpus": 4},
            FOUR_T4,
            [held(2, "n1"), held(2, "n2", "carol", "t4")],
            "never",
            "No machine has 4 A100: the most is 2, on n1. Take 2 or less. 2 T4 start now.",
            {"gpus": 2, "gpu_type": "t4"},
            id="fewer of another type",
        ),
        pytest.param(
            {"gpus": 1},
            lab(make_node("n1", 1)),
            [held(1, "n1")],
            "later",
            "1 A100 waits: none is free. Wait until a server stops.",
            None,
            id="nothing starts",
        ),
        pytest.param(
            {"gpus": 16},
            lab(make_node("n1", 8), make_node("n2", 4)),
            [],
            "never",
            "No machine has 16 A100: the most is 8, on n1. Take 8 or less. 8 A100 start now.",
            {"gpus": 8},
            id="larger than any machine",
        ),
        pytest.param(
            {"gpus": 8, "cpu": 64},
            lab(make_node("n1", 8, cpu=48), make_node("n2", 0, cpu=64)),
            [],
            "never",
            "No machine with 8 A100 has 64 CPU as well: n1 has 8 A100, but 48 CPU. Take 48 or less. "
            "With 48 CPU it starts now.",
            {"cpu": 48},
            id="GPUs and CPUs on different machines",
        ),
        pytest.param(
            {"gpus": 8, "cpu": 64, "memory_gib": 512},
            lab(
                make_node("n1", 8, cpu=48, memory_gib=512),
                make_node("n2", 8, cpu=56, memory_gib=64),
                make_node("n3", cpu=64),
            ),
            [],
            "never",
            "No machine with 8 A100, 512 GiB of memory has 64 CPU as well: n1 has 8 A100, 512 GiB of memory, but "
            "48 CPU. Take 48 or less. With 48 CPU it starts now.",
            {"cpu": 48},
            id="the most of one that has all the rest",
        ),
        pytest.param(
            {"gpus": 8, "cpu": 64, "memory_gib": 512},
            lab(make_node("n1", 4, cpu=32, memory_gib=64)),
            [],
            "never",
            "No machine has 8 A100, 64 CPU, 512 GiB of memory at once: n1 4 A100, 32 CPU, 64 GiB of memory. "
            "Take less of what is short there. 4 A100 with 32 CPU, 64 GiB of memory start now.",
            {"gpus": 4, "cpu": 32, "memory_gib": 64},
            id="several are short",
        ),
        pytest.param(
            {"gpus": 4},
            lab(make_node("n1", 4, cpu=32), make_node("n2", 2)),
            [make_holding("L", "bob", cpu=26.0)],
            "later",
            "No machine with 4 A100 free has 16 CPU free as well; free are: n1 6. With 6 CPU it starts now.",
            {"cpu": 6},
            id="less CPU rather than fewer GPUs",
        ),
        pytest.param(
            {"gpus": 1, "memory_gib": 128},
            lab(make_node("n1", 1, memory_gib=256)),
            [make_holding("L", "bob", memory_gib=156.0)],
            "later",
            "No machine has 128 GiB of memory free; free are: n1 100. With 64 GiB of memory it starts now.",
            {"memory_gib": 64},
            id="the next permitted amount",
        ),
        pytest.param(
            {"gpus": 2},
            lab(make_node("n1", 2, cpu=16, memory_gib=128)),
            [make_holding("L", "bob", cpu=4.0, memory_gib=4.0)],
            "later",
            "No machine has 2 A100, 16 CPU, 128 GiB of memory free at once; free are: n1 2 A100, 12 CPU, 124 GiB of "
            "memory. With 12 CPU, 64 GiB of memory it starts now.",
            {"cpu": 12, "memory_gib": 64},
            id="both are short",
        ),
    ],
)
def test_what_is_in_the_way_and_what_starts(options, capacity, holdings, state, sentence, changes):
    assert told(options, capacity, holdings) == (state, sentence, changes)


def test_cpu_and_memory_on_different_machines():
    """Neither is said to be what no machine has."""
    capacity = lab(make_node("n1", cpu=64, memory_gib=128), make_node("n2", cpu=16, memory_gib=512))
    (reason,) = judge(make_request(cpu=32.0, memory_gib=256.0), capacity).reasons
    assert (reason.code, reason.resource) == ("never_fits", "cpu")
    assert str(reason.message) == (
        "No machine with 256 GiB of memory has 32 CPU as well: n2 has 512 GiB of memory, but 16 CPU. Take 16 or less."
    )


def test_any_type_says_which_is_free_where():
    gpus = (*make_gpus("n1", 2), *make_gpus("n1", 2, "t4"))
    capacity = lab(Node("n1", 64, 512, gpus), make_node("n2", 4))
    holdings = Holdings([held(3, "n2")])
    (reason,) = judge(make_request(gpus=3, gpu_type=None), capacity, holdings).reasons
    assert (reason.code, reason.resource) == ("no_room", "gpu")
    assert str(reason.message) == (
        "3 GPU wait: 5 are free, but no node has 3 of one type (n1 2 A100, n1 2 T4, n2 1 A100)."
    )


def test_the_nearest_choice_is_within_the_limits():
    limits = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 4}}}, "users": {"default": {"cpu": 8}}})
    state, sentence, changes = told({"gpus": 8, "cpu": 8}, THREE_AND_THREE, [], limits, ["vision"])
    assert state == "never"
    assert sentence == (
        "8 GPU is more than vision may ever hold: its limit is 4 GPU. Take 4 GPU or less, "
        "or ask an administrator for a higher limit. 4 A100 start now."
    )
    assert changes == {"gpus": 4}
    assert told({"gpus": 8}, THREE_AND_THREE, [], limits, ["vision"])[2] == {"gpus": 4, "cpu": 8}


def test_never_comes_first():
    limits = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 4}}}, "users": {"default": {"gpu": 2}}})
    request = make_request(group="vision", gpus=4, gpu_type="a100")
    one = held(1, "n1", "carol", group="vision")
    reasons = judge(request, THREE_AND_THREE, Holdings([one]), limits).reasons
    assert [reason.code for reason in reasons] == ["user_never", "group_limit"]


@pytest.mark.parametrize(
    ("gpus", "limit", "code"), [(4, 4, None), (5, 4, "never_fits"), (1, 0, "group_never"), (3, 2, "group_never")]
)
def test_numbers_at_the_boundary(gpus, limit, code):
    limits = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": max(limit, 0)}}}})
    quotas = NO_LIMITS if code == "never_fits" else limits
    decision = judge(make_request(group="vision", gpus=gpus, gpu_type="a100"), lab(make_node("n1", 4)), quotas=quotas)
    assert [reason.code for reason in decision.reasons] == ([code] if code else [])


def test_a_limit_of_nothing():
    limits = Quotas.model_validate({"groups": {"vision": {"limit": {"gpu": 0}}}, "users": {"default": {"gpu": 0}}})
    reasons = judge(make_request(group="vision", gpus=1, gpu_type="a100"), THREE_AND_THREE, quotas=limits).reasons
    assert [str(reason.message) for reason in reasons] == [
        "vision may hold no GPU: its limit is 0. Choose something without, or ask an administrator for a higher limit.",
        "alice may hold no GPU: the cap is 0. Choose something without, or ask an administrator for a higher cap.",
    ]


@pytest.mark.parametrize(
    ("held_by_server", "asked", "words"),
    [
        pytest.param(
            {"train": 4, "dev": 1}, 4, "Take 3 GPU or less, or stop dev (1).", id="the smallest that suffices"
        ),
        pytest.param({"a": 2, "b": 2, "c": 3}, 6, "Take 1 GPU or less, or stop c (3) and a (2).", id="two together"),
        pytest.param({"a": 1, "b": 1, "c": 1, "d": 4}, 7, "stop d (4), a (1) and b (1).", id="three together"),
        pytest.param({f"s{n}": 1 for n in range(8)}, 8, "Stop s0 (1), s1 (1), s2 (1) and 5 more", id="all of many"),
        pytest.param({"": 8}, 1, "Stop default (8), or ask an administrator", id="the only one"),
    ],
)
def test_what_to_stop(held_by_server, asked, words):
    first, holdings = 0, []
    for server, count in held_by_server.items():
        uuids = tuple(f"n1-a100-{number}" for number in range(first, first + count))
        holdings.append(make_holding(f"L{server}", server=server, gpus=uuids, gpu_type="a100"))
        first += count
    caps = Quotas.model_validate({"users": {"default": {"gpu": 8}}})
    request = make_request(gpus=asked, gpu_type="a100")
    (reason,) = judge(request, lab(make_node("n1", 16)), Holdings(holdings), caps).reasons
    assert words in str(reason.message)
    freed = [one for one in holdings if f"{one.server or 'default'} (" not in str(reason.message)]
    if "more" not in words:
        assert judge(request, lab(make_node("n1", 16)), Holdings(freed), caps).verdict == "admit"


def test_what_is_being_stopped_is_waited_for():
    holdings = [make_holding("L1", server="a", state="stopping"), make_holding("L2", server="b")]
    (reason,) = judge(make_request(), lab(make_node("n1")), Holdings(holdings), _servers(2)).reasons
    assert str(reason.message) == "alice holds 2 of 2 servers: a, b. Wait until a has stopped."
    (reason,) = judge(make_request(), lab(make_node("n1")), Holdings(holdings[1:]), _servers(1)).reasons
    assert str(reason.message) == ("alice holds 1 of 1 servers: b. Stop b, or ask an administrator for a higher cap.")


def _servers(count):
    return Quotas.model_validate({"users": {"default": {"servers": count}}})


@settings(max_examples=200)
@given(capacities, soft_quotas, st.lists(requests(), max_size=6), requests(), queues)
def test_the_nearest_choice_is_really_admitted(capacity, quotas, earlier, request, queue):
    holdings = fill(capacity, quotas, earlier)
    request = replace(request, profile="any", shm_gib=0.5)
    answer = forecast(request, ANY, quotas, holdings, queue, capacity, 0.0)
    assert answer == forecast(request, ANY, quotas, holdings, queue, capacity, 0.0)
    assert (answer.state == "now") == (answer.decision.verdict == "admit")
    if answer.nearest is None:
        return
    assert answer.state != "now"
    near = answer.nearest.request
    assert near == replace(request, **answer.nearest.changes)
    assert decide(near, quotas, holdings, queue, capacity, 0.0).verdict == "admit"
    options = {"profile": "any", "cpu": near.cpu, "memory_gib": near.memory_gib, "gpus": near.gpus}
    resolve(CATALOG, "alice", (), {**options, "gpu_type": near.gpu_type})
    assert str(answer.advice).endswith("now.")


@settings(max_examples=200)
@given(capacities, soft_quotas, st.lists(requests(), max_size=6), requests(), queues)
def test_never_is_never_on_empty_machines(capacity, quotas, earlier, request, queue):
    answer = forecast(request, ANY, quotas, fill(capacity, quotas, earlier), queue, capacity, 0.0)
    healed = Capacity(
        tuple(
            replace(node, schedulable=True, gpus=tuple(replace(gpu, healthy=True, busy=False) for gpu in node.gpus))
            for node in capacity.nodes
        )
    )
    if answer.state == "never":
        hard = Quotas.model_validate({**quotas.model_dump(), "users": _hard(quotas)})
        assert not list(places(request, hard, Holdings(), healed))
    if answer.possible is not None:
        assert answer.state == "never"
        assert decide(answer.possible.request, quotas, Holdings(), (), capacity, 0.0).verdict == "admit"


def _hard(quotas):
    """Return the caps without those that are soft."""
    return {
        user: {r: amount for r, amount in quotas.user_limit(user).items() if r not in quotas.user_soft(user)}
        for user in ("alice", "bob")
    }


@settings(max_examples=100)
@given(capacities, soft_quotas, st.lists(requests(), max_size=6), requests())
def test_the_most_that_is_said_fits_where_it_is_said(capacity, quotas, earlier, request):
    """Take what the refusal says is the most, and the machines have it (empty, healthy, open)."""
    holdings = fill(capacity, Quotas(), earlier)
    for reason in judge(request, capacity, holdings, Quotas()).reasons:
        sentence = str(reason.message)
        if reason.code != "never_fits" or "Take " not in sentence or "at once" in sentence:
            continue
        most = float(sentence.rsplit("Take ", 1)[1].split(" ", 1)[0])
        key = {"cpu": "cpu", "memory_gib": "memory_gib"}.get(reason.resource, "gpus")
        less = replace(request, **{key: int(most) if key == "gpus" else most})
        healed = [
            replace(node, schedulable=True, gpus=tuple(replace(gpu, healthy=True, busy=False) for gpu in node.gpus))
            for node in capacity.nodes
        ]
        assert judge(less, Capacity(tuple(healed))).verdict == "admit"


@pytest.mark.parametrize(("free", "found"), [("t100", {"gpu_type": "t100"}), ("t199", None)])
def test_a_search_for_the_nearest_choice_has_an_end(free, found):
    """Of hundreds of types only so many are tried, and numbers that no machine has not at all."""
    types = [f"t{number}" for number in range(200)]
    nodes = tuple(make_node(f"n{number}", 8, gpu_type) for number, gpu_type in enumerate(types))
    taken = (held(8, f"n{n}", f"u{n}", gpu_type) for n, gpu_type in enumerate(types) if gpu_type != free)
    holdings, capacity = Holdings(taken), Capacity(nodes)
    huge = {"gpu_types": tuple(types), "gpus": NumberOption(min=0, max=1e12, default=1)}
    wide = TRAIN.model_copy(update=huge)
    request = make_request(profile="train", gpus=8, gpu_type="t0", cpu=16.0, memory_gib=128.0)
    answer = forecast(request, wide, NO_LIMITS, holdings, (), capacity, 0.0)
    assert (answer.nearest and answer.nearest.changes) == found
    assert forecast(replace(request, gpus=10**12), wide, NO_LIMITS, holdings, (), capacity, 0.0).state == "never"


def test_many_who_wait_are_looked_at_once():
    """A thousand people wait for the same: that is one thing in the way."""
    queue = [Waiting(make_request(user=f"u{n}"), float(n), frozenset({"cpu"})) for n in range(1000)]
    queue += [Waiting(make_request(user=f"v{n}", group="nlp"), 0.0, frozenset({"gpu"}), True) for n in range(1000)]
    assert len(in_the_way(queue, make_request(user="alice", group="vision"))) == 1
    assert {one.lacks for one in in_the_way(queue, make_request(group="nlp"))} == {
        frozenset({"cpu"}),
        frozenset({"gpu"}),
    }
    assert in_the_way(queue[:1], make_request(user="u0")) == ()


def test_what_never_starts_comes_with_what_would():
    """All machines are full, so that nothing starts now; of ten GPUs, or of cores that no machine has, some would."""
    two, full = lab(make_node("n1", 2), make_node("n2", 2)), [held(2, "n1"), held(2, "n2")]
    state, sentence, changes = told({"gpus": 16}, two, full)
    assert (state, changes) == ("never", None)
    assert sentence.endswith("2 A100 can start once others have stopped.")
    answer = forecast(
        make_request(profile="train", gpus=16, gpu_type="a100", cpu=16.0, memory_gib=128.0),
        TRAIN,
        NO_LIMITS,
        Holdings(full),
        (),
        two,
        0.0,
    )
    assert answer.possible is not None
    assert dict(answer.possible.changes) == {"gpus": 2}
    wide = lab(make_node("n1", 2, cpu=8))
    assert told({"gpus": 2, "cpu": 16}, wide, [held(2, "n1")])[1].endswith(
        "With 8 CPU it can start once others have stopped."
    )
    assert told({"gpus": 4, "cpu": 16}, wide, [held(2, "n1")])[1].endswith(
        "2 A100 with 8 CPU can start once others have stopped."
    )
    assert told({"gpus": 2, "gpu_type": "t4"}, wide, [held(2, "n1")])[1].endswith("can start once others have stopped.")


def test_what_is_promised_to_others_is_not_near():
    """Two GPUs are free and one of them is claimed: two are refused, one is near; none, if both are claimed."""
    request = make_request(profile="train", gpus=2, gpu_type="a100", cpu=4.0, memory_gib=16.0)
    for claimed, near in ((1, {"gpus": 1}), (2, None)):
        standing = Standing((Claim("w1", "n1", "a100", claimed, to_micro(1), to_micro(1)),))
        answer = forecast(request, TRAIN, NO_LIMITS, Holdings(), (), lab(make_node("n1", 2)), 0.0, standing=standing)
        assert answer.state == "later"
        assert [reason.code for reason in answer.decision.reasons] == ["claimed"]
        assert (answer.nearest and dict(answer.nearest.changes)) == near
