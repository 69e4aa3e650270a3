"""What is compared of dropped parcels stays in the journal.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# The end of the year 9999: nobody remembers when the last was recorded.
NEVER_MS = 253_402_300_799_999


def upgrade() -> None:
    op.create_table(
        "dropped_parcels",
        sa.Column("peer", sa.BigInteger(), primary_key=True),
        sa.Column("hour", sa.BigInteger(), primary_key=True),
        sa.Column("slot", sa.SmallInteger(), primary_key=True),
        sa.Column("idx", sa.BigInteger(), primary_key=True),
        sa.Column("link", sa.BigInteger(), nullable=False),
        sa.Column("direction", sa.SmallInteger(), nullable=False),
        sa.Column("parcels", sa.LargeBinary(), nullable=False),
    )
    op.add_column(
        "dropped",
        sa.Column("unhashed_before_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )
    # What was dropped was recorded before what is left of its slot.
    op.execute(
        "UPDATE dropped SET unhashed_before_ms = COALESCE("  # noqa: S608
        "(SELECT recorded_at_ms FROM parcels "
        'WHERE parcels.slot = dropped.slot AND parcels.idx = dropped."first"), '
        "(SELECT max(last_at_ms) FROM archives "
        'WHERE archives.slot = dropped.slot AND archives.end_idx >= dropped."first"), '
        f'{NEVER_MS}) WHERE "first" > 0'
    )
