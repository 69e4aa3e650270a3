"""Federation-wide groups of members. None is ever removed: a retired one keeps its name."""

from sqlalchemy import delete, update
from sqlmodel import Field, Session, SQLModel, col, select

from registry.store.rows import swap
from security.errors import Code, SimpulError
from security.group import GroupView
from security.identifiers import MemberId


class GroupRow(SQLModel, table=True):
    """A group, by its name."""

    __tablename__ = "member_groups"

    name: str = Field(primary_key=True)
    number: int
    title: str
    retired: bool


class GroupMemberRow(SQLModel, table=True):
    """A member that is in a group now."""

    __tablename__ = "member_group_members"

    group: str = Field(primary_key=True, foreign_key="member_groups.name")
    member: str = Field(primary_key=True, foreign_key="members.id")


def find(session: Session, name: str) -> GroupView | None:
    """A group, or None."""
    row = session.get(GroupRow, name)
    return None if row is None else _group(session, row)


def get(session: Session, name: str) -> GroupView:
    """A group; raises SimpulError NOT_FOUND."""
    found = find(session, name)
    if found is None:
        raise SimpulError(
            Code.NOT_FOUND,
            f"there is no group {name[:80]!a}: see what there is (simpul registry group list)",
        )
    return found


def every(session: Session) -> tuple[GroupView, ...]:
    """All groups, by name, the retired ones too."""
    rows = session.exec(select(GroupRow).order_by(col(GroupRow.name))).all()
    return tuple(_group(session, row) for row in rows)


def names(session: Session) -> tuple[str, ...]:
    """The names of all groups, in order."""
    return tuple(session.exec(select(GroupRow.name).order_by(col(GroupRow.name))))


def add(session: Session, group: GroupView) -> None:
    """Lists a group that has no members yet."""
    session.add(
        GroupRow(name=group.name, number=group.number, title=group.title, retired=group.retired)
    )
    session.flush()


def replace(session: Session, before: GroupView, after: GroupView) -> None:
    """Gives a group other members, or ends it.

    Raises:
        SimpulError: CONFLICT, when the group isn't `before` any more.
    """
    swap(
        session,
        update(GroupRow)
        .where(col(GroupRow.name) == before.name, col(GroupRow.number) == before.number)
        .values(number=after.number, title=after.title, retired=after.retired),
        SimpulError(
            Code.CONFLICT, f"{before.name} was changed meanwhile: look at it, and try again"
        ),
    )
    gone = [str(member) for member in before.members - after.members]
    session.exec(
        delete(GroupMemberRow).where(
            col(GroupMemberRow.group) == before.name, col(GroupMemberRow.member).in_(gone)
        )
    )
    for member in sorted(after.members - before.members, key=str):
        session.add(GroupMemberRow(group=before.name, member=str(member)))
    session.flush()
    session.expire_all()


def _group(session: Session, row: GroupRow) -> GroupView:
    query = select(GroupMemberRow.member).where(col(GroupMemberRow.group) == row.name)
    return GroupView(
        name=row.name,
        number=row.number,
        title=row.title,
        members=frozenset(map(MemberId.parse, session.exec(query))),
        retired=row.retired,
    )
