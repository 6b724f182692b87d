"""re-timing: which run of a unit's monotonic clock records belong to, and how it is tied to UTC"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "retimings",
        sa.Column("unit_id", row_id, nullable=False),
        sa.Column("kernel_boot", sa.BigInteger(), nullable=False),
        sa.Column("lender_id", row_id, nullable=False),
        sa.Column("offset_ms", sa.BigInteger(), nullable=False),
        sa.Column("at_mono_ms", sa.BigInteger(), nullable=False),
        sa.Column("uncertainty_ms", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Integer(), nullable=False),
        sa.Column("batch_id", row_id, nullable=False),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.Column("contradictions", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("other_offset_ms", sa.BigInteger(), nullable=True),
        sa.Column("other_batch_id", row_id, nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_retimings_batch_id")),
        sa.ForeignKeyConstraint(["lender_id"], ["lenders.id"], name=op.f("fk_retimings_lender_id")),
        sa.ForeignKeyConstraint(["other_batch_id"], ["batches.id"], name=op.f("fk_retimings_other_batch_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("fk_retimings_unit_id")),
        sa.PrimaryKeyConstraint("unit_id", "kernel_boot", name=op.f("pk_retimings")),
    )
    op.create_index("ix_retimings_lender_id", "retimings", ["lender_id"])

    op.add_column("batches", sa.Column("kernel_boot", sa.BigInteger(), nullable=True))
    op.add_column("batches", sa.Column("timeless", sa.Integer(), server_default="0", nullable=False))
    some = sa.text("timeless > 0")
    op.create_index(
        "ix_batches_timeless", "batches", ["unit_id", "kernel_boot"], postgresql_where=some, sqlite_where=some
    )
    op.add_column("events", sa.Column("mono_ms", sa.BigInteger(), nullable=True))
    op.add_column("events", sa.Column("time_quality", sa.Integer(), nullable=True))
    op.add_column("events", sa.Column("uncertainty_ms", sa.BigInteger(), nullable=True))
    op.create_index("ix_events_batch", "events", ["batch_id"])
