"""Subsystems."""

from sqlmodel import Field, Session, SQLModel, col, select

from registry.model import Subsystem
from security.identifiers import MemberId, SubsystemId


class SubsystemRow(SQLModel, table=True):
    """An information system of a member."""

    __tablename__ = "subsystems"

    id: str = Field(primary_key=True)
    member: str = Field(foreign_key="members.id", index=True)
    name: str


def ensure(session: Session, subsystem: Subsystem) -> None:
    """Lists a subsystem, unless it is listed."""
    if session.get(SubsystemRow, str(subsystem.id)) is None:
        session.add(
            SubsystemRow(id=str(subsystem.id), member=str(subsystem.id.member), name=subsystem.name)
        )
        session.flush()


def of_member(session: Session, member: MemberId) -> tuple[Subsystem, ...]:
    """A member's subsystems, by id."""
    rows = session.exec(
        select(SubsystemRow)
        .where(col(SubsystemRow.member) == str(member))
        .order_by(col(SubsystemRow.id))
    )
    return tuple(Subsystem(SubsystemId.parse(row.id), row.name) for row in rows)
