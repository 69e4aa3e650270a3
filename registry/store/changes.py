"""The changes that nodes asked for and that were applied: which, when, and the hash of each."""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel

from registry.store.rows import BIG, BYTES
from security.identifiers import NodeId


class ChangeRow(SQLModel, table=True):
    """An applied change. A node's numbers are unique, and so a change is applied once."""

    __tablename__ = "changes"

    node: str = Field(primary_key=True, foreign_key="nodes.id")
    number: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    kind: str
    change_sha256: bytes = Field(sa_column=Column(BYTES, nullable=False))
    signature: bytes = Field(sa_column=Column(BYTES, nullable=False))
    made_at_ms: int = Field(sa_column=Column(BIG, nullable=False))
    applied_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def add(
    session: Session,
    node: NodeId,
    number: int,
    kind: str,
    evidence: tuple[bytes, bytes],
    times_ms: tuple[int, int],
) -> None:
    """Records an applied change.

    Args:
        session: The transaction that applies it.
        node: Who asked.
        number: The change's number.
        kind: Its name: `publish_service`.
        evidence: SHA-256 of the change's bytes, and the node's signature over them.
        times_ms: When it was made, and when applied.
    """
    session.add(
        ChangeRow(
            node=str(node),
            number=number,
            kind=kind,
            change_sha256=evidence[0],
            signature=evidence[1],
            made_at_ms=times_ms[0],
            applied_at_ms=times_ms[1],
        )
    )
    session.flush()
