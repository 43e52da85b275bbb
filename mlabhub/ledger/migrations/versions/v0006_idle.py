"""Idleness: warnings and their delivery, what is kept, what a dry run would have stopped, what gave its GPUs back."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def _text(name: str, *, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, primary_key=primary_key)


def _float(name: str, *, nullable: bool = False, primary_key: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=nullable, primary_key=primary_key)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "idle_warnings",
        _text("launch_id", primary_key=True),
        _float("at"),
        _float("told", nullable=True),
        _text("way"),
        _count("reminded"),
        _text("state"),
        _float("changed"),
    )
    op.create_table(
        "keepings",
        _text("launch_id", primary_key=True),
        _float("at", primary_key=True),
        _float("until"),
        *map(_text, ("by", "reason")),
    )
    op.create_index("keepings_by_time", "keepings", ["at"])
    op.create_table(
        "would_stops",
        _text("launch_id", primary_key=True),
        _float("at", primary_key=True),
        *map(_text, ("user", "server")),
        _count("gpus"),
        sa.Column("reason", sa.JSON(), nullable=False),
        *(_float(name, nullable=True) for name in ("again", "ended")),
    )
    op.create_index("would_stops_by_time", "would_stops", ["at"])
    op.create_table(
        "shelved",
        *(_text(name, primary_key=True) for name in ("user", "server")),
        _text("launch_id"),
        *map(_float, ("at", "until")),
        _text("state"),
        _float("changed"),
        _text("actor"),
        sa.Column("reason", sa.JSON(none_as_null=True)),
        _text("rescue"),
        sa.Column("options", sa.JSON(), nullable=False),
        _text("display_name"),
        sa.Column("fault", sa.JSON(none_as_null=True)),
        _count("attempts"),
    )


def downgrade() -> None:
    for table in ("shelved", "would_stops", "keepings", "idle_warnings"):
        op.drop_table(table)
