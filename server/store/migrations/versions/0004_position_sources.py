"""where a vehicle's last position came from, and how rough it is"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("vehicle_states", schema=None) as batch_op:
        batch_op.add_column(sa.Column("position_source", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("position_accuracy_m", sa.Float(), nullable=True))
