"""Who waits, who was told to give back, and quotas that were changed at run time."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_ACTIVE = sa.text("state IN ('waiting', 'started')")


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _float(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "queue",
        sa.Column("launch_id", sa.Text(), primary_key=True),
        *map(_text, ("user", "server", "state")),
        *map(_float, ("since", "created", "changed")),
        *map(_text, ("actor", "display_name")),
        _text("group", nullable=True),
        *map(_text, ("profile", "image")),
        _text("gpu_type", nullable=True),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("gpu_ids", sa.JSON()),
        *map(_float, ("cpu", "memory_gib")),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("reclaims", sa.Integer(), nullable=False),
        _float("not_before"),
        _float("claim_by", nullable=True),
        sa.Column("reason", sa.JSON()),
        _text("again_of"),
        *(_float(name, nullable=True) for name in ("told_earliest", "told_latest")),
        *(_float(name, nullable=True) for name in ("reckoned_earliest", "reckoned_latest", "started")),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    op.create_index(
        "one_entry_per_server",
        "queue",
        ["user", "server"],
        unique=True,
        sqlite_where=_ACTIVE,
        postgresql_where=_ACTIVE,
    )
    op.create_index("queue_by_state", "queue", ["state"])
    op.create_index("queue_by_start", "queue", ["started"])
    op.create_table(
        "notices",
        sa.Column("launch_id", sa.Text(), primary_key=True),
        *map(_float, ("at", "deadline")),
        *map(_text, ("entry", "state")),
        _float("changed"),
        _float("told", nullable=True),
    )
    op.create_table(
        "quota_changes",
        sa.Column("change_id", sa.Text(), primary_key=True),
        _float("at"),
        *map(_text, ("author", "reason", "part", "name", "resource")),
        _float("amount", nullable=True),
        sa.Column("added", sa.Boolean(), nullable=False),
        _float("start"),
        *(_float(name, nullable=True) for name in ("end", "undone")),
        _text("undone_by"),
    )
    op.create_table(
        "nudges",
        sa.Column("launch_id", sa.Text(), primary_key=True),
        _float("at"),
        *map(_text, ("entry", "user")),
    )
    op.add_column("reservations", _float("since", nullable=True))
    op.add_column("reservations", sa.Column("reclaims", sa.Integer()))


def downgrade() -> None:
    op.drop_column("reservations", "reclaims")
    op.drop_column("reservations", "since")
    for table in ("nudges", "quota_changes", "notices", "queue"):
        op.drop_table(table)
