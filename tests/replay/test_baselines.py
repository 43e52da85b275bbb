"""What each baseline does that the others do not, on workloads small enough to follow by hand."""

import pytest

from mlabhub.replay import Node, Request, Workload, report, run
from mlabhub.replay.baselines import BASELINES
from mlabhub.replay.workloads import quotas


def node(name="n1", gpus=4, gpu_type="a100"):
    return Node(name, gpu_type, gpus, 64.0, 256.0)


def request(who, t=0.0, gpus=1, group="vision", duration=100.0, priority=0):
    return Request(t, who, who, group, None, gpus, 1.0, 1.0, duration, priority=priority)


def told(policy, nodes, requests, rules):
    outcome = run(Workload(tuple(nodes), tuple(requests)), rules, BASELINES[policy])
    return {(event.id, event.event): event.t for event in outcome.events}, outcome


def test_first_in_first_out_lets_nobody_pass_and_back_fill_does():
    requests = [request("a", gpus=3), request("big", 1.0, gpus=4), request("small", 2.0)]
    assert told("fifo", [node()], requests, quotas({}))[0]["small", "started"] == 200.0
    assert told("back-fill", [node()], requests, quotas({}))[0]["small", "started"] == 2.0


def test_who_is_at_a_limit_holds_nobody_up():
    requests = [request("a"), request("b", 1.0), request("c", 2.0, group="speech")]
    events, _ = told("fifo", [node()], requests, quotas({"vision": {"limit": {"gpu": 1.0}}}))
    assert (events["c", "started"], events["b", "started"]) == (2.0, 100.0)


def test_a_partition_never_serves_what_is_larger_than_its_part():
    rules = quotas({"vision": {"guaranteed": {"gpu": 2.0}}})
    requests = [request("big", gpus=3), request("own", gpus=2), request("guest", group="guests", gpus=2)]
    events, outcome = told("static", [node()], requests, rules)
    assert outcome.stranded == ("big",)
    assert (events["own", "started"], events["guest", "started"]) == (0.0, 0.0)
    assert report(Workload((node(),), tuple(requests)), rules, outcome).unfinished == 1


def test_borrowing_without_reclaim_serves_owners_first_but_takes_nothing_back():
    rules = quotas({"owners": {"guaranteed": {"gpu": 4.0}}})
    requests = [request("a", gpus=4), request("b", 1.0, gpus=4), request("o", 2.0, group="owners", gpus=4)]
    events, outcome = told("no-reclaim", [node()], requests, rules)
    assert (events["o", "started"], events["b", "started"]) == (100.0, 200.0)
    assert report(Workload((node(),), tuple(requests)), rules, outcome).debt_gpu_hours == 0.0
    longer = Workload((node(),), (request("a", gpus=4, duration=3600.0), *requests[1:]))
    found = report(longer, rules, run(longer, rules, BASELINES["no-reclaim"]))
    assert found.debt_gpu_hours == pytest.approx(4 * (3600 - 2 - 600) / 3600)
    assert found.debt_by_group == {"owners": found.debt_gpu_hours}


def test_kueue_preempts_at_once_lowest_priority_then_newest():
    rules = quotas({"owners": {"guaranteed": {"gpu": 2.0}}})
    borrowers = [
        request("old"),
        request("new", 1.0),
        request("high", 2.0, priority=1),
        request("low", 3.0, priority=-1),
    ]
    events, outcome = told("kueue", [node()], [*borrowers, request("o", 9.0, group="owners", gpus=2)], rules)
    assert sorted(who for who, event in events if event == "reclaimed") == ["low", "new"]
    assert events["o", "started"] == events["new", "reclaimed"] == 9.0
    assert not outcome.stranded


def test_kueue_takes_no_more_than_quota_demands():
    rules = quotas({"owners": {"guaranteed": {"gpu": 3.0}}})
    borrowers = [request("two", gpus=2), request("one", 1.0), request("last", 2.0)]
    events, _ = told("kueue", [node()], [*borrowers, request("o", 9.0, group="owners", gpus=2)], rules)
    assert sorted(who for who, event in events if event == "reclaimed") == ["last", "one"]
    events, _ = told("kueue", [node()], [*reversed(borrowers), request("o", 9.0, group="owners", gpus=2)], rules)
    assert sum(event == "reclaimed" for _, event in events) <= 2


def test_kueue_counts_quota_and_not_nodes():
    """A GPU comes free on each of two nodes; the owner needs both on one, and holds quota until one node has them."""
    rules = quotas({"owners": {"guaranteed": {"gpu": 2.0}}})
    requests = [
        request("a", duration=5.0),
        request("b", 1.0, duration=1000.0),
        request("c", 2.0, duration=3000.0),
        request("d", 3.0, duration=2000.0),
        request("e", 6.0, duration=2000.0),
        request("o", 9.0, gpus=2, group="owners"),
    ]
    events, outcome = told("kueue", [node("n1", 2), node("n2", 2)], requests, rules)
    assert {one.id: (one.t, one.node) for one in outcome.events if one.event == "reclaimed"} == {
        "d": (9.0, "n2"),
        "e": (9.0, "n1"),
    }
    assert events["o", "started"] == events["b", "ended"] == 1001.0
    assert events["d", "started"] == 1001.0


def test_kueue_preempts_nobody_for_who_would_borrow():
    rules = quotas({"owners": {"guaranteed": {"gpu": 1.0}}})
    events, _ = told("kueue", [node()], [request("a", gpus=4), request("o", 9.0, group="owners", gpus=2)], rules)
    assert events["o", "started"] == 100.0
