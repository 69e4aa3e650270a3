"""Parcels are found by peer and time, so that two nodes can compare what they have.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parcels", sa.Column("peer", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE parcels SET peer = (SELECT peer FROM links WHERE links.id = parcels.link)")
    op.create_index("parcels_peer", "parcels", ["peer", "sealed_at_ms"])
