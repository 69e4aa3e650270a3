"""Checkpoints, time stamps, and the tree's nodes that proofs are made from.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PAGE_LEAVES = 4096


def upgrade() -> None:
    op.create_table(
        "tree_nodes",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("level", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "checkpoints",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("size", sa.BigInteger(), primary_key=True),
        sa.Column("note", sa.LargeBinary(), nullable=False),
        sa.Column("signed_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("quorum_at_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("checkpoints_quorum", "checkpoints", ["slot", "quorum_at_ms", "size"])
    op.create_table(
        "timestamps",
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("size", sa.BigInteger(), primary_key=True),
        sa.Column("authority", sa.String(), primary_key=True),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("stamped_at_ms", sa.BigInteger(), nullable=False),
    )
    _nodes_of_what_is_there()


def _nodes_of_what_is_there() -> None:
    from security.merkle import Frontier
    from security.tiles import completed_nodes

    connection = op.get_bind()
    for (slot,) in connection.execute(sa.text("SELECT number FROM slots")).all():
        tree = Frontier()
        while True:
            page = connection.execute(
                sa.text(
                    "SELECT leaf_hash FROM parcels WHERE slot = :slot AND idx >= :low"
                    " AND idx < :high ORDER BY idx"
                ),
                {"slot": slot, "low": tree.size, "high": tree.size + PAGE_LEAVES},
            ).all()
            if len(page) == 0:
                break
            for (leaf,) in page:
                for node in completed_nodes(tree, bytes(leaf)):
                    connection.execute(
                        sa.text("INSERT INTO tree_nodes VALUES (:slot, :level, :idx, :hash)"),
                        {
                            "slot": slot,
                            "level": node.level,
                            "idx": node.index,
                            "hash": node.hash,
                        },
                    )
                tree = tree.append(bytes(leaf))
