"""The ledger's tables of usage: GPU time by day, user, group and profile, the GPUs that there were, and up to when.

Guarantees: a row whose user is "" is about all users together, so that what is asked of groups reads few rows.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Table

from mlabhub.ledger.tables import Number, Text, metadata

EVERYBODY = ""

sums = Table(
    "usage_days",
    metadata,
    Column("user", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("group", Text, primary_key=True),
    Column("profile", Text, primary_key=True),
    Column("held", Number, nullable=False),
    Column("used", Number, nullable=False),
    Column("idle", Number, nullable=False),
    Column("waited", Number, nullable=False),
    sqlite_with_rowid=False,
)

capacity = Table(
    "usage_capacity",
    metadata,
    Column("day", Text, primary_key=True),
    Column("gpus", Number, nullable=False),
    Column("known", Number, nullable=False),
)

progress = Table(
    "usage_progress",
    metadata,
    Column("what", Text, primary_key=True),
    Column("until", Float, nullable=False),
)
