"""refusals are counted apart from the bytes that are kept of them, and what was taken in after all says so"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    refusals = op.create_table(
        "refusals",
        sa.Column("topic", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("lender_id", _row_id, nullable=True),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("kept", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["lender_id"], ["lenders.id"], name=op.f("fk_refusals_lender_id")),
        sa.PrimaryKeyConstraint("topic", "reason", name=op.f("pk_refusals")),
    )
    op.create_index(op.f("ix_refusals_lender_id"), "refusals", ["lender_id"])
    with op.batch_alter_table("quarantine", schema=None) as batch_op:
        batch_op.add_column(sa.Column("settled_ms", sa.BigInteger(), nullable=True))
        batch_op.add_column(sa.Column("outcome", sa.String(length=20), nullable=True))
        batch_op.create_index("ix_quarantine_topic_reason", ["topic", "reason"])
    with op.batch_alter_table("boots", schema=None) as batch_op:
        batch_op.add_column(sa.Column("implausible", sa.BigInteger(), server_default="0", nullable=False))
    kept = sa.table("quarantine", *map(sa.column, ("topic", "reason", "lender_id", "times", "first_ms", "last_ms")))
    columns = (
        sa.func.max(kept.c.lender_id),
        sa.func.sum(kept.c.times),
        sa.func.count(),
        sa.func.min(kept.c.first_ms),
        sa.func.max(kept.c.last_ms),
    )
    names = ["topic", "reason", "lender_id", "times", "kept", "first_ms", "last_ms"]
    known = sa.select(kept.c.topic, kept.c.reason, *columns).group_by(kept.c.topic, kept.c.reason)
    op.execute(sa.insert(refusals).from_select(names, known))
