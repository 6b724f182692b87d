"""commands to units"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "commands",
        sa.Column("id", row_id, autoincrement=True, nullable=False),
        sa.Column("lender_id", row_id, nullable=False),
        sa.Column("unit_id", row_id, nullable=False),
        sa.Column("vehicle_id", row_id, nullable=True),
        sa.Column("user_id", row_id, nullable=True),
        sa.Column("batch_id", row_id, nullable=True),
        sa.Column("command_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("issued_by", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=True),
        sa.Column("next_send_ms", sa.BigInteger(), nullable=True),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("answer", sa.String(length=300), server_default="", nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_commands_batch_id")),
        sa.ForeignKeyConstraint(["lender_id"], ["lenders.id"], name=op.f("fk_commands_lender_id")),
        sa.ForeignKeyConstraint(["unit_id"], ["units.id"], name=op.f("fk_commands_unit_id")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_commands_user_id")),
        sa.ForeignKeyConstraint(["vehicle_id"], ["vehicles.id"], name=op.f("fk_commands_vehicle_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
        sa.UniqueConstraint("command_id", name=op.f("uq_commands_command_id")),
    )
    with op.batch_alter_table("commands", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_commands_lender_id"), ["lender_id"], unique=False)
        batch_op.create_index("ix_commands_next_send_ms", ["next_send_ms"], unique=False)
        batch_op.create_index("ix_commands_unit", ["unit_id", "id"], unique=False)
        batch_op.create_index("ix_commands_vehicle", ["vehicle_id", "id"], unique=False)
