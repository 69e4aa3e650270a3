"""How often agreements were used today.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "day_count",
        sa.Column("key", sa.LargeBinary(), primary_key=True),
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
    )
