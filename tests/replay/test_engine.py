"""The virtual cluster: what happens, in which order, to requests whose fate can be worked out by hand."""

import pytest

from mlabhub.core.sharing.model import NewNotice, Round, Scene, Start
from mlabhub.core.sharing.rounds import plan_round
from mlabhub.replay import Node, Request, Rules, Terms, Workload, report, run
from mlabhub.replay.workloads import ALL, quotas

NODE = Node("n1", "a100", 2, 16.0, 64.0)


def request(who, t, gpus=1, duration=100.0, group="vision", **more):
    return Request(t, who, "alice", group, more.pop("gpu_type", None), gpus, 1.0, 4.0, duration, **more)


def told(outcome):
    return [(event.t, event.id, event.event, event.node) for event in outcome.events]


def test_it_waits_for_room_and_starts_when_something_ends():
    work = Workload((NODE,), (request("a", 0.0, 2), request("b", 10.0, 1), request("c", 10.0, 0)))
    outcome = run(work, quotas({}))
    assert told(outcome) == [
        (0.0, "a", "started", "n1"),
        (10.0, "b", "queued", ""),
        (10.0, "c", "started", "n1"),
        (100.0, "a", "ended", "n1"),
        (100.0, "b", "started", "n1"),
        (110.0, "c", "ended", "n1"),
        (200.0, "b", "ended", "n1"),
    ]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (request("a", 0.0, 3), "3"),
        (request("a", 0.0, 1, gpu_type="h100"), "H100"),
        (request("a", 0.0, 2, group="small"), "limit is 1"),
        (Request(0.0, "a", "bob", None, None, 2, 1.0, 1.0, 1.0), "cap is 1"),
    ],
    ids=["node", "type", "limit", "cap"],
)
def test_what_nothing_could_ever_hold_is_refused_at_once(one, why):
    rules = quotas({"small": {"limit": {"gpu": 1.0}}}, users={"bob": {"gpu": 1.0}})
    (event,) = run(Workload((NODE,), (one,)), rules).events
    assert (event.t, event.event) == (0.0, "refused")
    assert why in event.reason


def reclaiming(workload, quotas_):
    """First in, first out; whoever is of ``owners`` gets what is held, after a notice."""

    def plan(scene: Scene) -> Round:
        due = tuple(one.id for one in scene.runs if one.notice and one.notice.deadline <= scene.now)
        if due:
            return Round(reclaims=due)
        waiting = [one for one in scene.waiters if one.group == "owners"]
        if waiting:
            free = scene.machines[0].free_gpus["a100"]
            if free >= waiting[0].ask.gpus:
                return Round(starts=(Start(waiting[0].id, "n1", "a100", borrowed=False),))
            new = [one for one in scene.runs if one.notice is None]
            return Round(notices=tuple(NewNotice(one.id, scene.now + one.notice_s, waiting[0].id) for one in new))
        return plan_round(scene)

    return Rules(plan)


@pytest.mark.parametrize("ends", [False, True], ids=["waits again", "ends"])
def test_what_is_reclaimed_waits_again_with_its_whole_duration(ends):
    work = Workload((NODE,), (request("a", 0.0, 2, 1000.0, profile="p"), request("o", 50.0, 2, 10.0, "owners")))
    rules = quotas({"owners": {"guaranteed": {"gpu": 2.0}}}, notice_seconds=60.0)
    outcome = run(work, rules, reclaiming, {"p": Terms(ends_when_reclaimed=ends)})
    begin = [
        (0.0, "a", "started", "n1"),
        (50.0, "o", "queued", ""),
        (50.0, "a", "notice", "n1"),
        (110.0, "a", "reclaimed", "n1"),
        (110.0, "a", "ended", "n1") if ends else (110.0, "a", "queued", ""),
        (110.0, "o", "started", "n1"),
        (120.0, "o", "ended", "n1"),
    ]
    again = [(120.0, "a", "started", "n1"), (1120.0, "a", "ended", "n1")]
    assert told(outcome) == begin + ([] if ends else again)
    found = report(work, rules, outcome)
    assert (found.reclaims, found.most_reclaims) == (1, 1)
    assert found.lost_gpu_hours == pytest.approx(220 / 3600)
    assert found.debt_gpu_hours == 0


def test_in_a_maintenance_nothing_starts_and_what_runs_runs_on_as_it_does_live():
    window = {"nodes": ["n1"], "from": "1970-01-01T01:00Z", "until": "1970-01-01T03:00Z", "reason": "new disks"}
    requests = (request("a", 0.0, duration=9000.0), request("near", 3000.0), request("within", 4000.0))
    outcome = run(Workload((NODE,), requests), quotas({}, maintenance=[window]))
    assert told(outcome) == [
        (0.0, "a", "started", "n1"),
        (3000.0, "near", "queued", ""),
        (4000.0, "within", "queued", ""),
        (9000.0, "a", "ended", "n1"),
        (10800.0, "near", "started", "n1"),
        (10800.0, "within", "started", "n1"),
        (10900.0, "near", "ended", "n1"),
        (10900.0, "within", "ended", "n1"),
    ]
    assert [one.reason for one in outcome.events if one.event == "queued"] == [
        "a maintenance is near",
        "no machine has room",
    ]


@pytest.mark.parametrize("name", ALL)
def test_a_replay_is_the_same_each_time_and_loses_nothing(name):
    made, again = ALL[name](), ALL[name]()
    assert made.workload == again.workload
    small = Workload(made.workload.nodes, made.workload.requests[:150])
    outcome = run(small, made.quotas)
    assert outcome == run(small, made.quotas)
    found = report(small, made.quotas, outcome)
    assert found.ended + found.refused == found.requests == 150
    assert not outcome.stranded
    assert 0 < found.whole.goodput <= found.whole.utilisation <= 1
