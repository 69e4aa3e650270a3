"""Kept payloads and private blocks, persons, erasures.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "kept_keys",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("entry_no", sa.SmallInteger(), primary_key=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
    )
    op.create_index("kept_keys_secret", "kept_keys", ["secret"])
    op.create_table(
        "kept_parts",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("entry_no", sa.SmallInteger(), primary_key=True),
        sa.Column("part", sa.SmallInteger(), primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "call_persons",
        sa.Column("tag", sa.LargeBinary(), primary_key=True),
        sa.Column("opened_at_ms", sa.BigInteger(), primary_key=True),
        sa.Column("call", sa.BigInteger(), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("call_persons_call", "call_persons", ["call"])
    _erasures()
    if op.get_bind().dialect.name == "sqlite":
        _salts_in_order_of_their_coming()


def _salts_in_order_of_their_coming() -> None:
    """Salts get a rowid, so that no later row ever moves an earlier one."""
    op.rename_table("salts", "old_salts")
    op.create_table(
        "salts",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("salts", sa.LargeBinary(), nullable=False),
    )
    op.execute("INSERT INTO salts SELECT slot, idx, salts FROM old_salts")
    op.drop_table("old_salts")


def _erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("call_id", sa.LargeBinary(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("entries", sa.Integer(), nullable=False),
    )
    op.create_index("erasures_call", "erasures", ["call_id"])
    op.create_table(
        "erasure_tellings",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("erasure", sa.BigInteger(), nullable=False),
        sa.Column("peer", sa.String(), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("receiver", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("next_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("told_at_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("erasure_tellings_due", "erasure_tellings", ["told_at_ms", "next_at_ms"])
    op.create_table(
        "erasure_notices",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("call_id", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("erased_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("heard_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("settled_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("settled", sa.String(), nullable=False),
        sa.UniqueConstraint("call_id", "member"),
    )
