"""Contracts' cards, their numbered revisions, and submissions about them.

Contracts that services brought before get a card each: revision by revision in the order in which
they came, owned by whoever published the first, as drafts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

# simpul.v1.ContractTerms with `maturity` DRAFT and nothing else.
_DRAFT = b"\x18\x01"


def upgrade() -> None:
    op.create_table(
        "contract_cards",
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["owner"], ["members.id"]),
        sa.PrimaryKeyConstraint("package"),
    )
    op.create_table(
        "contract_revisions",
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("publisher", sa.String(), nullable=False),
        sa.Column("published_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("descriptor_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("comments", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["package"], ["contract_cards.package"]),
        sa.ForeignKeyConstraint(["publisher"], ["members.id"]),
        sa.PrimaryKeyConstraint("package", "number"),
    )
    op.create_index(
        op.f("ix_contracts_descriptor_sha256"), "contracts", ["descriptor_sha256"], unique=False
    )
    _create_submissions()
    _number_what_is_there()


def _create_submissions() -> None:
    op.create_table(
        "contract_submissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("package", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("change_number", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("change", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("submitted_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.LargeBinary(), nullable=False),
        sa.Column("why_not", sa.String(), nullable=False),
        sa.Column("waits_because", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["member"], ["members.id"]),
        sa.ForeignKeyConstraint(["node"], ["nodes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("node", "change_number"),
    )
    for column in ("package", "member", "state"):
        name = op.f(f"ix_contract_submissions_{column}")
        op.create_index(name, "contract_submissions", [column], unique=False)
    op.create_table(
        "contract_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("submission", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("by_registry", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["submission"], ["contract_submissions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        op.f("ix_contract_events_submission"), "contract_events", ["submission"], unique=False
    )


def _number_what_is_there() -> None:
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT service, descriptor_sha256, publisher, published_at_ms FROM contracts "
            "ORDER BY published_at_ms, service, descriptor_sha256"
        )
    ).all()
    found: dict[str, dict[bytes, tuple[str, int]]] = {}
    for service, sha256, publisher, at_ms in rows:
        package = service.rpartition(".")[0]
        found.setdefault(package, {}).setdefault(bytes(sha256), (publisher, at_ms))
    for package, revisions in found.items():
        owner = next(iter(revisions.values()))[0]
        connection.execute(
            sa.text("INSERT INTO contract_cards VALUES (:package, 1, :owner, :terms)"),
            {"package": package, "owner": owner, "terms": _DRAFT},
        )
        for number, (sha256, (publisher, at_ms)) in enumerate(revisions.items(), 1):
            connection.execute(
                sa.text(
                    "INSERT INTO contract_revisions VALUES "
                    "(:package, :number, :publisher, :at_ms, :sha256, :comments)"
                ),
                {
                    "package": package, "number": number, "publisher": publisher,
                    "at_ms": at_ms, "sha256": sha256, "comments": b"",
                },
            )  # fmt: skip
