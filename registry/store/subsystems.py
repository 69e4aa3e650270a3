"""Subsystems."""

from collections.abc import Iterable

from sqlalchemy import update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.life import Standing
from registry.model import Subsystem
from registry.store.rows import swap
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId


class SubsystemRow(SQLModel, table=True):
    """An information system of a member."""

    __tablename__ = "subsystems"

    id: str = Field(primary_key=True)
    member: str = Field(foreign_key="members.id", index=True)
    name: str
    state: str


def add(session: Session, subsystem: Subsystem) -> None:
    """Lists a new subsystem.

    Raises:
        SimpulError: ALREADY_EXISTS.
    """
    if find(session, subsystem.id) is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS, f"{subsystem.id} is listed already: choose another name"
        )
    add_all(session, (subsystem,))


def add_all(session: Session, new: Iterable[Subsystem]) -> None:
    """Lists subsystems of which none is listed, which isn't asked here."""
    session.add_all(
        SubsystemRow(id=str(item.id), member=str(item.id.member), name=item.name, state=item.state)
        for item in new
    )
    session.flush()


def find(session: Session, subsystem: SubsystemId) -> Subsystem | None:
    """The subsystem, or None."""
    row = session.get(SubsystemRow, str(subsystem))
    return None if row is None else _subsystem(row)


def get(session: Session, subsystem: SubsystemId) -> Subsystem:
    """The subsystem.

    Raises:
        SimpulError: SUBSYSTEM_UNKNOWN.
    """
    found = find(session, subsystem)
    if found is None:
        raise SimpulError(
            Code.SUBSYSTEM_UNKNOWN,
            f"{subsystem} is not listed: add it first (simpul registry subsystem add)",
            subsystem=str(subsystem),
        )
    return found


def ensure(session: Session, subsystem: Subsystem) -> Subsystem:
    """Lists a subsystem, unless it is listed; returns what is listed."""
    found = find(session, subsystem.id)
    if found is None:
        add(session, subsystem)
        return subsystem
    return found


def set_state(session: Session, subsystem: Subsystem, state: Standing) -> None:
    """Replaces the state that was read.

    Raises:
        SimpulError: CONFLICT, when it is another one by now.
    """
    statement = (
        update(SubsystemRow)
        .where(
            col(SubsystemRow.id) == str(subsystem.id), col(SubsystemRow.state) == subsystem.state
        )
        .values(state=state)
    )
    refusal = SimpulError(
        Code.CONFLICT, f"{subsystem.id} was changed meanwhile: look at it, and try again"
    )
    swap(session, statement, refusal)


def of_member(session: Session, member: MemberId) -> tuple[Subsystem, ...]:
    """A member's subsystems, by id."""
    rows = session.exec(
        select(SubsystemRow)
        .where(col(SubsystemRow.member) == str(member))
        .order_by(col(SubsystemRow.id))
    )
    return tuple(_subsystem(row) for row in rows)


def every(session: Session) -> tuple[Subsystem, ...]:
    """All subsystems, by id."""
    rows = session.exec(select(SubsystemRow).order_by(col(SubsystemRow.id)))
    return tuple(_subsystem(row) for row in rows)


def _subsystem(row: SubsystemRow) -> Subsystem:
    return Subsystem(SubsystemId.parse(row.id), row.name, Standing(row.state))
