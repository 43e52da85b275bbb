"""The index over what is held."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mlabhub.core.admission import Holding, Holdings
from mlabhub.core.units import to_micro
from mlabhub.errors import MLabError
from tests.core.examples import make_holding


def test_usage_by_group_user_and_node():
    train = make_holding("L1", group="vision", gpu_type="a100", gpus=("g1", "g2"))
    holdings = Holdings([train, make_holding("L2", "bob", group="vision", node="n2")])
    assert holdings.group("vision").as_amounts() == {
        "cpu": 4.0,
        "memory_gib": 8.0,
        "servers": 2.0,
        "gpu": 2.0,
        "gpu:a100": 2.0,
    }
    assert holdings.user("bob").as_amounts() == {"cpu": 2.0, "memory_gib": 4.0, "servers": 1.0}
    assert holdings.node("n1").as_amounts()["gpu"] == 2.0
    assert holdings.group("nlp").as_amounts() == {}
    assert holdings.holder_of("g1") == train
    assert holdings.holder_of("g3") is None
    assert holdings.of_server("alice", "L1") == train
    assert holdings.of_server("bob", "L1") is None
    assert holdings.group("vision").holders("cpu") == {"alice": 2.0, "bob": 2.0}
    assert holdings.group("vision").holders("gpu:a100") == {"alice": 2.0}


@pytest.mark.parametrize("state", ["pending", "held", "stopping", "unknown"])
def test_every_active_state_counts(state):
    holdings = Holdings([make_holding("L1", state=state)])
    assert len(holdings) == 1
    assert holdings.user("alice").as_amounts()["servers"] == 1


def test_the_same_launch_counts_once_and_takes_over_its_state():
    holdings = Holdings()
    for state in ("pending", "held", "held", "stopping", "unknown"):
        holdings.add(make_holding("L1", gpus=("g1",), gpu_type="t4", state=state))
        assert holdings.get("L1").state == state
    assert holdings.user("alice").as_amounts()["gpu"] == 1


def test_a_released_launch_is_gone():
    holdings = Holdings([make_holding("L1", gpus=("g1",), gpu_type="t4")])
    holdings.add(make_holding("L1", gpus=("g1",), gpu_type="t4", state="released"))
    assert list(holdings) == []
    assert holdings.is_free("g1")
    assert holdings.remove("L1") is None


def test_a_gpu_is_never_held_twice():
    holdings = Holdings([make_holding("L1", gpus=("g1",), gpu_type="t4")])
    with pytest.raises(MLabError, match="GPU g1 would be held twice: by L1 and L2"):
        holdings.add(make_holding("L2", gpus=("g2", "g1"), gpu_type="t4"))
    assert "L2" not in holdings
    assert holdings.is_free("g2")
    with pytest.raises(MLabError, match="lists a GPU twice"):
        holdings.add(make_holding("L3", gpus=("g2", "g2"), gpu_type="t4"))


def test_one_launch_never_changes_its_amounts():
    holdings = Holdings([make_holding("L1")])
    with pytest.raises(MLabError, match="L1 is held already"):
        holdings.add(make_holding("L1", cpu=4.0))
    assert holdings.user("alice").as_amounts()["cpu"] == 2.0


class Comings(RuleBasedStateMachine):
    """Adds and removes in any order; the sums are always those of a recount."""

    def __init__(self):
        super().__init__()
        self.holdings = Holdings()
        self.model: dict[str, Holding] = {}

    @rule(
        launch=st.integers(0, 20).map("L{}".format),
        user=st.sampled_from("abc"),
        group=st.sampled_from(["v", "w", None]),
        cpu=st.floats(0.1, 8).map(lambda value: round(value, 1)),
        gpus=st.sets(st.integers(0, 4).map("g{}".format), max_size=2),
        node=st.sampled_from(["n1", "n2", None]),
        state=st.sampled_from(["pending", "held", "stopping", "unknown"]),
    )
    def add(self, launch, user, group, cpu, gpus, node, state):
        held = make_holding(
            launch,
            user,
            group=group,
            cpu=cpu,
            gpus=tuple(sorted(gpus)),
            gpu_type="t4" if gpus else None,
            node=node,
            state=state,
        )
        others = {uuid for other in self.model.values() for uuid in other.gpus}
        known = self.model.get(launch)
        clash = replace(known, state=state) != held if known else bool(gpus & others)
        if clash:
            with pytest.raises(MLabError):
                self.holdings.add(held)
        else:
            self.holdings.add(held)
            self.model[launch] = held

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data):
        launch = data.draw(st.sampled_from(sorted(self.model)))
        assert self.holdings.remove(launch) == self.model.pop(launch)

    @invariant()
    def recount(self):
        assert {holding.launch_id: holding for holding in self.holdings} == self.model
        for key, usage_of in (
            ("group", self.holdings.group),
            ("user", self.holdings.user),
            ("node", self.holdings.node),
        ):
            sums: dict[str, Counter[str]] = {}
            for holding in self.model.values():
                if getattr(holding, key) is not None:
                    counted = sums.setdefault(getattr(holding, key), Counter())
                    counted.update({resource: to_micro(amount) for resource, amount in holding.amounts.items()})
            for name in ("a", "b", "c", "v", "w", "n1", "n2"):
                usage = usage_of(name)
                assert +Counter(usage.micro) == +sums.get(name, Counter())
                assert all(sum(parts.values()) == usage.get(resource) for resource, parts in usage.by_user.items())
        held = {uuid for holding in self.model.values() for uuid in holding.gpus}
        assert set(self.holdings.gpus) == held


TestComings = Comings.TestCase
