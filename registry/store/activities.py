"""Processing activities: every version that a member published. None is changed or dropped."""

from sqlalchemy import Column
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import BYTES
from security.identifiers import MemberId


class ActivityRow(SQLModel, table=True):
    """One version. `content` is a simpul.v1.Activity."""

    __tablename__ = "activities"

    member: str = Field(primary_key=True, foreign_key="members.id")
    id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    content: bytes = Field(sa_column=Column(BYTES, nullable=False))


def add(session: Session, member: MemberId, id_: str, version: int, content: bytes) -> None:
    """Keep a version."""
    session.add(ActivityRow(member=str(member), id=id_, version=version, content=content))
    session.flush()


def of_member(session: Session, member: MemberId) -> tuple[bytes, ...]:
    """A member's activities, by id and version."""
    query = select(ActivityRow).where(col(ActivityRow.member) == str(member))
    rows = session.exec(query.order_by(col(ActivityRow.id), col(ActivityRow.version)))
    return tuple(row.content for row in rows)
