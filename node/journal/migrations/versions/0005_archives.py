"""What was archived and dropped, and what stays of it.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dropped",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("first", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "leaf_tiles",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "link_tails",
        sa.Column("link", sa.BigInteger(), primary_key=True),
        sa.Column("direction", sa.SmallInteger(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("header_hash", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "cut_calls",
        sa.Column("call", sa.BigInteger(), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "archives",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("first", sa.BigInteger(), primary_key=True),
        sa.Column("end_idx", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("archived_at_ms", sa.BigInteger(), nullable=False),
    )
