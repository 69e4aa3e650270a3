"""Where agreements stand, the steps that led there, and revocations.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agreement_life",
        sa.Column("hash", sa.LargeBinary(), sa.ForeignKey("agreement.hash"), primary_key=True),
        sa.Column("life", sa.String(), nullable=False),
        sa.Column("counters", sa.LargeBinary()),
        sa.Column("note", sa.String(), nullable=False),
    )
    op.create_index("ix_agreement_life_life", "agreement_life", ["life"])
    op.create_table(
        "agreement_step",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("hash", sa.LargeBinary(), sa.ForeignKey("agreement.hash"), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("party", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger()),
    )
    op.create_index("ix_agreement_step_hash", "agreement_step", ["hash"])
    op.create_table(
        "revocation",
        sa.Column("hash", sa.LargeBinary(), sa.ForeignKey("agreement.hash"), primary_key=True),
        sa.Column("member", sa.String(), primary_key=True),
        sa.Column("revocation", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
    )
    # Before this version providers offered, and consumers signed or did not.
    op.execute(
        "INSERT INTO agreement_life (hash, life, note)"
        " SELECT hash, CASE WHEN length(consumer_signature) > 0 THEN 'agreed' ELSE 'offered' END,"
        " '' FROM agreement"
    )
