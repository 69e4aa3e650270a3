"""The register of consents.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consent",
        sa.Column("reference", sa.String(), primary_key=True),
        sa.Column("subject_tag", sa.LargeBinary(), nullable=False),
        sa.Column("consumer", sa.String(), nullable=False),
        sa.Column("service_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("valid_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at_ms", sa.BigInteger()),
    )
    op.create_index("ix_consent_subject_tag", "consent", ["subject_tag"])
    op.create_index("ix_consent_recorded_at_ms", "consent", ["recorded_at_ms"])
