"""Admission against a brute force that knows no index, and over any course of events."""

from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlabhub.core.admission import Capacity, Holdings, Node
from mlabhub.core.quotas import Quotas
from mlabhub.core.units import amounts
from tests.core.examples import hold, judge, make_gpus, make_request

TYPES = ("a100", "t4")
RESOURCES = ("cpu", "memory_gib", "servers", "gpu", "gpu:a100", "gpu:t4")


WELL = {"healthy": True, "busy": False, "divided": False}
gpu_states = st.sampled_from([{}] * 6 + [{"healthy": False}, {"busy": True}, {"busy": None}, {"divided": True}])


@st.composite
def nodes(draw, name):
    gpus = []
    for gpu_type in TYPES:
        for gpu in make_gpus(name, draw(st.integers(0, 3)), gpu_type):
            gpus.append(replace(gpu, **draw(gpu_states)))
    cpu, memory = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    return Node(name, float(cpu), float(memory), tuple(gpus), schedulable=draw(st.sampled_from([True, True, False])))


capacities = st.integers(0, 3).flatmap(
    lambda count: st.tuples(*(nodes(f"n{number}") for number in range(count))).map(Capacity)
)
limits = st.dictionaries(st.sampled_from(RESOURCES), st.integers(0, 8).map(float), max_size=3)
quotas = st.builds(
    lambda vision, default, alice, overcommit: Quotas.model_validate(
        {
            "groups": {"vision": {"limit": vision}},
            "users": {"default": default, "alice": alice},
            "cpu_overcommit": overcommit,
        }
    ),
    limits,
    limits,
    limits,
    st.sampled_from([1.0, 2.0]),
)


@st.composite
def requests(draw):
    gpus = draw(st.sampled_from([0, 0, 1, 1, 2, 3, 4]))
    return make_request(
        user=draw(st.sampled_from(["alice", "bob"])),
        group=draw(st.sampled_from(["vision", "nlp", None])),
        gpus=gpus,
        gpu_type=draw(st.sampled_from([*TYPES, None])) if gpus else None,
        cpu=draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 9.0])),
        memory_gib=draw(st.sampled_from([0.5, 1.0, 2.0, 4.0, 9.0])),
    )


def used_by(holdings, node=None, user=None, group=None):
    """Sum what is held, the slow way."""
    total = dict.fromkeys(RESOURCES, 0.0)
    for holding in holdings:
        if node in (None, holding.node) and user in (None, holding.user) and group in (None, holding.group):
            for resource, amount in holding.amounts.items():
                total[resource] += amount
    return total


def within(limit, used, vector):
    return all(used[resource] + amount <= limit.get(resource, 1e9) for resource, amount in vector.items())


def is_usable(gpu):
    return gpu.healthy and gpu.busy is not True and gpu.busy is not None and not gpu.divided


def places(request, quotas, holdings, capacity):
    """Every node and set of GPUs that the request could have, by trying all of them."""
    held = {uuid for holding in holdings for uuid in holding.gpus}
    for node in capacity.nodes:
        used = used_by(holdings, node=node.name)
        room = request.cpu <= min(node.cpu, node.cpu * quotas.cpu_overcommit - used["cpu"])
        if not node.schedulable or not room or request.memory_gib > node.memory_gib - used["memory_gib"]:
            continue
        free = [gpu for gpu in node.gpus if is_usable(gpu) and gpu.uuid not in held]
        for chosen in combinations(free, request.gpus):
            types = {gpu.type for gpu in chosen}
            if len(types) > 1 or (request.gpu_type and types - {request.gpu_type}):
                continue
            vector = amounts(request.cpu, request.memory_gib, next(iter(types), None), request.gpus)
            group = request.group is None or within(
                quotas.group_limit(request.group), used_by(holdings, group=request.group), vector
            )
            if group and within(quotas.user_limit(request.user), used_by(holdings, user=request.user), vector):
                yield node.name, frozenset(gpu.uuid for gpu in chosen)


def fill(capacity, quotas, asked):
    """Return holdings after as many of the requests as are admitted."""
    holdings = Holdings()
    for number, request in enumerate(asked):
        decision = judge(request, capacity, holdings, quotas)
        if decision.verdict == "admit":
            hold(holdings, request, decision, f"L{number}")
    return holdings


@settings(max_examples=300)
@given(capacities, quotas, quotas, st.lists(requests(), max_size=6), requests())
def test_admits_exactly_what_fits(capacity, before, now, earlier, request):
    holdings = fill(capacity, before, earlier)
    decision = judge(request, capacity, holdings, now)
    possible = set(places(request, now, holdings, capacity))
    if decision.verdict == "admit":
        assert (decision.placement.node, frozenset(decision.placement.gpus)) in possible
        assert len(decision.placement.gpus) == request.gpus
        assert decision.reasons == ()
    else:
        assert decision.verdict == "refuse"
        assert not possible
        assert decision.placement is None
        assert decision.reasons
        for reason in decision.reasons:
            assert str(reason.message).isprintable()
            assert "{" not in str(reason.message)
    assert judge(request, capacity, holdings, now) == decision


@settings(max_examples=200)
@given(capacities, quotas, st.lists(requests(), max_size=6), requests(), st.data())
def test_what_ends_never_turns_an_admission_into_a_refusal(capacity, quotas, earlier, request, data):
    holdings = fill(capacity, quotas, earlier)
    admitted = judge(request, capacity, holdings, quotas).verdict == "admit"
    left = data.draw(st.sets(st.sampled_from([one.launch_id for one in holdings]))) if len(holdings) else set()
    fewer = Holdings(holding for holding in holdings if holding.launch_id in left)
    if admitted:
        assert judge(request, capacity, fewer, quotas).verdict == "admit"


@settings(max_examples=200)
@given(capacities, quotas, st.lists(requests(), max_size=6), requests())
def test_never_means_never(capacity, quotas, earlier, request):
    """What "never" is said of does not fit an empty, open and healthy installation either."""
    decision = judge(request, capacity, fill(capacity, quotas, earlier), quotas)
    healed = Capacity(
        tuple(
            replace(node, schedulable=True, gpus=tuple(replace(gpu, healthy=True, busy=False) for gpu in node.gpus))
            for node in capacity.nodes
        )
    )
    if decision.never:
        assert not list(places(request, quotas, Holdings(), healed))


class Lab(RuleBasedStateMachine):
    """People come and go, GPUs fall ill, limits change: what is held is always within what there is."""

    @initialize(capacity=capacities, quotas=quotas)
    def open(self, capacity, quotas):
        self.capacity = capacity
        self.quotas = quotas
        self.holdings = Holdings()
        self.count = 0

    @rule(request=requests())
    def ask(self, request):
        decision = judge(request, self.capacity, self.holdings, self.quotas)
        if decision.verdict == "admit":
            self.count += 1
            held = hold(self.holdings, request, decision, f"L{self.count}")
            used = used_by(self.holdings, group=held.group)
            limit = self.quotas.group_limit(held.group)
            assert all(used[resource] <= limit.get(resource, 1e9) for resource in held.amounts)
            mine, cap = used_by(self.holdings, user=held.user), self.quotas.user_limit(held.user)
            assert all(mine[resource] <= cap.get(resource, 1e9) for resource in held.amounts)

    @precondition(lambda self: len(self.holdings))
    @rule(data=st.data(), state=st.sampled_from(["held", "stopping", "unknown", "released"]))
    def change(self, data, state):
        launch_id = data.draw(st.sampled_from([holding.launch_id for holding in self.holdings]))
        self.holdings.add(replace(self.holdings.get(launch_id), state=state))

    @rule(quotas=quotas)
    def requota(self, quotas):
        overcommit = {"cpu_overcommit": self.quotas.cpu_overcommit}
        self.quotas = quotas.model_copy(update=overcommit)

    @precondition(lambda self: self.capacity.nodes)
    @rule(data=st.data(), state=gpu_states, open_=st.booleans())
    def fall_ill(self, data, state, open_):
        name = data.draw(st.sampled_from([node.name for node in self.capacity.nodes]))
        changed = [
            replace(node, schedulable=open_, gpus=tuple(replace(gpu, **{**WELL, **state}) for gpu in node.gpus))
            if node.name == name
            else node
            for node in self.capacity.nodes
        ]
        self.capacity = Capacity(tuple(changed))

    @invariant()
    def nothing_is_handed_out_twice(self):
        uuids = [uuid for holding in self.holdings for uuid in holding.gpus]
        assert len(uuids) == len(set(uuids))
        for node in self.capacity.nodes:
            used = used_by(self.holdings, node=node.name)
            assert used["cpu"] <= node.cpu * self.quotas.cpu_overcommit
            assert used["memory_gib"] <= node.memory_gib
            assert used["gpu"] <= len(node.gpus)
        there = {gpu.uuid: gpu.node for gpu in self.capacity.gpus.values()}
        assert all(there[uuid] == holding.node for holding in self.holdings for uuid in holding.gpus)


TestLab = Lab.TestCase
