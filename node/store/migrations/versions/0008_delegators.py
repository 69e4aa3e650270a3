"""Whose each delegation is, and until when: by which they are counted, and dropped.

Revision ID: 0008
"""

import sqlalchemy as sa
from alembic import op

from security.delegation import parse_delegation

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "delegation", sa.Column("delegator", sa.String(), nullable=False, server_default="")
    )
    op.add_column(
        "delegation",
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_index("ix_delegation_delegator", "delegation", ["delegator"])
    connection = op.get_bind()
    for hash_, data in connection.execute(sa.text("SELECT hash, delegation FROM delegation")).all():
        terms = parse_delegation(data)
        connection.execute(
            sa.text(
                "UPDATE delegation SET delegator = :delegator, valid_until_ms = :until "
                "WHERE hash = :hash"
            ),
            {
                "delegator": str(terms.delegator.member),
                "until": terms.valid_until_ms,
                "hash": hash_,
            },
        )
