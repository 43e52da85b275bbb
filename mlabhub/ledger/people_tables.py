"""The ledger's table about people, beside those in `tables`; the same guarantees."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, Table, select

from mlabhub.ledger.records import ClosedAccount
from mlabhub.ledger.tables import Text, metadata

closed_accounts = Table(
    "closed_accounts",
    metadata,
    Column("user", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("keep_until", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("quota_changes", JSON, nullable=False),
)


def closed_row(one: ClosedAccount) -> dict[str, Any]:
    """Return the row of a closed account."""
    return {**vars(one), "quota_changes": list(one.quota_changes)}


def read_closed(connection: Connection) -> tuple[ClosedAccount, ...]:
    """Return the accounts that are closed."""
    rows = connection.execute(select(closed_accounts).where(closed_accounts.c.state != "reopened")).mappings()
    return tuple(ClosedAccount(**{**row, "quota_changes": tuple(row["quota_changes"])}) for row in rows)
