"""A person's last launches are found by the person, however many were ever admitted."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from mlabhub.ledger import SqlLedger, open_sqlite


def test_recent_launches_are_found_by_their_person(tmp_path: Path) -> None:
    ledger = open_sqlite(tmp_path / "ledger.sqlite")
    assert isinstance(ledger, SqlLedger)
    asked: list[tuple[str, object]] = []

    @sa.event.listens_for(ledger._engine, "before_cursor_execute")
    def note(connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    ledger.recent("alice")
    statement, parameters = asked[-1]
    with ledger._engine.connect() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).fetchall()
    ledger.close()
    assert "audit_of_user" in plan[0].detail
