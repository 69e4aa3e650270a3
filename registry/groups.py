"""Federation-wide groups of members, as operators keep them. Plain values in, plain values out.

A group permits nothing by itself: members' operators name it in templates for access, and then who
is in it may be answered without them. So to put a member in, and to end a group, which ends what
rests on it, are acts for two persons (`operators.dangerous_kind`); to take one out is not, because
it must not wait.

Each function is one transaction. Who may call is not asked here: `authorization` has decided.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sqlmodel import Session

from registry import rules
from registry.directory import content
from registry.model import Touched
from registry.registrar import Registrar
from registry.store import groups, members
from security.errors import Code, SimpulError
from security.group import GroupView, check_group_name, check_group_title
from security.identifiers import MemberId

ADD: Final = "add"
INCLUDE: Final = "include"
EXCLUDE: Final = "exclude"
RETIRE: Final = "retire"
STEPS: Final = (ADD, INCLUDE, EXCLUDE, RETIRE)


def add(registrar: Registrar, name: str, title: str) -> GroupView:
    """Lists a group without members.

    Raises:
        SimpulError: CHANGE_INVALID for a name or title that can be none; ALREADY_EXISTS.
    """
    check_group_name(name)
    check_group_title(title)
    group = GroupView(name, 1, title, frozenset())
    with registrar.store.transaction() as session:
        if groups.find(session, name) is not None:
            raise SimpulError(
                Code.ALREADY_EXISTS, f"there is a group {name} already: choose another name"
            )
        groups.add(session, group)
        return group


def include(registrar: Registrar, name: str, new: Sequence[MemberId]) -> GroupView:
    """Puts active members in; those that are in stay so.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT for a retired group; MEMBER_UNKNOWN, MEMBER_SUSPENDED.
    """
    with registrar.store.transaction() as session:
        for member in _some(new):
            rules.check_active(members.get(session, member))
        before = _living(groups.get(session, name))
        return _replace(registrar, session, before, before.members | set(new))


def exclude(registrar: Registrar, name: str, gone: Sequence[MemberId]) -> GroupView:
    """Takes members out.

    Raises:
        SimpulError: NOT_FOUND, also for a member that is not in it; CONFLICT for a retired group.
    """
    with registrar.store.transaction() as session:
        before = _living(groups.get(session, name))
        for member in _some(gone):
            if member not in before.members:
                raise SimpulError(Code.NOT_FOUND, f"{member} is not in {name}: look who is")
        return _replace(registrar, session, before, before.members - set(gone))


def retire(registrar: Registrar, name: str) -> GroupView:
    """Ends a group, for good; raises SimpulError NOT_FOUND; CONFLICT when it is retired."""
    with registrar.store.transaction() as session:
        before = _living(groups.get(session, name))
        return _replace(registrar, session, before, frozenset(), retired=True)


def every(registrar: Registrar) -> tuple[GroupView, ...]:
    """All groups, by name."""
    with registrar.store.transaction() as session:
        return groups.every(session)


def touched(group: GroupView) -> Touched:
    """What must be published of it."""
    return Touched(groups=frozenset({group.name}))


def _replace(
    registrar: Registrar,
    session: Session,
    before: GroupView,
    now_in: frozenset[MemberId],
    *,
    retired: bool = False,
) -> GroupView:
    if now_in == before.members and not retired:
        return before
    after = replace(before, number=before.number + 1, members=now_in, retired=retired)
    groups.replace(session, before, after)
    content.read(session, registrar.policy, touched(after))
    return after


def _living(group: GroupView) -> GroupView:
    if group.retired:
        raise SimpulError(Code.CONFLICT, f"{group.name} is retired, for good: make another group")
    return group


def _some(given: Sequence[MemberId]) -> Sequence[MemberId]:
    if len(given) == 0:
        raise SimpulError(Code.CHANGE_INVALID, "no member is named: name at least one")
    return given
