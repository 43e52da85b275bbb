"""What a ledger says ran in a time, in every database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mlabhub.ledger import QueueEntry, QuotaChange, RecordedRuns, SqlLedger, open_sqlite
from tests.ledger.test_contract import contract_database, reservation

__all__ = ["contract_database"]


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_sqlite(tmp_path / "l.sqlite") if request.param == "sqlite" else None
    with closing(opened or request.getfixturevalue("contract_database")()) as one:
        one.check()
        yield one


def entry(launch_id: str, state: str, since: float, changed: float, **values: object) -> QueueEntry:
    return QueueEntry(launch_id, "bob", launch_id, state, since, since, changed, **values)  # type: ignore[arg-type]


def test_what_ran_and_what_went_on(ledger: SqlLedger) -> None:
    over = {"state": "released", "created": 100.0, "held": 110.0}
    ledger.commit(
        [
            reservation("old", server="a", **over, released=200.0),
            reservation("new", server="b", **{**over, "since": 50.0}, released=400.0, options={"gpu_type": "any"}),
            reservation("runs", server="c", state="held", created=300.0, held=310.0, options={}),
            reservation("never", server="d", state="released", created=300.0, held=None, released=350.0),
            reservation("ahead", server="e", state="held", created=900.0, held=910.0),
            entry("new", "claimed", 50.0, 110.0, again_of="old", priority=2),
            entry("left", "left", 100.0, 400.0),
            entry("long gone", "left", 100.0, 150.0),
            entry("waits", "waiting", 100.0, 100.0),
            QuotaChange("C1", 1.0, "root", "why", "limit", "vision", "gpu", 4.0),
        ]
    )
    runs = RecordedRuns(ledger)
    found = {one.launch_id: one for one in runs.ran(250.0, 500.0)}
    assert set(found) == {"new", "runs"}
    new = found["new"]
    assert (new.came, new.started, new.ended, new.priority, new.again_of) == (50.0, 110.0, 400.0, 2, "old")
    assert (new.gpu_type, found["runs"].gpu_type, found["runs"].ended) == (None, "a100", None)
    assert runs.left_out(250.0, 500.0) == 2
    assert [one.change_id for one in runs.quota_changes()] == ["C1"]
