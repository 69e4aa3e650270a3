"""Delegations, their ends, and those that agreements rest on.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Before this version agreements had no delegator.
    for name in ("delegation", "delegator_signature"):
        op.add_column(
            "agreement",
            sa.Column(name, sa.LargeBinary(), nullable=False, server_default=sa.text("x''")),
        )
    op.create_table(
        "delegation",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("delegation", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger()),
    )
    op.create_table(
        "delegation_end",
        sa.Column("hash", sa.LargeBinary(), sa.ForeignKey("delegation.hash"), primary_key=True),
        sa.Column("revocation", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger()),
    )
