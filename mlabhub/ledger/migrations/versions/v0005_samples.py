"""How busy servers were: ticks, hours, days."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def _float(name: str, *, primary_key: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(), nullable=False, primary_key=primary_key)


def upgrade() -> None:
    op.create_table("sample_ticks", _float("t", primary_key=True), sa.Column("lines", sa.LargeBinary(), nullable=False))
    op.create_table(
        "sample_chunks",
        sa.Column("launch_id", sa.Text(), primary_key=True),
        _float("begin", primary_key=True),
        _float("step"),
        sa.Column("server", sa.Text(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
    )
    op.create_index("sample_chunks_by_time", "sample_chunks", ["begin"])
    op.create_index("sample_chunks_of_server", "sample_chunks", ["server", "begin"])
    op.create_table(
        "sample_days",
        sa.Column("server", sa.Text(), primary_key=True),
        _float("day", primary_key=True),
        *(_float(name) for name in ("gpu_s", "known_s", "used_s", "core_s", "cores_known_s")),
    )
    op.create_index("sample_days_by_time", "sample_days", ["day"])


def downgrade() -> None:
    for name in ("sample_days", "sample_chunks", "sample_ticks"):
        op.drop_table(name)
