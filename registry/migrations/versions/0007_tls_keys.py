"""Whose each certified TLS key is."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "tls_keys",
        sa.Column("key_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("first_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_sha256"),
    )
