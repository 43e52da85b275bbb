"""Of which kind a server is: a workbench, or a TensorBoard alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("reservations", sa.Column("kind", sa.Text()))


def downgrade() -> None:
    op.drop_column("reservations", "kind")
