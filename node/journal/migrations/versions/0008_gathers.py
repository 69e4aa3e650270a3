"""Calls of one gather are found by its id.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("calls", sa.Column("gather", sa.LargeBinary(), nullable=True))
    op.add_column("calls", sa.Column("region", sa.BigInteger(), nullable=False, server_default="0"))
    where = sa.text("gather IS NOT NULL")
    op.create_index("calls_gather", "calls", ["gather"], sqlite_where=where, postgresql_where=where)
