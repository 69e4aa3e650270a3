"""The audit trail's leaves, and the frontier of the tree over them. Append only."""

from sqlalchemy import Column, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG, BYTES, swap
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash

_ONLY = 1


class AuditEntryRow(SQLModel, table=True):
    """One leaf, as it was hashed. Numbers run from 0 without gaps."""

    __tablename__ = "audit_entries"

    number: int = Field(sa_column=Column(BIG, primary_key=True, autoincrement=False))
    leaf: bytes = Field(sa_column=Column(BYTES, nullable=False))


class AuditHeadRow(SQLModel, table=True):
    """The one row that says how large the tree is, and what is needed to append to it."""

    __tablename__ = "audit_head"

    id: int = Field(primary_key=True)
    size: int = Field(sa_column=Column(BIG, nullable=False))
    frontier: bytes = Field(sa_column=Column(BYTES, nullable=False))


def append(session: Session, leaf: bytes) -> int:
    """Adds a leaf; returns its number.

    Raises:
        SimpulError: CONFLICT, when another one was added meanwhile.
    """
    before = head(session)
    after = before.append(leaf_hash(leaf))
    session.add(AuditEntryRow(number=before.size, leaf=leaf))
    if before.size == 0:
        session.add(AuditHeadRow(id=_ONLY, size=after.size, frontier=after.to_bytes()))
    else:
        statement = (
            update(AuditHeadRow)
            .where(col(AuditHeadRow.id) == _ONLY, col(AuditHeadRow.size) == before.size)
            .values(size=after.size, frontier=after.to_bytes())
        )
        conflict = SimpulError(Code.CONFLICT, "another entry of the audit trail came first")
        swap(session, statement, conflict)
    session.flush()
    return before.size


def head(session: Session) -> Frontier:
    """The tree's frontier."""
    row = session.get(AuditHeadRow, _ONLY)
    return Frontier() if row is None else Frontier.from_bytes(row.frontier)


def leaves(session: Session, start: int, count: int) -> tuple[tuple[int, bytes], ...]:
    """Up to `count` leaves from number `start` on, with their numbers."""
    query = (
        select(AuditEntryRow)
        .where(col(AuditEntryRow.number) >= start)
        .order_by(col(AuditEntryRow.number))
        .limit(count)
    )
    return tuple((row.number, row.leaf) for row in session.exec(query))
