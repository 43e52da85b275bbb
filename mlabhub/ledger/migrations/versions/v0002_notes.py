"""What there is to say about a server that runs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("reservations", sa.Column("notes", sa.JSON()))


def downgrade() -> None:
    op.drop_column("reservations", "notes")
