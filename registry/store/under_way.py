"""What a registry has begun to change and not yet published, so that another finishes it.

A registry may die after a change is committed and before it is published, and the one that shares
its database knows nothing of it. So each leaves a mark before it begins, and takes it away when all
is published; an old mark says: compare everything.
"""

from sqlalchemy import Column, delete
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BIG


class UnderWayRow(SQLModel, table=True):
    """The mark of one request."""

    __tablename__ = "under_way"

    id: str = Field(primary_key=True)
    begun_at_ms: int = Field(sa_column=Column(BIG, nullable=False))


def begin(session: Session, mark: str, now_ms: int) -> None:
    """Leaves a mark."""
    session.add(UnderWayRow(id=mark, begun_at_ms=now_ms))


def end(session: Session, *marks: str) -> None:
    """Takes marks away; one that is gone already is no error."""
    session.exec(delete(UnderWayRow).where(col(UnderWayRow.id).in_(marks)))


def begun_before(session: Session, at_ms: int) -> tuple[str, ...]:
    """The marks that are older."""
    query = select(UnderWayRow.id).where(col(UnderWayRow.begun_at_ms) < at_ms)
    return tuple(session.exec(query.order_by(col(UnderWayRow.begun_at_ms))))
