"""The audit is searched by person, server, act, time and text, and no answer reads more than its window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.ledger import AuditEntry, AuditFilter, Ledger, MemoryLedger, open_sqlite, tables
from mlabhub.messages import Message
from tests.ledger.test_contract import contract_database, ledger

__all__ = ["contract_database", "ledger"]
NAMES = ("", "alice", "bob")
ENTRIES = tuple(
    AuditEntry(float(n), NAMES[n % 3] or "queue", ("admit", "stop")[n % 2], Message.of("{n} %", n=n), NAMES[n // 2 % 3])
    for n in range(40)
)
FILTERS = st.builds(
    AuditFilter,
    user=st.sampled_from(NAMES),
    actor=st.sampled_from(NAMES),
    act=st.sampled_from(("", "admit", "stop", "nothing")),
    server=st.sampled_from((None, "", "train")),
    since=st.none() | st.integers(-1, 41).map(float),
    until=st.none() | st.integers(-1, 41).map(float),
    text=st.sampled_from(("", "1", "%", "_", "ALICE", "stop")),
)


def everything(ledger: Ledger, wanted: AuditFilter, limit: int, window: int) -> list[AuditEntry]:
    """Return what is found by going on until there is no more."""
    found: list[AuditEntry] = []
    before = None
    for _ in range(200):
        page = ledger.search_audit(wanted, limit=limit, before=before, window=window)
        assert len(page.entries) <= limit
        found += page.entries
        if page.next is None:
            return found
        assert before is None or page.next < before
        before = page.next
    raise AssertionError("it never ends")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Ledger]]:
    with closing(open_sqlite(tmp_path_factory.mktemp("audit") / "ledger.sqlite")) as sqlite:
        memory = MemoryLedger()
        for one in (sqlite, memory):
            one.commit(ENTRIES)
        yield sqlite, memory


@given(wanted=FILTERS, limit=st.integers(1, 50), window=st.integers(1, 50))
def test_page_by_page_everything_wanted_is_found_once(
    both: tuple[Ledger, Ledger], wanted: AuditFilter, limit: int, window: int
) -> None:
    expected = [one.at for one in reversed(ENTRIES) if wanted.matches(one)]
    for one in both:
        assert [entry.at for entry in everything(one, wanted, limit, window)] == expected


def test_on_every_ledger(ledger: Ledger) -> None:
    ledger.commit(ENTRIES)
    assert [one.at for one in ledger.search_audit(AuditFilter(text="7 %"), limit=9).entries] == [37.0, 27.0, 17.0, 7.0]
    page = ledger.search_audit(AuditFilter(user="bob", actor="alice", since=3.0, until=30.0), limit=2)
    assert all((one.user, one.actor) == ("bob", "alice") for one in page.entries)
    assert page.entries
    stops = ledger.search_audit(AuditFilter(act="stop"), limit=99).entries
    others = ledger.search_audit(AuditFilter(without=("stop",)), limit=99).entries
    assert (bool(stops), {one.act for one in others} & {"stop"}) == (True, set())
    assert len(stops) + len(others) == len(ENTRIES)
    assert ledger.search_audit(AuditFilter(until=-5.0), limit=9).entries == ()
    assert ledger.search_audit(AuditFilter(since=99.0), limit=9).entries == ()


def test_it_says_how_far_it_looked(ledger: Ledger) -> None:
    ledger.commit(ENTRIES)
    page = ledger.search_audit(AuditFilter(text="3 %"), limit=9, window=10)
    assert ([one.at for one in page.entries], page.next, page.searched_to) == ([33.0], 31, 30.0)
    assert ledger.search_audit(AuditFilter(), limit=9, window=10).searched_to is None


def test_a_sentence_is_found_in_every_language_and_any_case(ledger: Ledger) -> None:
    ledger.commit([AuditEntry(1.0, "admin", "stop", Message.of("{actor} asked for it", actor="Ärger"))])
    for text in ("ÄRGER asked FOR", "ärger", "admin", "STOP"):
        assert ledger.search_audit(AuditFilter(text=text), limit=9).entries, text
    assert not ledger.search_audit(AuditFilter(text="bob"), limit=9).entries


def test_a_clock_that_was_set_back_hides_nothing(ledger: Ledger) -> None:
    times = (1000.0, 1010.0, 990.0, 1001.0, 2000.0)
    ledger.commit([AuditEntry(at, "admin", "stop", Message("x")) for at in times])
    page = ledger.search_audit(AuditFilter(since=1000.0, until=1005.0), limit=9)
    assert [one.at for one in page.entries] == [1001.0, 1000.0]


def test_what_was_written_before_it_was_searched_is_found_by_its_parts(tmp_path: Path) -> None:
    with closing(open_sqlite(tmp_path / "ledger.sqlite")) as ledger:
        ledger.commit([AuditEntry(1.0, "admin", "stop", Message.of("{actor} asked for it", actor="Bob"))])
        with ledger._engine.begin() as connection:
            connection.execute(sa.update(tables.audit).values(searched=None))
        assert ledger.search_audit(AuditFilter(text="bob"), limit=9).entries
        assert ledger.search_audit(AuditFilter(text="asked"), limit=9).entries


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (AuditFilter(user="alice", act="admit"), "audit_of_user"),
        (AuditFilter(actor="alice", text="x"), "audit_of_actor"),
        (AuditFilter(act="stop", server="train"), "audit_of_act"),
    ],
)
def test_it_walks_along_an_index(tmp_path: Path, wanted: AuditFilter, index: str) -> None:
    """So what is read is what the window has, and nothing is sorted."""
    plans: list[str] = []
    with closing(open_sqlite(tmp_path / "ledger.sqlite")) as ledger:
        ledger.commit(ENTRIES)

        @sa.event.listens_for(ledger._engine, "before_cursor_execute")
        def explain(connection, cursor, statement, parameters, context, many):  # type: ignore[no-untyped-def]
            if statement.startswith("SELECT") and "audit" in statement:
                told = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                plans.append("\n".join(str(row[-1]) for row in told))

        ledger.search_audit(wanted, limit=9)
    assert plans
    assert all(index in plan for plan in plans), plans
    assert not any("SCAN audit" in plan for plan in plans), plans
    assert not any("TEMP B-TREE" in plan for plan in plans), plans
