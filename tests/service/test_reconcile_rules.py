"""What follows from a disagreement of hub, backend and ledger: the table of the rules, and what no rule may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.client import HubServer
from mlabhub.inventory import BackendServer
from mlabhub.ledger import Reservation
from mlabhub.messages import Message
from mlabhub.service.reconcile_rules import GRACE_S, STOP_PATIENCE_S, Finding, compare

NOW = 10_000.0
LONG_AGO = NOW - 1000.0


def reserved(state: str, launch_id: str = "L1", *, ready: bool = False, **values: Any) -> Reservation:
    return Reservation(
        **{
            "launch_id": launch_id,
            "user": "alice",
            "server": "x",
            "state": state,
            "created": LONG_AGO,
            "changed": LONG_AGO,
            "deadline": LONG_AGO,
            "ready": LONG_AGO if ready else None,
            **values,
        }
    )


def at_hub(what: str | None, launch_id: str | None = None) -> list[HubServer]:
    if what is None:
        return []
    options = {"launch_id": launch_id} if launch_id else {}
    pending = None if what in ("ready", "stopped") else what
    return [HubServer("alice", "x", pending=pending, ready=what == "ready", user_options=options)]


def on_machine(state: Literal["running", "starting", "exited"] | None, launch_id: str = "L1") -> list[BackendServer]:
    return [] if state is None else [BackendServer(launch_id, "alice", "x", state, LONG_AGO, ("GPU-1",), "c1")]


def kinds(findings: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


TABLE = [
    # state, seen ready, at the hub, on the machine, what follows
    ("pending", False, "spawn", None, []),
    ("pending", False, "spawn", "running", []),
    ("pending", False, "spawn", "starting", []),
    ("pending", False, "check", "running", []),
    ("pending", False, "stop", "running", []),
    ("pending", False, "ready", "running", ["ready"]),
    ("pending", False, "ready", None, []),
    ("pending", False, "ready", "exited", []),
    ("pending", False, None, None, ["release"]),
    ("pending", False, "stopped", None, ["release"]),
    ("pending", False, None, "running", ["remove"]),
    ("pending", False, None, "starting", ["remove"]),
    ("pending", False, None, "exited", ["remove"]),
    ("held", False, "spawn", "running", []),
    ("held", False, "ready", "running", ["ready"]),
    ("held", False, None, "running", ["remove"]),
    ("held", False, None, None, ["release"]),
    ("held", True, "ready", "running", []),
    ("held", True, "ready", None, []),
    ("held", True, "ready", "exited", []),
    ("held", True, "stop", "running", []),
    ("held", True, "stop", None, []),
    ("held", True, None, None, ["release"]),
    ("held", True, None, "exited", ["remove"]),
    ("held", True, None, "running", ["lost"]),
    ("held", True, None, "starting", ["lost"]),
    ("stopping", True, "stop", "running", []),
    ("stopping", True, "stop", "exited", []),
    ("stopping", True, "ready", "running", ["resume"]),
    ("stopping", True, "ready", None, []),
    ("stopping", True, None, None, ["release"]),
    ("stopping", True, None, "running", ["remove"]),
    ("stopping", True, None, "exited", ["remove"]),
    ("unknown", True, "ready", "running", ["resume"]),
    ("unknown", True, "spawn", None, []),
    ("unknown", True, "ready", None, []),
    ("unknown", True, None, "running", ["unknown"]),
    ("unknown", False, None, "running", ["remove"]),
    ("unknown", True, None, "exited", ["remove"]),
    ("unknown", True, None, None, ["release"]),
]


@pytest.mark.parametrize(("state", "ready", "hub", "machine", "follows"), TABLE)
def test_reservations(state: str, ready: bool, hub: str | None, machine: Any, follows: list[str]) -> None:
    one = reserved(state, ready=ready)
    findings = compare(at_hub(hub), on_machine(machine), [one], NOW)
    assert kinds(findings) == follows
    for finding in findings:
        assert (finding.launch_id, finding.reservation) == ("L1", one)
        assert (finding.backend is not None) == (machine is not None)


def test_of_a_server_that_was_found_nobody_knows_whether_somebody_worked_in_it() -> None:
    found = reserved("unknown", origin="adopted")
    assert kinds(compare([], on_machine("running"), [found], NOW)) == ["unknown"]


LOST = Message("Its node n2 does not answer.")
ON_LOST_NODES = [
    # state, seen ready, at the hub, known to be lost, what follows
    ("pending", False, "spawn", False, []),
    ("pending", False, None, False, ["unreachable"]),
    ("pending", False, "ready", False, ["unreachable"]),
    ("held", True, "ready", False, ["unreachable"]),
    ("held", False, "ready", False, ["unreachable"]),
    ("held", True, "stop", False, []),
    ("held", True, None, False, ["unreachable"]),
    ("held", False, None, False, ["unreachable"]),
    ("stopping", True, "stop", False, []),
    ("stopping", True, None, False, ["unreachable"]),
    ("stopping", True, "ready", False, ["unreachable"]),
    ("unknown", True, None, True, ["silent"]),
    ("unknown", False, None, True, ["silent"]),
    ("unknown", True, None, False, ["unreachable"]),
    ("unknown", True, "ready", True, ["silent"]),
    ("unknown", True, "spawn", True, []),
]


@pytest.mark.parametrize(("state", "ready", "hub", "told", "follows"), ON_LOST_NODES)
def test_servers_on_nodes_that_do_not_answer(
    state: str, ready: bool, hub: str | None, told: bool, follows: list[str]
) -> None:
    one = reserved(state, ready=ready, failure=LOST if told else None)
    machine = [replace(server, lost=LOST) for server in on_machine("running")]
    findings = compare(at_hub(hub), machine, [one], NOW)
    assert kinds(findings) == follows
    assert all(finding.repairable == (finding.kind != "silent") for finding in findings)


def test_a_stop_on_a_lost_node_is_waited_for() -> None:
    stopping = reserved("stopping", ready=True, changed=NOW - STOP_PATIENCE_S + 1)
    machine = [replace(server, lost=LOST) for server in on_machine("running")]
    assert kinds(compare(at_hub("ready"), machine, [stopping], NOW)) == []


def test_when_its_node_is_back_it_is_one_that_the_hub_has_lost() -> None:
    told = reserved("unknown", ready=True, failure=LOST)
    assert kinds(compare([], on_machine("running"), [told], NOW)) == ["lost"]
    assert kinds(compare(at_hub("ready"), on_machine("running"), [told], NOW)) == ["resume"]
    assert kinds(compare([], [], [told], NOW)) == ["release"]
    assert kinds(compare([], on_machine("exited"), [told], NOW)) == ["remove"]


@pytest.mark.parametrize("remembered", [None, "used", "never ready"])
def test_a_server_without_reservation_on_a_lost_node_is_counted(remembered: str | None) -> None:
    machine = [replace(server, lost=LOST) for server in on_machine("running")]
    past = {"L1": reserved("released", ready=remembered == "used", released=LONG_AGO)} if remembered else {}
    assert kinds(compare([], machine, [], NOW, past=past)) == ["orphan"]


@pytest.mark.parametrize(
    ("state", "ready", "hub", "node", "follows"),
    [
        ("held", True, "ready", "n2", ["move"]),
        ("held", True, "ready", "n1", []),
        ("held", True, "ready", "", []),
        ("pending", False, "spawn", "n2", ["move"]),
        ("pending", False, "ready", "n2", ["ready"]),
        ("held", True, None, "n2", ["lost"]),
        ("pending", False, None, "n2", ["remove"]),
    ],
)
def test_servers_on_another_node_than_planned(state: str, ready: bool, hub: str, node: str, follows: list[str]) -> None:
    machine = [replace(server, node=node) for server in on_machine("running")]
    assert kinds(compare(at_hub(hub), machine, [reserved(state, ready=ready, node="n1")], NOW)) == follows


STRANGERS = [
    # at the hub, on the machine, what the ledger remembers of it, what follows
    ("ready", "running", None, ["adopt"]),
    ("ready", "running", "used", ["adopt"]),
    ("ready", "exited", None, []),
    ("spawn", "running", None, []),
    ("stop", "running", None, []),
    ("check", "running", None, []),
    (None, "exited", None, ["remove"]),
    (None, "exited", "used", ["remove"]),
    (None, "running", None, ["orphan"]),
    (None, "running", "used", ["orphan"]),
    (None, "running", "never ready", ["remove"]),
    (None, "starting", "never ready", ["remove"]),
    (None, "running", "just released", []),
    (None, "exited", "just released", []),
]


@pytest.mark.parametrize(("hub", "machine", "memory", "follows"), STRANGERS)
def test_servers_without_reservation(hub: str | None, machine: Any, memory: str | None, follows: list[str]) -> None:
    past = {}
    if memory is not None:
        released = NOW - 1.0 if memory == "just released" else LONG_AGO
        past["L1"] = reserved("released", ready=memory == "used", released=released)
    findings = compare(at_hub(hub), on_machine(machine), [], NOW, past=past)
    assert kinds(findings) == follows
    assert all(finding.reservation is None and finding.backend is not None for finding in findings)


def test_what_is_young_is_left_alone() -> None:
    for state in ("pending", "held", "stopping", "unknown"):
        for moment in ("changed", "redeemed"):
            young = replace(reserved(state), **{moment: NOW - GRACE_S + 1})
            assert compare([], [], [young], NOW) == ()
            assert compare([], on_machine("running"), [young], NOW) == ()


def test_a_launch_that_is_being_asked_of_the_hub_is_left_alone() -> None:
    one = reserved("pending")
    assert compare([], [], [one], NOW, in_flight={"L1"}) == ()
    assert compare([], on_machine("running"), [], NOW, in_flight={"L1"}) == ()


def test_a_stop_gets_time_before_it_counts_as_failed() -> None:
    one = reserved("stopping", ready=True, changed=NOW - STOP_PATIENCE_S + 1)
    assert compare(at_hub("ready"), on_machine("running"), [one], NOW) == ()


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    ahead = NOW + 3600.0
    assert kinds(compare([], [], [reserved("pending", changed=ahead)], NOW)) == ["release"]
    one = reserved("stopping", ready=True, changed=ahead)
    assert kinds(compare(at_hub("ready"), on_machine("running"), [one], NOW)) == ["resume"]


def test_the_hub_runs_another_launch_under_the_name() -> None:
    old, hub = reserved("held", "L1", ready=True), at_hub("ready", "L2")
    findings = compare(hub, on_machine("running", "L2"), [old], NOW)
    assert [(one.kind, one.launch_id) for one in findings] == [("release", "L1"), ("adopt", "L2")]


def test_two_servers_of_one_name_are_shown() -> None:
    held = reserved("held", "L1", ready=True)
    both = [*on_machine("running", "L1"), *on_machine("running", "L2")]
    findings = compare(at_hub("ready"), both, [held], NOW)
    assert [(one.kind, one.launch_id, one.acting) for one in findings] == [("double", "L2", False)]


def test_names_of_servers_are_not_mixed_up() -> None:
    default = reserved("held", "L0", ready=True, server="")
    named = reserved("held", "L1", ready=True)
    machine = [replace(on_machine("running", "L0")[0], server_name=""), *on_machine("running", "L1")]
    findings = compare(at_hub("ready"), machine, [default, named], NOW)
    assert [(one.kind, one.launch_id) for one in findings] == [("lost", "L0")]


_states = st.sampled_from(["pending", "held", "stopping", "unknown"])
_ages = st.sampled_from([0.0, GRACE_S - 0.1, GRACE_S, STOP_PATIENCE_S + 1, 1000.0])
_reservations = st.builds(
    lambda n, state, age, ready, origin: reserved(
        state, f"L{n}", ready=ready, server=f"s{n}", changed=NOW - age, origin=origin
    ),
    st.integers(0, 3),
    _states,
    _ages,
    st.booleans(),
    st.sampled_from(["launch", "spawner", "adopted"]),
)
_hub = st.builds(
    lambda n, what: replace(at_hub(what)[0], name=f"s{n}"),
    st.integers(0, 3),
    st.sampled_from(["ready", "spawn", "stop", "check", "stopped"]),
)
_machine = st.builds(
    lambda n, server, state: replace(on_machine(state, f"L{n}")[0], server_name=f"s{server}"),
    st.integers(0, 5),
    st.integers(0, 3),
    st.sampled_from(["running", "starting", "exited"]),
)


@given(
    st.lists(_hub, max_size=4, unique_by=lambda one: one.name),
    st.lists(_machine, max_size=6, unique_by=lambda one: one.launch_id),
    st.lists(_reservations, max_size=4, unique_by=lambda one: one.server),
    st.frozensets(st.sampled_from(["L0", "L1", "L2"])),
)
def test_no_rule_ends_work_or_frees_what_is_in_use(
    hub: list[HubServer], machine: list[BackendServer], reservations: list[Reservation], in_flight: frozenset[str]
) -> None:
    findings = compare(hub, machine, reservations, NOW, in_flight=in_flight)
    running = {one.launch_id: one for one in machine}
    served = {one.name for one in hub if one.active}
    for finding in findings:
        assert finding.launch_id not in in_flight
        if finding.kind == "release":
            assert finding.launch_id not in running
            assert finding.server not in served
        if finding.kind == "remove":
            assert finding.server not in served
            one = finding.reservation
            seen = one is not None and (one.ready is not None or one.origin == "adopted")
            may_have_worked = seen and one is not None and one.state in ("held", "unknown")
            assert running[finding.launch_id].state == "exited" or not may_have_worked
    assert len({finding.launch_id for finding in findings}) == len(findings)
    assert compare(hub, machine, reservations, NOW, in_flight=in_flight) == findings
