"""The checker: silent on what is right, and finds each kind of fault that is put into it."""

from dataclasses import replace

import pytest

from mlabhub.replay import Event, Node, Request, Terms, Workload, run
from mlabhub.replay.baselines import BASELINES
from mlabhub.replay.check import check
from mlabhub.replay.workloads import ALL, quotas

NODES = (Node("n1", "a100", 2, 16.0, 64.0), Node("n2", "t4", 2, 16.0, 64.0))
RULES = quotas(
    {
        "owners": {"guaranteed": {"gpu": 2.0}},
        "small": {"limit": {"gpu": 1.0}},
        "both": {"guaranteed": {"gpu": 1.0}},
    },
    users={"bob": {"gpu": 1.0}},
    notice_seconds=60.0,
    max_reclaims=1,
)


def request(who, t=0.0, gpus=2, group="guests", user="alice", gpu_type="a100", duration=1000.0, **more):
    return Request(t, who, user, group, gpu_type, gpus, 2.0, 4.0, duration, **more)


WORK = Workload(NODES, (request("a", profile="p"), request("o", 50.0, group="owners", duration=10.0)))
RIGHT = (
    Event(0.0, "a", "started", "n1"),
    Event(50.0, "o", "queued"),
    Event(50.0, "a", "notice", "n1"),
    Event(110.0, "a", "reclaimed", "n1"),
    Event(110.0, "a", "queued"),
    Event(110.0, "o", "started", "n1"),
    Event(120.0, "o", "ended", "n1"),
    Event(120.0, "a", "started", "n1"),
    Event(1120.0, "a", "ended", "n1"),
)


def changed(at, **more):
    return (*RIGHT[:at], replace(RIGHT[at], **more), *RIGHT[at + 1 :])


def without(*at):
    return tuple(event for number, event in enumerate(RIGHT) if number not in at)


def test_what_is_right_is_not_blamed():
    assert check(WORK, RULES, RIGHT) == ()


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (changed(1, t=-1.0), "earlier than the event before"),
        (changed(1, t=40.0), "its request only came at 50"),
        (changed(1, id="x"), "no request has this id"),
        (changed(1, event="paused"), "there is no such event"),
        ((*RIGHT[:1], RIGHT[0], *RIGHT[1:]), "it was running already"),
        (without(2), "nobody was told before"),
        (changed(2, t=51.0), "it was told 59 seconds before, not 60"),
        (without(5, 6), "no owner started on"),
        (changed(8, t=1119.0), "it ran for 999 seconds, not for 1000"),
        (changed(8, node="n2"), 'it runs on "n1", not on "n2"'),
        (changed(7, node="n2"), '"n2" does not have its GPUs'),
        (changed(7, node="n9"), 'there is no node "n9"'),
        (without(8), '"a" never ended and was not refused: it was running'),
        (without(7, 8), '"a" never ended and was not refused: it was waiting'),
        (without(3, 4), '"n1" now holds 4 of gpu, and has 2'),
        (without(0), "it was not running, but coming"),
        ((Event(0.0, "a", "refused", reason="no"), *RIGHT[1:2], *RIGHT[5:7]), 'it could have run on "n1"'),
        ((*RIGHT, RIGHT[8]), "it was not running, but over"),
    ],
)
def test_a_fault_is_found(events, says):
    findings = check(WORK, RULES, events)
    assert any(says in one for one in findings), findings


def test_limits_and_caps_are_kept():
    work = Workload(NODES, tuple(request(f"r{i}", gpus=1, group="small", user="bob", duration=1.0) for i in range(2)))
    events = [Event(0.0, f"r{i}", "started", "n1") for i in range(2)]
    findings = check(work, RULES, [*events, *(Event(1.0, f"r{i}", "ended", "n1") for i in range(2))])
    assert [one.split(": ", 1)[1] for one in findings] == [
        'group "small" now holds 2 of gpu, more than the 1 it may.',
        'user "bob" now holds 2 of gpu, more than the 1 it may.',
    ]


def test_nothing_is_taken_from_within_a_guarantee_nor_too_often_nor_from_who_is_never_asked():
    work = Workload(NODES, (request("a", gpus=1, group="both", profile="p"), *WORK.requests[1:]))
    findings = check(work, RULES, RIGHT, {"p": Terms(reclaimable=False)})
    assert any("its group is within its guarantee of gpu" in one for one in findings)
    assert any("its profile says that it is never taken back" in one for one in findings)
    twice = (*RIGHT[:8], Event(120.0, "a", "notice", "n1"), Event(200.0, "a", "reclaimed", "n1"))
    assert any("number 2 of it; there are 1 at most" in one for one in check(WORK, RULES, twice))


def test_refusals_are_at_once_with_a_reason_and_only_of_the_impossible():
    work = Workload(NODES, (request("big", gpus=3),))
    assert check(work, RULES, [Event(0.0, "big", "refused", reason="no machine has 3")]) == ()
    assert "no reason is given" in check(work, RULES, [Event(0.0, "big", "refused")])[0]
    assert "not at once" in check(work, RULES, [Event(5.0, "big", "refused", reason="x")])[0]


@pytest.mark.parametrize("policy", BASELINES)
@pytest.mark.parametrize("name", ["mixed-types", "cpu-work", "owners-return"])
def test_the_baselines_keep_capacity_limits_and_caps(name, policy):
    made = ALL[name]()
    small = Workload(made.workload.nodes, made.workload.requests[:250])
    outcome = run(small, made.quotas, BASELINES[policy])
    lost = {one for one in check(small, made.quotas, outcome.events, notices=False) if "never ended" not in one}
    assert lost == set()
    assert policy == "static" or not outcome.stranded
