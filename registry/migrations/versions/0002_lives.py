"""The lives of members and nodes: contacts, events, dated regions, requests that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("members") as table:
        table.add_column(sa.Column("likeness", sa.String(), nullable=False, server_default=""))
        table.create_index("ix_members_likeness", ["likeness"])
    with op.batch_alter_table("member_regions") as table:
        for name in ("predecessors", "successors"):
            table.add_column(sa.Column(name, sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("subsystems") as table:
        table.add_column(sa.Column("state", sa.String(), nullable=False, server_default="active"))
    with op.batch_alter_table("tokens") as table:
        table.add_column(
            sa.Column("hosts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_table(
        "member_contacts",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("phone", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["members.id"]),
        sa.PrimaryKeyConstraint("member", "kind"),
    )
    op.create_table(
        "life_events",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["members.id"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(op.f("ix_life_events_member"), "life_events", ["member"], unique=False)
    op.create_table(
        "successions",
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("statement", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["members.id"]),
        sa.PrimaryKeyConstraint("member", "number"),
    )
    op.create_table(
        "seal_key_requests",
        sa.Column("key_id", sa.LargeBinary(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=False),
        sa.Column("made_at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["members.id"]),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"]),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index(
        op.f("ix_seal_key_requests_member"), "seal_key_requests", ["member"], unique=False
    )
    op.create_table(
        "waiting_changes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("received_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("decided_at_ms", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("node", "number"),
    )
