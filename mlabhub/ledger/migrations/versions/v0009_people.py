"""People: accounts that were closed, and until when their files are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "closed_accounts",
        sa.Column("user", sa.Text(), primary_key=True, nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in ("at", "keep_until")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("actor", "reason", "state")),
        sa.Column("changed", sa.Float(), nullable=False),
        sa.Column("quota_changes", sa.JSON(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("closed_accounts")
