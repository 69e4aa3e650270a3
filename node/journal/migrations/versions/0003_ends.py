"""Indexes of the calls that are open, and of those that were refused or lost.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name, columns, where in (
        ("calls_open", ["link"], sa.text("outcome = 0")),
        ("calls_outcome", ["outcome", "opened_at_ms"], sa.text("outcome > 1")),
    ):
        op.create_index(name, "calls", columns, sqlite_where=where, postgresql_where=where)
