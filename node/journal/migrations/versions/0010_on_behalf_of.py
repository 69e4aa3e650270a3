"""Calls in the name of another member are found by it, through their terms.

Revision ID: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SAID = ("consumer", "provider", "service", "method", "agreement", "purpose")
SIDE = ("role", "peer")


def upgrade() -> None:
    # SQLite can't change a constraint in place; the table has few rows.
    op.execute("CREATE TEMPORARY TABLE old_terms AS SELECT * FROM terms")
    op.drop_table("terms")
    op.create_table(
        "terms",
        sa.Column("id", KEY, primary_key=True),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SAID),
        sa.Column("on_behalf_of", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("peer", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint(*SAID, "on_behalf_of", *SIDE),
    )
    kept = ", ".join(("id", *SAID, *SIDE))
    # All of it is ours: names of our table and its columns.
    op.execute(
        f"INSERT INTO terms ({kept}, on_behalf_of) SELECT {kept}, 0 FROM old_terms"  # noqa: S608
    )
    op.execute("DROP TABLE old_terms")
    if op.get_bind().dialect.name == "postgresql":
        # The ids were copied, so the sequence doesn't know of them.
        op.execute(
            "SELECT setval(pg_get_serial_sequence('terms', 'id'), "
            "GREATEST((SELECT max(id) FROM terms), 1))"
        )
