"""The audit is searched: by time, by actor, by act, and by text. What is older is searched by its parts."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("audit", sa.Column("searched", sa.Text()))
    op.create_index("audit_by_time", "audit", ["at", "number"])
    op.create_index("audit_of_actor", "audit", ["actor", "number"])
    op.create_index("audit_of_act", "audit", ["act", "number"])


def downgrade() -> None:
    for index in ("audit_of_act", "audit_of_actor", "audit_by_time"):
        op.drop_index(index, "audit")
    op.drop_column("audit", "searched")
