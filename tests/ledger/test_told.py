"""What people were told when they asked is kept beside when their turn came, in every ledger."""

from __future__ import annotations

from typing import Any

from mlabhub.ledger import Ledger, QueueEntry, ToldStart
from tests.ledger.test_contract import contract_database, ledger

__all__ = ["contract_database", "ledger"]


def test_what_was_told_is_found_by_the_start(ledger: Ledger) -> None:
    about: dict[str, Any] = {"user": "alice", "state": "claimed", "since": 1.0, "changed": 60.0}
    known = QueueEntry("E1", server="a", created=10.0, told_earliest=20.0, told_latest=40.0, started=50.0, **about)
    unknown = QueueEntry("E2", server="b", created=11.0, started=30.0, **about)
    early = QueueEntry("E3", server="c", created=2.0, started=5.0, **about)
    waits = QueueEntry("E4", server="d", created=12.0, told_earliest=20.0, **{**about, "state": "waiting"})
    ledger.commit([known, unknown, early, waits])
    assert ledger.told_starts(30.0) == (
        ToldStart("E2", 11.0, None, None, 30.0),
        ToldStart("E1", 10.0, 20.0, 40.0, 50.0),
    )
    assert ledger.entry("E1") == known
    assert ledger.load(0.0).entries == (waits,)
