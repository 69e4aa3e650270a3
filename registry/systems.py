"""Subsystems' life: the same steps as a member's (`life`).

A node that publishes a service of a new subsystem lists it too, where the registry's approvals let
it. Each function is one transaction.
"""

from collections.abc import Sequence

from sqlmodel import Session

from registry.directory import content
from registry.life import Standing, check_step
from registry.membership import Act
from registry.model import LifeEvent, Subsystem, Touched
from registry.names import check_name
from registry.registrar import Registrar
from registry.rules import check_active
from registry.store import lives, members, subsystems
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId

_MAY_APPLY_AGAIN = frozenset({Standing.DECLINED, Standing.WITHDRAWN})


def add(registrar: Registrar, new: Subsystem, act: Act) -> Subsystem:
    """Lists a subsystem, or takes an application for one (`new.state`).

    Raises:
        SimpulError: MEMBER_UNKNOWN, MEMBER_SUSPENDED; ALREADY_EXISTS; CHANGE_INVALID for a name
            that can be none, or a state that none begins with.
    """
    if new.state not in {Standing.APPLIED, Standing.ACTIVE}:
        raise SimpulError(Code.CHANGE_INVALID, f"no subsystem begins as {new.state}: apply first")
    check_name(new.name, "a subsystem's name")
    with registrar.store.transaction() as session:
        check_active(members.get(session, new.id.member))
        before = subsystems.find(session, new.id)
        if before is not None and before.state in _MAY_APPLY_AGAIN:
            check_step(str(new.id), before.state, new.state, act.reason)
            subsystems.set_state(session, before, new.state)
        else:
            subsystems.add(session, new)
        event = _event(new, None if before is None else before.state, act)
        lives.record(session, new.id.member, event)
        members.changed(session, new.id.member)
        content.read(session, registrar.policy, Touched(frozenset({new.id.member})))
        return subsystems.get(session, new.id)


def add_first(session: Session, member: MemberId, names: Sequence[str], act: Act) -> None:
    """Lists the subsystems of a member that was made in this transaction, all at once.

    The caller looks at the member's record after it.

    Raises:
        SimpulError: ID_MALFORMED, CHANGE_INVALID; ALREADY_EXISTS for a name that is given twice.
    """
    new = [Subsystem(SubsystemId(member, name), name) for name in names]
    for item in new:
        check_name(item.name, "a subsystem's name")
    if len(set(names)) != len(names):
        raise SimpulError(
            Code.ALREADY_EXISTS, f"a subsystem of {member} is given twice: give each once"
        )
    subsystems.add_all(session, new)
    for item in new:
        lives.record(session, member, _event(item, None, act))


def _event(new: Subsystem, before: Standing | None, act: Act) -> LifeEvent:
    return LifeEvent(act.now_ms, str(new.id), before, new.state, act.reason, act.actor)


def set_state(registrar: Registrar, subsystem: SubsystemId, state: Standing, act: Act) -> Subsystem:
    """Reviews, approves, declines, suspends, restores or removes a subsystem.

    Raises:
        SimpulError: SUBSYSTEM_UNKNOWN; CONFLICT, when it can't become that; CHANGE_INVALID, when
            that needs a reason.
    """
    with registrar.store.transaction() as session:
        found = subsystems.get(session, subsystem)
        check_step(str(subsystem), found.state, state, act.reason)
        subsystems.set_state(session, found, state)
        event = LifeEvent(act.now_ms, str(subsystem), found.state, state, act.reason, act.actor)
        lives.record(session, subsystem.member, event)
        members.changed(session, subsystem.member)
        return subsystems.get(session, subsystem)


def every(registrar: Registrar, member: MemberId | None) -> tuple[Subsystem, ...]:
    """All subsystems, or those of one member; raises SimpulError MEMBER_UNKNOWN."""
    with registrar.store.transaction() as session:
        if member is None:
            return subsystems.every(session)
        members.get(session, member)
        return subsystems.of_member(session, member)
