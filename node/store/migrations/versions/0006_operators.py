"""Operators and their roles, by member.

Revision ID: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operator_role",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("member", sa.String(), primary_key=True),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
    )
    op.create_index("ix_operator_role_uid", "operator_role", ["uid"])
