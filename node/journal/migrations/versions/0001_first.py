"""The first schema.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "slots",
        sa.Column("number", sa.SmallInteger(), primary_key=True),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("fencing", sa.BigInteger(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "names",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.UniqueConstraint("text"),
    )
    op.create_table(
        "links",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("link_id", sa.LargeBinary(), nullable=False),
        sa.Column("end", sa.SmallInteger(), nullable=False),
        sa.Column("peer", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("link_id", "end"),
    )
    _parcels()
    _calls()


def _parcels() -> None:
    op.create_table(
        "parcels",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("link", sa.BigInteger(), nullable=False),
        sa.Column("member", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("sealed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.Column("header_hash", sa.LargeBinary(), nullable=False),
        sa.Column("entry_count", sa.Integer(), nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("entries", sa.LargeBinary(), nullable=False),
        sa.UniqueConstraint("link", "direction", "number"),
    )
    op.create_table(
        "salts",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("salts", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )


def _calls() -> None:
    op.create_table(
        "terms",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("consumer", sa.BigInteger(), nullable=False),
        sa.Column("provider", sa.BigInteger(), nullable=False),
        sa.Column("service", sa.BigInteger(), nullable=False),
        sa.Column("method", sa.BigInteger(), nullable=False),
        sa.Column("agreement", sa.BigInteger(), nullable=False),
        sa.Column("purpose", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("consumer", "provider", "service", "method", "agreement", "purpose"),
    )
    op.create_table(
        "calls",
        sa.Column("id", KEY, primary_key=True),
        sa.Column("call_id", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("terms", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("code", sa.BigInteger(), nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("closed_at_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("calls_call_id", "calls", ["call_id"])
    op.create_index("calls_opened", "calls", ["opened_at_ms"])
    op.create_index("calls_terms", "calls", ["terms", "opened_at_ms"])
    for column in ("status", "code"):
        failed = sa.text(f"{column} <> 0")
        op.create_index(
            f"calls_{column}",
            "calls",
            [column, "opened_at_ms"],
            sqlite_where=failed,
            postgresql_where=failed,
        )
    op.create_table(
        "call_entries",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("entry_no", sa.SmallInteger(), primary_key=True),
        sa.Column("call", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("call_entries_call", "call_entries", ["call"])
