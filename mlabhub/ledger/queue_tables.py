"""The ledger's tables about the queue and quotas, beside those in `tables`; the same guarantees."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Boolean, Column, Float, Index, Integer, Table, text
from sqlalchemy.engine import RowMapping

from mlabhub.ledger.records import Nudge, QueueEntry, QuotaChange, ReclaimNotice
from mlabhub.ledger.tables import Text, metadata
from mlabhub.messages import message_json, message_of

_ACTIVE = text("state IN ('waiting', 'started')")

queue = Table(
    "queue",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", Float, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("group", Text),
    Column("profile", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("gpu_type", Text),
    Column("gpus", Integer, nullable=False),
    Column("gpu_ids", JSON(none_as_null=True)),
    Column("cpu", Float, nullable=False),
    Column("memory_gib", Float, nullable=False),
    Column("options", JSON, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("reclaims", Integer, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("claim_by", Float),
    Column("reason", JSON(none_as_null=True)),
    Column("again_of", Text, nullable=False),
    Column("told_earliest", Float),
    Column("told_latest", Float),
    Column("reckoned_earliest", Float),
    Column("reckoned_latest", Float),
    Column("started", Float),
    Column("attempts", Integer, nullable=False),
    Index("one_entry_per_server", "user", "server", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    Index("queue_by_state", "state"),
    Index("queue_by_start", "started"),
)

notices = Table(
    "notices",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("entry", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("changed", Float, nullable=False),
    Column("told", Float),
)

quota_changes = Table(
    "quota_changes",
    metadata,
    Column("change_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("author", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("part", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("amount", Float),
    Column("added", Boolean, nullable=False),
    Column("start", Float, nullable=False),
    Column("end", Float),
    Column("undone", Float),
    Column("undone_by", Text, nullable=False),
)

nudges = Table(
    "nudges",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("entry", Text, nullable=False),
    Column("user", Text, nullable=False),
)


def entry_row(entry: QueueEntry) -> dict[str, Any]:
    """Return the row of a queue entry."""
    row = dict(vars(entry))
    row["gpu_ids"] = None if entry.gpu_ids is None else list(entry.gpu_ids)
    row["reason"] = None if entry.reason is None else message_json(entry.reason)
    return row


def entry_of(row: RowMapping) -> QueueEntry:
    """Return the queue entry in a row."""
    values = dict(row)
    values["gpu_ids"] = None if values["gpu_ids"] is None else tuple(values["gpu_ids"])
    values["reason"] = None if values["reason"] is None else message_of(values["reason"])
    return QueueEntry(**values)


def plain_row(record: ReclaimNotice | QuotaChange | Nudge) -> dict[str, Any]:
    """Return the row of a record that is made of plain values."""
    return dict(vars(record))
