"""The ledger's tables about idleness, beside those in `tables`; the same guarantees."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Column, Float, Index, Integer, Table
from sqlalchemy.engine import RowMapping

from mlabhub.ledger.idle_records import IdleWarning, Keeping, Shelved, WouldStop
from mlabhub.ledger.tables import Text, metadata
from mlabhub.messages import Message, message_json, message_of

warnings = Table(
    "idle_warnings",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("told", Float),
    Column("way", Text, nullable=False),
    Column("reminded", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Float, nullable=False),
)

keepings = Table(
    "keepings",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("at", Float, primary_key=True),
    Column("until", Float, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("keepings_by_time", "at"),
)

would_stops = Table(
    "would_stops",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("at", Float, primary_key=True),
    Column("user", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("gpus", Integer, nullable=False),
    Column("reason", JSON, nullable=False),
    Column("again", Float),
    Column("ended", Float),
    Index("would_stops_by_time", "at"),
)

shelved = Table(
    "shelved",
    metadata,
    Column("user", Text, primary_key=True),
    Column("server", Text, primary_key=True),
    Column("launch_id", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", JSON(none_as_null=True)),
    Column("rescue", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("fault", JSON(none_as_null=True)),
    Column("attempts", Integer, nullable=False),
)


def plain_row(record: IdleWarning | Keeping) -> dict[str, Any]:
    """Return the row of a record that is made of plain values."""
    return dict(vars(record))


def told_row(record: WouldStop | Shelved) -> dict[str, Any]:
    """Return the row of a record with reasons in words."""
    return {name: message_json(value) if isinstance(value, Message) else value for name, value in vars(record).items()}


def would_stop_of(row: RowMapping) -> WouldStop:
    """Return what a dry run would have stopped."""
    return WouldStop(**{**row, "reason": message_of(row["reason"])})


def shelved_of(row: RowMapping) -> Shelved:
    """Return the server without its GPUs in a row."""
    said = {name: None if row[name] is None else message_of(row[name]) for name in ("reason", "fault")}
    return Shelved(**{**row, **said})
