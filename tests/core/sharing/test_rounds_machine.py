"""Rounds over any course of events: requests, ends, crashes of machines, changes of quotas, maintenance."""

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask
from mlabhub.core.sharing.policy import Policy
from mlabhub.core.units import to_micro
from tests.core.sharing.loop import Cluster, Job, make_machine

GROUPS = ("vision", "nlp", "bio", None)
amounts = st.dictionaries(st.sampled_from(["gpu", "gpu:a100", "gpu:t4", "cpu"]), st.integers(0, 6), max_size=3)
owned = st.one_of(amounts, st.fixed_dictionaries({"gpu": st.integers(1, 6)}))


@st.composite
def quotas(draw):
    groups = {}
    for group in GROUPS[:3]:
        guaranteed = draw(owned)
        limit = {key: amount + draw(st.integers(0, 6)) for key, amount in draw(amounts).items()}
        typed = sum(amount for key, amount in guaranteed.items() if key.startswith("gpu:"))
        for key, amount in guaranteed.items():
            if key in limit:
                limit[key] = max(limit[key], amount)
        if "gpu" in limit:
            limit["gpu"] = max(limit["gpu"], typed)
        groups[group] = {
            "guaranteed": {key: float(amount) for key, amount in guaranteed.items()},
            "limit": {key: float(amount) for key, amount in limit.items()},
        }
    caps = {key: float(amount) for key, amount in draw(amounts).items()}
    users = {"default": {**caps, "soft": draw(st.booleans())}} if draw(st.booleans()) else {}
    made = {"groups": groups, "users": users, "notice_seconds": float(draw(st.sampled_from([0, 60, 600])))}
    return Quotas.model_validate(made)


REACHED = {"reclaims": 0, "kept": 0}
"""How often all of it took something back, and kept something for owners who may come."""


class Rounds(RuleBasedStateMachine):
    """Whatever happens, `Cluster` checks each round; and what can start does, once everything that runs has ended."""

    @initialize(
        first=quotas(),
        patience=st.sampled_from([0.0, 600.0, 86400.0]),
        back_off=st.sampled_from([0.0, 900.0]),
        reserve=st.sampled_from([0.0, 86400.0]),
    )
    def begin(self, first, patience, back_off, reserve):
        machines = [make_machine("n1", "a100", 4, 16, 64), make_machine("n2", "t4", 4, 16, 64)]
        machines += [make_machine("n3", "a100", 2, 8, 32), make_machine("n4", "", 0, 16, 64)]
        policy = Policy(
            patience_s=patience,
            back_off_s=back_off,
            overtake_s=1200.0,
            idle_for_large=0.5,
            reserve_s=reserve,
            most_reserve=0.5,
        )
        self.cluster = Cluster(machines, first, policy)
        self.number = 0

    @rule(
        group=st.sampled_from(GROUPS),
        user=st.sampled_from(["alice", "bob", "carol"]),
        gpus=st.sampled_from([0, 1, 1, 2, 2, 3, 4]),
        gpu_type=st.sampled_from(["a100", "t4", None]),
        cpu=st.sampled_from([1, 4, 8]),
        count=st.sampled_from([1, 1, 3]),
    )
    def ask(self, group, user, gpus, gpu_type, cpu, count):
        for _ in range(count):
            self.number += 1
            ask = Ask(gpus, gpu_type if gpus else None, to_micro(cpu), to_micro(4))
            self.cluster.submit(Job(self.cluster.now, f"r{self.number}", user, group, ask, 1e9))
        self.cluster.settle()

    @rule(gpus=st.sampled_from([1, 2, 4]), lent=st.booleans())
    def owner_comes_back(self, gpus, lent):
        """Perhaps somebody borrows what is free; then an owner comes, and a notice passes."""
        if lent:
            for _ in range(8):
                self.ask(None, "dave", 1, None, 1, 1)
        owners = [name for name, group in self.cluster.quotas.groups.items() if group.guaranteed.get("gpu")]
        self.ask(owners[0] if owners else None, "erin", gpus, None, 1, 1)
        for _ in range(2):
            self.pass_time(600.0)

    @rule(seconds=st.sampled_from([1.0, 60.0, 600.0, 7200.0, 100_000.0]))
    def pass_time(self, seconds):
        self.cluster.now += seconds
        self.cluster.settle()

    @rule(data=st.data())
    def end(self, data):
        if self.cluster.runs:
            self.cluster.end(data.draw(st.sampled_from(sorted(self.cluster.runs))))
            self.cluster.settle()

    @rule(data=st.data())
    def leave(self, data):
        if self.cluster.waiters:
            del self.cluster.waiters[data.draw(st.sampled_from(sorted(self.cluster.waiters)))]
            self.cluster.settle()

    @rule(name=st.sampled_from(["n1", "n2", "n3", "n4"]), lost=st.booleans())
    def close(self, name, lost):
        cluster = self.cluster
        cluster.machines[name] = replace(cluster.machines[name], open=False)
        for run in [one for one in cluster.runs.values() if lost and one.machine == name]:
            cluster.end(run.id)
        cluster.settle()

    @rule(name=st.sampled_from(["n1", "n2", "n3", "n4"]), closes=st.sampled_from([None, None, 900.0, 9000.0]))
    def open(self, name, closes):
        cluster = self.cluster
        at = None if closes is None else cluster.now + closes
        cluster.machines[name] = replace(cluster.machines[name], open=True, closes=at)
        cluster.settle()

    @rule(new=quotas())
    def change_quotas(self, new):
        self.cluster.quotas = new
        self.cluster.settle()

    def teardown(self):
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        REACHED["reclaims"] += cluster.report.reclaims
        REACHED["kept"] += cluster.report.kept
        cluster.quotas = cluster.quotas.model_copy(update={"users": {}, "groups": {}})
        for name, machine in cluster.machines.items():
            cluster.machines[name] = replace(machine, open=True, closes=None)
        for _ in range(len(cluster.waiters) + 1):
            for run_id in list(cluster.runs):
                cluster.end(run_id)
            cluster.now += 1e6
            cluster.settle()
        assert not cluster.waiters, "what can start does not"


Rounds.TestCase.settings = settings(max_examples=150, stateful_step_count=30)


class TestRounds(Rounds.TestCase):
    """The machine, and that it came to what it is about."""

    def runTest(self):
        super().runTest()
        assert REACHED["reclaims"], REACHED
        assert REACHED["kept"], REACHED
