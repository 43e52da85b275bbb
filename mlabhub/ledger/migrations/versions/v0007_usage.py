"""GPU time by day."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), primary_key=True)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False)


def upgrade() -> None:
    op.create_table(
        "usage_days",
        *map(_key, ("user", "day", "group", "profile")),
        *map(_number, ("held", "used", "idle", "waited")),
        sqlite_with_rowid=False,
    )
    op.create_table("usage_capacity", _key("day"), *map(_number, ("gpus", "known")))
    op.create_table("usage_progress", _key("what"), sa.Column("until", sa.Float(), nullable=False))


def downgrade() -> None:
    for table in ("usage_progress", "usage_capacity", "usage_days"):
        op.drop_table(table)
