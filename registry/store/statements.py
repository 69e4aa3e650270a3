"""What leads from one statement to the next: successions, and nodes' requests to be listed."""

from sqlalchemy import Column, delete
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG, BYTES
from security.identifiers import MemberId, NodeId


class SuccessionRow(SQLModel, table=True):
    """A statement by which a member's identity key changed. Kept for ever: pins follow it."""

    __tablename__ = "successions"

    member: str = Field(primary_key=True, foreign_key="members.id")
    number: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    # A SignedStatement.
    statement: bytes = Field(sa_column=Column(BYTES, nullable=False))


class SealKeyRequestRow(SQLModel, table=True):
    """A node's request that waits for the member's next statement."""

    __tablename__ = "seal_key_requests"

    key_id: bytes = Field(sa_column=Column(BYTES, primary_key=True))
    member: str = Field(foreign_key="members.id", index=True)
    node: str = Field(foreign_key="nodes.id")
    # A SignedSealKeyRequest.
    request: bytes = Field(sa_column=Column(BYTES, nullable=False))
    made_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def add_succession(session: Session, member: MemberId, number: int, statement: bytes) -> None:
    """Keeps a statement by which the identity key changed."""
    session.add(SuccessionRow(member=str(member), number=number, statement=statement))


def successions(session: Session, member: MemberId) -> tuple[bytes, ...]:
    """A member's successions, the oldest first."""
    query = select(SuccessionRow).where(col(SuccessionRow.member) == str(member))
    rows = session.exec(query.order_by(col(SuccessionRow.number)))
    return tuple(row.statement for row in rows)


def put_request(session: Session, row: SealKeyRequestRow) -> None:
    """Keeps a request, in place of an earlier one of the same node for the same member."""
    drop_requests(session, node=NodeId.parse(row.node), member=MemberId.parse(row.member))
    session.add(row)
    session.flush()


def requests(session: Session, member: MemberId) -> tuple[SealKeyRequestRow, ...]:
    """The requests that wait for a member's next statement, the oldest first."""
    query = select(SealKeyRequestRow).where(col(SealKeyRequestRow.member) == str(member))
    order = (col(SealKeyRequestRow.made_at_ms), col(SealKeyRequestRow.key_id))
    return tuple(session.exec(query.order_by(*order)))


def members_asked(session: Session, node: NodeId) -> tuple[MemberId, ...]:
    """The members whose next statement a node asks to be in."""
    query = select(SealKeyRequestRow.member).where(col(SealKeyRequestRow.node) == str(node))
    return tuple(map(MemberId.parse, session.exec(query)))


def drop_requests(session: Session, *, node: NodeId, member: MemberId | None = None) -> None:
    """Forgets a node's requests, for one member or for all."""
    statement = delete(SealKeyRequestRow).where(col(SealKeyRequestRow.node) == str(node))
    if member is not None:
        statement = statement.where(col(SealKeyRequestRow.member) == str(member))
    session.exec(statement)


def drop_request(session: Session, key_id: bytes) -> None:
    """Forgets the request for one key."""
    session.exec(delete(SealKeyRequestRow).where(col(SealKeyRequestRow.key_id) == key_id))
