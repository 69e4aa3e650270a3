"""Consumers that a member hosted here put together, by its own choice, and who put them there."""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, delete, select

from node.store.agreements import Pin, pin_within
from node.store.engine import Store
from node.store.models import GroupMemberRow, GroupRow
from security.errors import Code, SimpulError
from security.identifiers import MemberId


@dataclass(frozen=True, slots=True)
class GroupMember:
    """A consumer in a group."""

    member: MemberId
    added_by: str
    added_at_ms: int


@dataclass(frozen=True, slots=True)
class LocalGroup:
    """A member's own group."""

    owner: MemberId
    name: str
    title: str
    members: tuple[GroupMember, ...] = ()

    @property
    def ids(self) -> frozenset[MemberId]:
        """Who is in it."""
        return frozenset(item.member for item in self.members)


def add_group(store: Store, group: LocalGroup) -> None:
    """Stores a group without members; raises SimpulError ALREADY_EXISTS."""
    try:
        with store.transaction() as session:
            session.add(GroupRow(owner=str(group.owner), name=group.name, title=group.title))
    except IntegrityError as error:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"{group.owner} has a group {group.name} already: choose another name",
        ) from error


def put_in(store: Store, group: LocalGroup, new: Iterable[Pin], added_by: str, now_ms: int) -> None:
    """Puts members in, each known by its identity key from now on; all or none.

    Raises:
        SimpulError: IDENTITY_CHANGED for one that is known by another key.
    """
    with store.transaction() as session:
        for pin in new:
            pin_within(session, pin, now_ms)
            key = (str(group.owner), group.name, str(pin.member))
            if session.get(GroupMemberRow, key) is None:
                session.add(
                    GroupMemberRow(
                        owner=key[0],
                        group=key[1],
                        member=key[2],
                        added_by=added_by,
                        added_at_ms=now_ms,
                    )
                )


def take_out(store: Store, group: LocalGroup, gone: Iterable[MemberId]) -> None:
    """Takes members out, all or none; raises SimpulError NOT_FOUND for one that is not in it."""
    with store.transaction() as session:
        for member in gone:
            row = session.get(GroupMemberRow, (str(group.owner), group.name, str(member)))
            if row is None:
                raise SimpulError(
                    Code.NOT_FOUND, f"{member} is not in {group.name}: look who is, by show"
                )
            session.delete(row)


def drop_group(store: Store, group: LocalGroup) -> None:
    """Forgets a group, and who was in it."""
    with store.transaction() as session:
        session.exec(
            delete(GroupRow).where(
                col(GroupRow.owner) == str(group.owner), col(GroupRow.name) == group.name
            )
        )


def get_group(store: Store, owner: MemberId, name: str) -> LocalGroup:
    """One group; raises SimpulError NOT_FOUND."""
    for group in list_groups(store):
        if (group.owner, group.name) == (owner, name):
            return group
    raise SimpulError(
        Code.NOT_FOUND,
        f"{owner} has no group {name[:80]!a}: `simpul access group list` shows those there are",
    )


def list_groups(store: Store) -> tuple[LocalGroup, ...]:
    """All groups, by owner and name."""
    with store.transaction() as session:
        groups = session.exec(select(GroupRow).order_by(col(GroupRow.owner), col(GroupRow.name)))
        members: dict[tuple[str, str], list[GroupMember]] = {}
        for row in session.exec(select(GroupMemberRow).order_by(col(GroupMemberRow.member))):
            member = GroupMember(MemberId.parse(row.member), row.added_by, row.added_at_ms)
            members.setdefault((row.owner, row.group), []).append(member)
        return tuple(
            LocalGroup(
                MemberId.parse(row.owner),
                row.name,
                row.title,
                tuple(members.get((row.owner, row.name), ())),
            )
            for row in groups
        )
