"""What every ledger keeps, over all implementations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.ledger import (
    AuditEntry,
    ClosedAccount,
    IdleWarning,
    Keeping,
    KnownId,
    Ledger,
    LedgerConflict,
    MemoryLedger,
    Nudge,
    ReclaimNotice,
    Reservation,
    Shelved,
    StoredAnswer,
    WouldStop,
    open_postgresql,
    open_sqlite,
    tables,
)
from mlabhub.messages import Message
from tests.ledger.postgres import PostgresServer

LONGEST_NAME = "".join(chr(0x1F300 + (n * n * 7919) % 0x300) for n in range(255))
AWKWARD = {
    "10,000 characters": LONGEST_NAME * 40,
    "NUL": "a\0b",
    "half a surrogate pair": "a\ud800b",
    "both": "\0\udfff\0",
    "our own mark": '\x1e"x"',
    "a template": "{} {0} %s %(x)s :x \\u0000",
    "quotes": "'; DROP TABLE reservations; --\"",
    "lines": "\r\n\t\x7f\u2028",
    "empty": "",
}


@pytest.fixture(scope="session")
def contract_database(postgres: PostgresServer) -> Callable[[], Ledger]:
    """Return what opens an empty ledger in PostgreSQL, always the same one."""
    address = postgres.make_database("contract")
    open_postgresql(address, "tests").close()

    def open_empty() -> Ledger:
        postgres.sql(f"TRUNCATE {', '.join(tables.metadata.tables)} RESTART IDENTITY", "contract")
        return open_postgresql(address, "tests")

    return open_empty


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "postgresql":
        one: Ledger = request.getfixturevalue("contract_database")()
    else:
        one = MemoryLedger() if request.param == "memory" else open_sqlite(tmp_path / "ledger.sqlite")
    with closing(one):
        one.check()
        yield one


def reservation(launch_id: str = "L1", **values: Any) -> Reservation:
    """Return a reservation with something in every field."""
    return Reservation(
        **{
            "launch_id": launch_id,
            "user": "alice",
            "server": "",
            "state": "pending",
            "created": 10.0,
            "changed": 10.0,
            "deadline": 70.0,
            "actor": "admin",
            "display_name": "Träining {x}",
            "group": "vision",
            "profile": "gpu",
            "image": "base",
            "gpu_type": "a100",
            "gpus": ("GPU-1", "GPU-2"),
            "node": "n1",
            "cpu": 4.0,
            "memory_gib": 16.5,
            "options": {"profile": "gpu", "options": {"shm_gib": 8}},
            "plan": {"mounts": [{"source": "/a"}], "none": None},
            "failure": Message.of("{what} of {whom}", what=Message.of("{n} GPUs", n=2), whom="{alice}"),
            "notes": (Message.of("Without {what}", what=Message.of("{n} shares", n=2)), Message("{}")),
            **values,
        }
    )


def test_what_was_committed_is_loaded_word_for_word(ledger: Ledger) -> None:
    one, other = reservation(), reservation("L2", user="bob", plan=None, failure=None, gpus=(), group=None, notes=())
    answer = StoredAnswer("alice", "key", "f", 409, {"error": {"code": "x", "n": [1.5, None]}}, 50.0)
    ledger.commit([one, KnownId("user", "alice", 200000), answer, other, KnownId("group", "alice", 200000)])
    contents = ledger.load(since=0.0)
    assert set(contents.reservations) == {one, other}
    assert contents.answers == (answer,)
    assert set(contents.ids) == {KnownId("user", "alice", 200000), KnownId("group", "alice", 200000)}
    assert contents.spent == {}
    assert ledger.reservation("L1") == one
    assert ledger.reservation("L3") is None


def test_a_reservation_is_replaced_by_its_next_state(ledger: Ledger) -> None:
    ledger.commit([reservation()])
    held = reservation(state="held", held=20.0, failure=None)
    ledger.commit([held])
    assert ledger.load(0.0).reservations == (held,)


def test_released_launches_are_no_longer_active_but_known(ledger: Ledger) -> None:
    early = reservation("L1", state="released", released=100.0)
    late = reservation("L2", state="released", released=200.0)
    ledger.commit([early, late])
    contents = ledger.load(since=150.0)
    assert contents.reservations == ()
    assert contents.spent == {"L2": 200.0}
    assert ledger.reservation("L1") == early


def test_there_is_one_active_reservation_of_a_server(ledger: Ledger) -> None:
    ledger.commit([reservation("L1")])
    with pytest.raises(LedgerConflict):
        ledger.commit([reservation("L2"), AuditEntry(1.0, "a", "admit", Message("x"))])
    assert [one.launch_id for one in ledger.load(0.0).reservations] == ["L1"]
    assert ledger.audit(limit=10) == ()


def test_one_commit_may_free_a_name_and_give_it_away(ledger: Ledger) -> None:
    ledger.commit([reservation("L1")])
    ledger.commit([reservation("L2"), reservation("L1", state="released", released=1.0)])
    assert [one.launch_id for one in ledger.load(0.0).reservations] == ["L2"]


def test_the_last_word_of_a_commit_on_a_launch_counts(ledger: Ledger) -> None:
    ledger.commit([reservation(state="pending"), reservation(state="held"), reservation(state="stopping")])
    assert [one.state for one in ledger.load(0.0).reservations] == ["stopping"]


def test_a_launch_may_come_back_as_unknown(ledger: Ledger) -> None:
    ledger.commit([reservation(state="released", released=5.0)])
    ledger.commit([reservation(state="unknown", released=None)])
    assert [one.state for one in ledger.load(0.0).reservations] == ["unknown"]
    assert ledger.load(0.0).spent == {}


def test_the_audit_is_read_newest_first_and_in_pages(ledger: Ledger) -> None:
    ledger.commit([AuditEntry(float(n), "admin", "stop", Message.of("{n}", n=n), user=f"u{n % 2}") for n in range(5)])
    first = ledger.audit(limit=2)
    assert [entry.at for entry in first] == [4.0, 3.0]
    assert [entry.at for entry in ledger.audit(limit=9, before=first[-1].number)] == [2.0, 1.0, 0.0]
    assert [entry.at for entry in ledger.audit(limit=9, user="u1")] == [3.0, 1.0]
    assert str(first[0].message) == "4"


def test_the_last_admitted_launch_of_each_server(ledger: Ledger) -> None:
    def admitted(launch_id: str, server: str, user: str = "alice", act: str = "admit") -> AuditEntry:
        return AuditEntry(1.0, user, act, Message("x"), user=user, server=server, launch_id=launch_id)

    over = {"state": "released", "released": 1.0}
    ledger.commit([reservation("L1", server="", **over), admitted("L1", "")])
    ledger.commit([reservation("L2", server="exp", **over), admitted("L2", "exp")])
    ledger.commit([reservation("L3", server=""), admitted("L3", "")])
    ledger.commit([reservation("L4", user="bob", server="exp"), admitted("L4", "exp", "bob")])
    ledger.commit([reservation("L5", server="found", options={}), admitted("L5", "found", act="adopt")])
    ledger.commit([admitted("L6", "never", act="refuse")])
    assert [one.launch_id for one in ledger.latest("alice")] == ["L3", "L2"]
    assert ledger.latest("alice")[0] == reservation("L3", server="")
    assert ledger.latest("nobody") == ()
    assert [one.launch_id for one in ledger.recent("alice")] == ["L3", "L2", "L1"]


def test_old_answers_are_forgotten(ledger: Ledger) -> None:
    answers = [StoredAnswer("alice", f"k{at}", "f", 201, {}, at) for at in (10.0, 20.0)]
    ledger.commit(answers)
    ledger.forget_answers(before=15.0)
    assert ledger.load(0.0).answers == (answers[1],)


def test_an_answer_is_replaced_under_its_key(ledger: Ledger) -> None:
    for status in (201, 409):
        ledger.commit([StoredAnswer("alice", "k", "f", status, {}, 1.0)])
    assert [answer.status for answer in ledger.load(0.0).answers] == [409]


@pytest.mark.parametrize("text", AWKWARD.values(), ids=AWKWARD)
def test_any_text_is_kept_word_for_word(ledger: Ledger, text: str) -> None:
    name = text[:255]
    one = reservation(
        user=name,
        server=name,
        display_name=text,
        group=text,
        node=text,
        gpus=(text,),
        options={text: [text]},
        plan={"mounts": [{text: text}]},
        failure=Message.of("{what}", what=text),
    )
    answer = StoredAnswer(name, name, text, 409, {"error": {text: text}}, 50.0)
    ledger.commit([one, answer, KnownId("user", name, 1), AuditEntry(1.0, text, text, Message(text), user=name)])
    contents = ledger.load(0.0)
    assert contents.reservations == (one,)
    assert vars(contents.reservations[0]) == vars(one)
    assert contents.answers == (answer,)
    assert contents.answers[0].body == answer.body
    assert contents.ids == (KnownId("user", name, 1),)
    assert [(entry.actor, entry.message) for entry in ledger.audit(limit=9, user=name)] == [(text, Message(text))]
    ledger.check()


def test_large_numbers_of_users_are_kept(ledger: Ledger) -> None:
    known = KnownId("user", "alice", 2**32 - 2)
    ledger.commit([known])
    assert ledger.load(0.0).ids == (known,)


def test_a_batch_of_many_is_kept_in_its_order(ledger: Ledger) -> None:
    many = [reservation(f"L{n}", user=f"u{n}") for n in range(256)]
    ledger.commit([*many, *(AuditEntry(float(n), "a", "admit", Message("x")) for n in range(256))])
    assert set(ledger.load(0.0).reservations) == set(many)
    assert [entry.at for entry in ledger.audit(limit=256)] == [float(n) for n in reversed(range(256))]


_names = st.text(max_size=12)
_changes = st.lists(
    st.tuples(st.sampled_from(["L1", "L2", "L3"]), st.sampled_from(["pending", "held", "released", "unknown"]), _names),
    max_size=12,
)


@settings(max_examples=30, deadline=None)
@given(_changes)
def test_all_ledgers_agree_after_any_changes(
    tmp_path_factory: pytest.TempPathFactory, contract_database: Callable[[], Ledger], changes: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    with closing(open_sqlite(folder / "ledger.sqlite")) as sqlite, closing(contract_database()) as postgresql:
        ledgers: tuple[Ledger, ...] = (MemoryLedger(), sqlite, postgresql)
        for launch_id, state, name in changes:
            one = replace(reservation(launch_id, display_name=name), state=state, released=1.0)
            assert len({_commit(ledger, one) for ledger in ledgers}) == 1
        assert len({frozenset(ledger.load(0.0).reservations) for ledger in ledgers}) == 1


def _commit(ledger: Ledger, one: Reservation) -> bool:
    try:
        ledger.commit([one])
    except LedgerConflict:
        return False
    return True


def test_notices_and_questions_are_kept_one_a_launch(ledger: Ledger) -> None:
    first = ReclaimNotice("r1", 100.0, 700.0, "w1", changed=100.0)
    told = replace(first, told=101.5)
    ended = ReclaimNotice("r2", 100.0, 700.0, "w1", state="withdrawn", changed=300.0)
    asked = Nudge("r3", 100.0, "w1", AWKWARD["a template"])
    again = replace(asked, at=4000.0, entry="w2")
    ledger.commit([first, ended, asked])
    ledger.commit([told, again])
    contents = ledger.load(0.0)
    assert contents.notices == (told,)
    assert contents.nudges == (again,)
    assert ledger.load(4001.0).nudges == ()


def test_what_is_said_of_idle_servers_is_kept(ledger: Ledger) -> None:
    said = Message.of("{text} for {n} s", text=AWKWARD["a template"], n=3)
    due = IdleWarning("r1", 100.0, changed=100.0)
    told = replace(due, told=130.0, way="tool", reminded=1)
    gone = IdleWarning("r2", 100.0, state="withdrawn", changed=200.0)
    kept = Keeping("r1", 150.0, 7350.0, "alice", AWKWARD["a template"])
    of_ended = Keeping("r9", 50.0, 60.0)
    open_still = WouldStop("r1", 300.0, "alice", "", 2, said)
    wanted = replace(open_still, at=10.0, again=20.0)
    shelved = Shelved("alice", "", "r0", 1.0, 61.0, "saving", 1.0, "bob", said, "x/y", {"gpus": 2, "deep": {"a": []}})
    back = replace(shelved, server="two", state="returned", reason=None)
    released = replace(shelved, state="released", fault=said, attempts=2)
    ledger.commit([reservation("r1"), due, gone, kept, of_ended, wanted, open_still, shelved, back])
    ledger.commit([due, told, kept, kept, open_still, open_still, shelved, released])
    contents = ledger.load(0.0)
    assert contents.warnings == (told,)
    assert contents.keepings == (kept,)
    assert contents.would_stops == (open_still,)
    assert contents.shelved == (released,)
    assert ledger.would_stops(0.0) == (wanted, open_still)
    assert ledger.would_stops(11.0) == (open_still,)
    assert ledger.keepings(0.0) == (of_ended, kept)


def test_closed_accounts_are_known_until_they_are_reopened(ledger: Ledger) -> None:
    one = ClosedAccount("alice", 1.0, 90.0, "admin", AWKWARD["a template"], "closed", 1.0, ("C1", "C2"))
    other = replace(one, user=AWKWARD["quotes"], quota_changes=())
    ledger.commit([one, other, replace(one, keep_until=91.0)])
    assert set(ledger.load(0.0).closed) == {replace(one, keep_until=91.0), other}
    ledger.commit([replace(one, state="reopened", changed=2.0), replace(other, state="cleaned")])
    assert ledger.load(0.0).closed == (replace(other, state="cleaned"),)
