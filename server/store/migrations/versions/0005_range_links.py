"""how each received range begins and ends in the chain of its boot: a batch is checked without reading others"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    with op.batch_alter_table("received_ranges", schema=None) as batch_op:
        batch_op.add_column(sa.Column("first_link", sa.LargeBinary(), nullable=True))
        batch_op.add_column(sa.Column("last_link", sa.LargeBinary(), nullable=True))
