"""The first schema: reservations, audit, stored answers, numbers of users and groups."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


number = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "reservations",
        sa.Column("launch_id", sa.Text(), primary_key=True),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("deadline", sa.Float(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("group", sa.Text()),
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("gpu_type", sa.Text()),
        sa.Column("gpus", sa.JSON(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=False),
        sa.Column("memory_gib", sa.Float(), nullable=False),
        sa.Column("options", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON()),
        sa.Column("redeemed", sa.Float()),
        sa.Column("held", sa.Float()),
        sa.Column("ready", sa.Float()),
        sa.Column("released", sa.Float()),
        sa.Column("failure", sa.JSON()),
    )
    active = sa.text("state != 'released'")
    op.create_index(
        "one_active_per_server",
        "reservations",
        ["user", "server"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_index("released_lately", "reservations", ["released"])
    op.create_table(
        "audit",
        sa.Column("number", number, primary_key=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("message", sa.JSON(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("launch_id", sa.Text(), nullable=False),
    )
    op.create_index("audit_of_user", "audit", ["user", "number"])
    op.create_table(
        "answers",
        sa.Column("actor", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
    )
    op.create_index("answers_by_age", "answers", ["created"])
    op.create_table(
        "ids",
        sa.Column("kind", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("number", number, nullable=False),
        sa.UniqueConstraint("kind", "number", name="one_owner_per_number"),
    )


def downgrade() -> None:
    for table in ("ids", "answers", "audit", "reservations"):
        op.drop_table(table)
