"""What every store of usage keeps, over all implementations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.usage.sums import Held, Key, Sums, Waited
from mlabhub.ledger import Ledger, MemoryLedger, MemoryUsage, QueueEntry, SqlLedger, SqlUsage, UsageStore, open_sqlite
from mlabhub.ledger.usage import Scope, There
from tests.ledger.test_contract import contract_database, reservation

__all__ = ["contract_database"]

ALL = Scope()
AWKWARD = "=1+1\0\ud800"


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Ledger, UsageStore]]:
    """Return an empty ledger, and its usage."""
    if request.param == "memory":
        memory = MemoryLedger()
        yield memory, MemoryUsage(memory)
        return
    is_sqlite = request.param == "sqlite"
    ledger: SqlLedger = (
        open_sqlite(tmp_path / "l.sqlite") if is_sqlite else request.getfixturevalue("contract_database")()
    )
    ledger.load(0.0)
    yield ledger, SqlUsage(ledger)
    ledger.close()


@pytest.fixture
def usage(both: tuple[Ledger, UsageStore]) -> UsageStore:
    return both[1]


def key(day: str = "2026-11-01", user: str = "alice", group: str = "vision", profile: str = "gpu") -> Key:
    return Key(day, user, group, profile)


def test_nothing_is_there_first(usage: UsageStore) -> None:
    assert (usage.until(), usage.begin()) == (None, None)
    assert usage.totals("day", "2000-01-01", "2999-01-01") == {}
    assert usage.there("2000-01-01", "2999-01-01") == {}


def test_a_window_counts_once(usage: UsageStore) -> None:
    one = {key(): Sums(10, 5, 2, 1)}
    assert usage.add(None, 300.0, one, {"2026-11-01": There(80, 10)})
    assert not usage.add(None, 300.0, one)
    assert not usage.add(0.0, 300.0, one)
    assert usage.add(300.0, 600.0, one, {"2026-11-01": There(80, 10)})
    assert usage.until() == 600.0
    assert usage.totals("day", "2026-11-01", "2026-11-01") == {"2026-11-01": Sums(20, 10, 4, 2)}
    assert usage.there("2026-11-01", "2026-11-30") == {"2026-11-01": There(160, 20)}


def test_whose_and_when(usage: UsageStore) -> None:
    added = {
        key(): Sums(1),
        key(profile="other"): Sums(10),
        key(user="bob"): Sums(100),
        key(user="bob", group="nlp"): Sums(1000),
        key(user="carol", group=""): Sums(10_000),
        key("2026-11-02"): Sums(100_000),
    }
    assert usage.add(None, 1.0, added)

    def held(by: str, scope: Scope = ALL, last: str = "2026-11-01") -> dict[str, int]:
        return {name: one.held for name, one in usage.totals(by, "2026-11-01", last, scope).items()}  # type: ignore[arg-type]

    assert held("user") == {"alice": 11, "bob": 1100, "carol": 10_000}
    assert held("group") == {"vision": 111, "nlp": 1000, "": 10_000}
    assert held("profile") == {"gpu": 11_101, "other": 10}
    assert held("day", last="2026-11-02") == {"2026-11-01": 11_111, "2026-11-02": 100_000}
    assert held("profile", Scope(user="alice")) == {"gpu": 1, "other": 10}
    assert held("group", Scope(groups=frozenset({"vision", "none"}))) == {"vision": 111}
    assert held("user", Scope(user="carol", groups=frozenset({"vision"}))) == {"alice": 11, "bob": 100, "carol": 10_000}
    assert held("user", Scope(user="carol")) == {"carol": 10_000}
    assert held("user", Scope(groups=frozenset())) == {}


def test_large_numbers_and_awkward_names(usage: UsageStore) -> None:
    large = Sums(2**52, 2**51, 2**50, 2**52)
    assert usage.add(None, 1.0, {key(user=AWKWARD, profile=AWKWARD): large})
    assert usage.totals("user", "2026-11-01", "2026-11-01") == {AWKWARD: large}
    assert usage.totals("profile", "2026-11-01", "2026-11-01", Scope(user=AWKWARD)) == {AWKWARD: large}


def test_what_there_was_in_a_window(both: tuple[Ledger, UsageStore]) -> None:
    ledger, usage = both
    over = replace(reservation("over"), state="released", created=10.0, released=50.0, gpus=("a", "b"))
    runs = replace(reservation("runs"), state="held", created=60.0, released=None, gpus=("a",), server="other")
    without = replace(reservation("cpu"), state="held", created=60.0, released=None, gpus=(), server="third")
    waits = QueueEntry("w", "alice", "q", "waiting", 5.0, 20.0, 20.0, gpus=4, profile="gpu")
    left = replace(waits, launch_id="l", server="q2", state="left", changed=40.0, group="vision")
    began = replace(waits, launch_id="b", server="q3", state="claimed", changed=90.0, started=30.0)
    ledger.commit([over, runs, without, waits, left, began])
    assert usage.begin() == 10.0
    about = (over.user, over.group, over.profile)
    assert set(usage.held(0.0, 100.0)) == {Held("over", *about, 2, 10.0, 50.0), Held("runs", *about, 1, 60.0, None)}
    assert [one.launch_id for one in usage.held(51.0, 100.0)] == ["runs"]
    assert [one.launch_id for one in usage.held(0.0, 60.0)] == ["over"]
    assert set(usage.waited(35.0, 100.0)) == {
        Waited("alice", None, "gpu", 4, 20.0, None),
        Waited("alice", "vision", "gpu", 4, 20.0, 40.0),
    }
    assert len(usage.waited(0.0, 25.0)) == 3
    assert usage.waited(0.0, 20.0) == ()
