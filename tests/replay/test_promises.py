"""The live rules on any workload: all is as promised and nothing is lost, on odd small ones and on the made ones."""

from random import Random

import pytest

from mlabhub.replay import Node, Request, Terms, Workload, report, run
from mlabhub.replay.baselines import BASELINES
from mlabhub.replay.check import check
from mlabhub.replay.compare import MADE
from mlabhub.replay.workloads import Made, quotas

TERMS = {"kept": Terms(reclaimable=False), "short": Terms(notice_s=30.0), "once": Terms(ends_when_reclaimed=True)}


def odd(seed: int) -> Made:
    """Make a small workload of edge cases: full and empty nodes, contradictory wishes, many things in one moment."""
    random = Random(seed)
    nodes = []
    for number in range(random.randint(1, 4)):
        kind = random.choice(["a100", "t4", "t4", None])
        gpus = random.choice([1, 2, 4, 8]) if kind else 0
        nodes.append(Node(f"n{number}", kind, gpus, random.choice([4.0, 16.0]), random.choice([16.0, 64.0])))
    groups: dict[str, dict[str, dict[str, float]]] = {}
    for name in "abc":
        owned = {"gpu": float(random.randint(0, 6)), "gpu:a100": float(random.randint(0, 3)), "cpu": 6.0}
        groups[name] = {"guaranteed": {key: most for key, most in owned.items() if random.random() < 0.5}}
        if random.random() < 0.4:
            groups[name]["limit"] = {"gpu": float(random.randint(6, 9)), "cpu": float(random.randint(12, 30))}
    users: dict[str, dict[str, object]] = {}
    if random.random() < 0.4:
        users["default"] = {"gpu": float(random.randint(1, 6))}
    if random.random() < 0.3:
        users["u1"] = {"gpu": 2.0, "soft": True}
    more = {"notice_seconds": random.choice([0.0, 60.0, 600.0, 599.7]), "max_reclaims": random.choice([0, 1, 3])}
    requests = [
        Request(
            t=random.choice([0.0, round(random.uniform(0, 5000), 1)]),
            id=f"r{number}",
            user=f"u{random.randint(0, 3)}",
            group=random.choice(["a", "b", "c", "d", None]),
            gpu_type=random.choice([None, "a100", "t4"]),
            gpus=random.choice([0, 1, 1, 2, 4]),
            cpu=random.choice([0.5, 1.0, 4.0]),
            memory_gib=random.choice([1.0, 8.0]),
            duration_s=random.choice([0.0, 30.0, random.uniform(1, 4000), 600.0, 20_000.0]),
            profile=random.choice(["", "", *TERMS]),
            priority=random.choice([0, 0, 1]),
        )
        for number in range(random.randint(1, 60))
    ]
    limits = quotas(groups, users=users, cpu_overcommit=random.choice([1.0, 2.0]), **more)
    return Made(str(seed), Workload(tuple(nodes), tuple(sorted(requests, key=lambda one: one.t))), limits)


def keeps_its_promises(made: Made) -> None:
    outcome = run(made.workload, made.quotas, terms=TERMS)
    assert check(made.workload, made.quotas, outcome.events, TERMS) == ()
    found = report(made.workload, made.quotas, outcome)
    assert found.unfinished == 0
    assert found.most_reclaims <= made.quotas.max_reclaims


@pytest.mark.parametrize("seed", range(25))
def test_odd_workloads(seed):
    keeps_its_promises(odd(seed))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("policy", BASELINES)
def test_odd_workloads_under_the_baselines(policy, seed):
    made = odd(seed)
    outcome = run(made.workload, made.quotas, BASELINES[policy])
    findings = check(made.workload, made.quotas, outcome.events, notices=False)
    assert [one for one in findings if policy != "static" or "never ended" not in one] == []


@pytest.mark.long
@pytest.mark.parametrize("start", range(100, 600, 50))
def test_many_odd_workloads(start):
    for seed in range(start, start + 50):
        keeps_its_promises(odd(seed))


@pytest.mark.long
@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("seed", [None, 77])
def test_made_workloads(name, seed):
    keeps_its_promises(MADE[name]() if seed is None else MADE[name](seed))
