"""Groups of consumers, templates for them, and what came of those.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "consumer_group",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("title", sa.String(), nullable=False),
    )
    op.create_table(
        "consumer_group_member",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("group", sa.String(), primary_key=True),
        sa.Column("member", sa.String(), primary_key=True),
        sa.Column("added_by", sa.String(), nullable=False),
        sa.Column("added_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "group"], ["consumer_group.owner", "consumer_group.name"], ondelete="CASCADE"
        ),
    )
    op.create_table(
        "template",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("group", sa.String(), nullable=False),
        sa.Column("federation_wide", sa.Boolean(), nullable=False),
        sa.Column("follow", sa.Boolean(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("approved_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_by", sa.String(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "template_member",
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("template", sa.String(), primary_key=True),
        sa.Column("member", sa.String(), primary_key=True),
        sa.ForeignKeyConstraint(["owner", "template"], ["template.owner", "template.name"]),
    )
    op.create_table(
        "template_agreement",
        sa.Column("hash", sa.LargeBinary(), sa.ForeignKey("agreement.hash"), primary_key=True),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("template", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["owner", "template"], ["template.owner", "template.name"]),
    )
