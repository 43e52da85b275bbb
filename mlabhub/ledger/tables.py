"""The ledger's tables, and how records become rows and rows records. The migrations lead here; a test compares them.

Guarantees: any text is kept word for word, also what a database refuses (NUL, half a surrogate pair). Names that are
part of an index are at most 255 characters long by the gate's rules; what is longer is refused by PostgreSQL.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    Float,
    Index,
    Integer,
    MetaData,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as PlainText
from sqlalchemy.engine import RowMapping

from mlabhub.core.tools import WORKBENCH
from mlabhub.ledger.audit import searched
from mlabhub.ledger.records import AuditEntry, KnownId, Reservation, StoredAnswer
from mlabhub.messages import message_json, message_of

_MARK = "\x1e"
_ACTIVE = text("state != 'released'")


class Text(TypeDecorator[str]):
    """Text that may have anything in it: what no database keeps as text is kept as JSON behind a mark."""

    impl = PlainText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what is stored."""
        return value if value is None or _is_plain(value) else _MARK + json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Return what was given."""
        if value is None or not value.startswith(_MARK):
            return value
        return str(json.loads(value[len(_MARK) :]))


def _is_plain(value: str) -> bool:
    if "\0" in value or value.startswith(_MARK):
        return False
    try:
        return value.isascii() or bool(value.encode())
    except UnicodeEncodeError:
        return False


metadata = MetaData()
Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in an INTEGER only, and keeps 64 bits there

reservations = Table(
    "reservations",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("changed", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("origin", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("group", Text),
    Column("profile", Text, nullable=False),
    Column("image", Text, nullable=False),
    Column("gpu_type", Text),
    Column("gpus", JSON, nullable=False),
    Column("node", Text, nullable=False),
    Column("cpu", Float, nullable=False),
    Column("memory_gib", Float, nullable=False),
    Column("options", JSON, nullable=False),
    Column("plan", JSON(none_as_null=True)),
    Column("redeemed", Float),
    Column("held", Float),
    Column("ready", Float),
    Column("released", Float),
    Column("failure", JSON(none_as_null=True)),
    Column("notes", JSON(none_as_null=True)),
    Column("kind", Text),
    Column("since", Float),
    Column("reclaims", Integer),
    Index("one_active_per_server", "user", "server", unique=True, sqlite_where=_ACTIVE, postgresql_where=_ACTIVE),
    Index("released_lately", "released"),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("message", JSON, nullable=False),
    Column("user", Text, nullable=False),
    Column("server", Text, nullable=False),
    Column("launch_id", Text, nullable=False),
    Column("searched", Text),
    Index("audit_of_user", "user", "number"),
    Index("audit_by_time", "at", "number"),
    Index("audit_of_actor", "actor", "number"),
    Index("audit_of_act", "act", "number"),
)

answers = Table(
    "answers",
    metadata,
    Column("actor", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Index("answers_by_age", "created"),
)

ids = Table(
    "ids",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", Number, nullable=False),
    UniqueConstraint("kind", "number", name="one_owner_per_number"),
)


def reservation_row(one: Reservation) -> dict[str, Any]:
    """Return the row of a reservation."""
    row = dict(vars(one))
    row["gpus"] = list(one.gpus)
    row["failure"] = None if one.failure is None else message_json(one.failure)
    row["notes"] = [message_json(note) for note in one.notes] or None
    return row


def reservation_of(row: RowMapping) -> Reservation:
    """Return the reservation in a row."""
    values = dict(row)
    values["gpus"] = tuple(values["gpus"])
    values["failure"] = None if values["failure"] is None else message_of(values["failure"])
    values["notes"] = tuple(message_of(note) for note in values["notes"] or ())
    values["kind"] = values["kind"] or WORKBENCH
    values["reclaims"] = values["reclaims"] or 0
    return Reservation(**values)


def audit_row(entry: AuditEntry) -> dict[str, Any]:
    """Return the row of an audit entry; the ledger numbers it."""
    row = dict(vars(entry))
    del row["number"]
    return {**row, "message": message_json(entry.message), "searched": searched(entry)}


def audit_of(row: RowMapping) -> AuditEntry:
    """Return the audit entry in a row, without what is only searched."""
    return AuditEntry(**{**row, "message": message_of(row["message"])})


def answer_row(answer: StoredAnswer) -> dict[str, Any]:
    """Return the row of a stored answer."""
    return dict(vars(answer))


def id_row(known: KnownId) -> dict[str, Any]:
    """Return the row of a number."""
    return dict(vars(known))
