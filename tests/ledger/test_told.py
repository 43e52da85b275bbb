"""What people were told, when they asked or had to give back, is kept beside what came of it, in every ledger."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.ledger import HeldThen, Ledger, QueueEntry, ReclaimNotice, ToldStart
from tests.ledger.test_contract import contract_database, ledger, reservation

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


@pytest.mark.parametrize(
    ("notice", "reclaimed"),
    [
        (ReclaimNotice("L1", 10.0, 20.0, "E1", "done", 20.0), True),
        (ReclaimNotice("L1", 10.0, 40.0, "E1", "done", 30.0), False),
        (ReclaimNotice("L1", 10.0, 20.0, "E1", "withdrawn", 15.0), False),
        (ReclaimNotice("L1", 10.0, 20.0, "", "done", 20.0), False),
        (None, False),
    ],
    ids=["its notice ran out", "given back before", "withdrawn", "longest duration", "never told"],
)
def test_what_was_taken_back_did_not_end_by_itself(
    ledger: Ledger, notice: ReclaimNotice | None, reclaimed: bool
) -> None:
    one = reservation("L1", state="released", held=5.0, released=30.0)
    ledger.commit([one, *([notice] if notice is not None else [])])
    (run,) = ledger.past_runs(0.0)
    assert (run.launch_id, run.started, run.ended, run.reclaimed) == ("L1", 5.0, 30.0, reclaimed)
    assert ledger.past_runs(31.0) == ()


def test_who_held_what_at_a_moment_is_found_once_it_is_over(ledger: Ledger) -> None:
    over = {"state": "released", "held": 12.0}
    ledger.commit(
        [
            reservation("L1", **over, released=30.0),
            reservation("L2", **over, created=20.0, released=40.0),
            reservation("L3", **over, released=15.0),
            reservation("L4", server="b"),
        ]
    )
    assert {one.launch_id for one in ledger.held_at(15.0)} == {"L1"}
    assert {one.launch_id for one in ledger.held_at(20.0)} == {"L1", "L2"}
    (last,) = ledger.held_at(30.0)
    one = ledger.reservation("L2")
    assert one is not None
    assert last == HeldThen(
        *(one.launch_id, one.user, one.server, one.display_name, one.group, one.profile, one.gpu_type, one.gpus),
        *(one.node, one.created),
    )
    assert ledger.held_at(40.0) == ()
