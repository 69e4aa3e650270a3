"""Calls are found by this node's side of them, and by peer, through their terms.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SAID = ("consumer", "provider", "service", "method", "agreement", "purpose")


def upgrade() -> None:
    op.execute("CREATE TEMPORARY TABLE old_terms AS SELECT * FROM terms")
    # Every call is looked up in it.
    op.execute("CREATE UNIQUE INDEX old_terms_id ON old_terms (id)")
    op.drop_table("terms")
    op.create_table(
        "terms",
        sa.Column("id", KEY, primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SAID),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("peer", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint(*SAID, "role", "peer"),
    )
    said = ", ".join(SAID)
    # All of it is ours: names of our tables and their columns.
    op.execute(
        f"INSERT INTO terms ({said}, role, peer) "  # noqa: S608
        f"SELECT DISTINCT {', '.join(f'old_terms.{name}' for name in SAID)}, calls.role, "
        "COALESCE(links.peer, 0) FROM calls JOIN old_terms ON old_terms.id = calls.terms "
        "LEFT JOIN links ON links.id = calls.link"
    )
    same = " AND ".join(f"terms.{name} = old_terms.{name}" for name in SAID)
    op.execute(
        "UPDATE calls SET terms = (SELECT terms.id FROM old_terms "  # noqa: S608
        f"JOIN terms ON {same} WHERE old_terms.id = calls.terms AND terms.role = calls.role "
        "AND terms.peer = COALESCE((SELECT peer FROM links WHERE links.id = calls.link), 0))"
    )
    op.execute("DROP TABLE old_terms")
