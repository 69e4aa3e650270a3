"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("hash", sa.LargeBinary(), primary_key=True),
        sa.Column("agreement", sa.LargeBinary(), nullable=False),
        sa.Column("provider_signature", sa.LargeBinary(), nullable=False),
        sa.Column("consumer_signature", sa.LargeBinary(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("consumer", sa.String(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_agreement_provider", "agreement", ["provider"])
    op.create_index("ix_agreement_consumer", "agreement", ["consumer"])
    op.create_table(
        "pinned_identity",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("member", sa.String(), primary_key=True),
        sa.Column("identity_key_id", sa.LargeBinary(), primary_key=True),
        sa.Column("identity_key", sa.LargeBinary(), nullable=False),
        sa.Column("pinned_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at_ms", sa.BigInteger()),
    )
    op.create_table(
        "app",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("token_sha256", sa.LargeBinary(), unique=True),
        sa.Column("certificate_sha256", sa.LargeBinary(), unique=True),
        sa.Column("expires_at_ms", sa.BigInteger()),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "app_subsystem",
        sa.Column(
            "app", sa.String(), sa.ForeignKey("app.name", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("subsystem", sa.String(), primary_key=True),
    )
    op.create_table(
        "route",
        sa.Column("service_id", sa.String(), primary_key=True),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("routed_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "change_number",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "directory_floor",
        sa.Column("role", sa.String(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "directory_floor_state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("timestamp_keys", sa.String(), nullable=False),
        sa.Column("snapshot_keys", sa.String(), nullable=False),
        sa.Column("issued_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("snapshot_hash", sa.LargeBinary(), nullable=False),
    )
