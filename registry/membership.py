"""Members' life, as operators steer it: applications, reviews, names, contacts, regions.

Each function is one transaction, and returns what must be published with what the operator is told.
Which step may follow which is in `life`, what a name may be in `names`. Who may call is not asked
here: `authorization` has decided, and says who it is (`actor`).
"""

from dataclasses import dataclass, replace

from sqlmodel import Session

from registry import rules
from registry.directory import content
from registry.life import Standing, check_step
from registry.model import (
    Contact,
    ContactKind,
    LifeEvent,
    Listing,
    Member,
    Region,
    Touched,
)
from registry.names import check_contact, check_name
from registry.registrar import Registrar
from registry.store import listings, lives, members
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode

_MAY_APPLY_AGAIN = frozenset({Standing.DECLINED, Standing.WITHDRAWN})


@dataclass(frozen=True, slots=True)
class NewMember:
    """What is said of a member that is listed, or applies."""

    id: MemberId
    legal_name: str
    codes: tuple[RegionCode, ...] = ()
    contacts: tuple[Contact, ...] = ()


@dataclass(frozen=True, slots=True)
class Act:
    """Who does it, when, and why: what the member's history keeps."""

    actor: str
    now_ms: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RegionChange:
    """Codes that end and codes that begin, at one moment.

    Those that begin take the place of those that end; `predecessors` and `successors` name further
    ones, such as those of other members.
    """

    at_ms: int
    end: tuple[RegionCode, ...] = ()
    begin: tuple[RegionCode, ...] = ()
    predecessors: tuple[RegionCode, ...] = ()
    successors: tuple[RegionCode, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberFile:
    """All that the registry keeps of a member."""

    listing: Listing
    contacts: tuple[Contact, ...]
    history: tuple[LifeEvent, ...]


def add(registrar: Registrar, new: NewMember, act: Act) -> Listing:
    """Lists a new member.

    Raises:
        SimpulError: ID_MALFORMED for another federation or class; ALREADY_EXISTS, also for a name
            that looks like another member's; CHANGE_INVALID for a name or contact that can be none.
    """
    with registrar.store.transaction() as session:
        add_within(session, registrar, new, act)
        return listings.get(session, new.id)


def apply(registrar: Registrar, new: NewMember, act: Act) -> Listing:
    """Takes an application. Nothing is published before it is reviewed and approved.

    Raises:
        SimpulError: as `add`.
    """
    with registrar.store.transaction() as session:
        before = members.find(session, new.id)
        if before is None or before.state not in _MAY_APPLY_AGAIN:
            add_within(session, registrar, new, act, Standing.APPLIED)
        else:
            _apply_again(session, registrar, before, new, act)
        return listings.get(session, new.id)


def set_state(registrar: Registrar, member: MemberId, state: Standing, act: Act) -> Listing:
    """Reviews, approves, declines, suspends, restores or removes a member.

    Raises:
        SimpulError: MEMBER_UNKNOWN; CONFLICT, when it can't become that; CHANGE_INVALID, when that
            needs a reason.
    """
    with registrar.store.transaction() as session:
        found = members.get(session, member)
        _step(session, found, state, act)
        content.read(session, registrar.policy, Touched(frozenset({member})))
        return listings.get(session, member)


def update(
    registrar: Registrar,
    member: MemberId,
    legal_name: str,
    contacts: tuple[Contact | ContactKind, ...],
) -> Listing:
    """Changes what is said of a member.

    Args:
        registrar: What to go by.
        member: Whom.
        legal_name: The new one; empty: as it was.
        contacts: Each takes the place of that of its kind; a kind alone is dropped.

    Raises:
        SimpulError: MEMBER_UNKNOWN; ALREADY_EXISTS for a name that looks like another member's;
            CHANGE_INVALID.
    """
    with registrar.store.transaction() as session:
        found = members.get(session, member)
        for contact in contacts:
            if isinstance(contact, ContactKind):
                lives.drop_contact(session, member, contact)
            else:
                check_contact(contact)
                lives.put_contact(session, member, contact)
        if legal_name:
            _check_name(session, member, legal_name)
            members.set_name(session, found, legal_name)
        return listings.get(session, member)


def change_regions(registrar: Registrar, member: MemberId, change: RegionChange) -> Listing:
    """Ends and begins region codes of a member.

    Raises:
        SimpulError: MEMBER_UNKNOWN; CHANGE_INVALID for a code that ends and isn't spoken for, or
            begins and is.
    """
    with registrar.store.transaction() as session:
        found = members.get(session, member)
        members.put_regions(session, member, changed_regions(found, change))
        members.changed(session, member)
        content.read(session, registrar.policy, Touched(frozenset({member})))
        return listings.get(session, member)


def changed_regions(member: Member, change: RegionChange) -> tuple[Region, ...]:
    """The regions that a change touches, as they are after it. Pure; raises as `change_regions`."""
    if not change.end and not change.begin:
        raise SimpulError(Code.CHANGE_INVALID, "no region code ends and none begins: name one")
    _check_once((*change.end, *change.begin))
    open_ones = {region.code: region for region in member.regions if region.valid_until_ms is None}
    successors = (*change.begin, *change.successors)
    touched = []
    for code in change.end:
        region = open_ones.get(code)
        if region is None or region.valid_from_ms >= change.at_ms:
            raise SimpulError(
                Code.CHANGE_INVALID,
                f"{member.id} doesn't speak for {code} before that day: look at its regions first "
                "(simpul registry member show)",
            )
        touched.append(replace(region, valid_until_ms=change.at_ms, successors=successors))
    predecessors = (*change.end, *change.predecessors)
    for code in change.begin:
        for region in member.regions:
            ends_ms = region.valid_until_ms
            if region.code == code and (ends_ms is None or ends_ms > change.at_ms):
                raise SimpulError(
                    Code.CHANGE_INVALID, f"{member.id} speaks for {code} on that day already"
                )
        touched.append(Region(code, change.at_ms, predecessors=predecessors))
    return tuple(touched)


def list_members(registrar: Registrar) -> tuple[Listing, ...]:
    """All members, by id, applicants too."""
    with registrar.store.transaction() as session:
        return tuple(listings.get(session, member.id) for member in members.every(session))


def show(registrar: Registrar, member: MemberId) -> MemberFile:
    """All that is kept of a member; raises SimpulError MEMBER_UNKNOWN."""
    with registrar.store.transaction() as session:
        return MemberFile(
            listings.get(session, member),
            lives.contacts(session, member),
            lives.history(session, member),
        )


def add_within(
    session: Session,
    registrar: Registrar,
    new: NewMember,
    act: Act,
    state: Standing = Standing.ACTIVE,
) -> None:
    """Lists a member in a transaction of the caller's; raises as `add`."""
    rules.check_class(new.id, registrar.federation, registrar.policy.member_classes)
    _check_once(new.codes)
    if members.find(session, new.id) is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS, f"{new.id} is listed already: choose another code", id=str(new.id)
        )
    _check_name(session, new.id, new.legal_name)
    for contact in new.contacts:
        check_contact(contact)
    regions = tuple(Region(code, act.now_ms) for code in new.codes)
    members.add(session, Member(new.id, new.legal_name, regions, state), act.now_ms)
    for contact in new.contacts:
        lives.put_contact(session, new.id, contact)
    lives.record(session, new.id, _event(new.id, None, state, act))
    content.read(session, registrar.policy, Touched(frozenset({new.id})))


def _apply_again(
    session: Session, registrar: Registrar, before: Member, new: NewMember, act: Act
) -> None:
    rules.check_class(new.id, registrar.federation, registrar.policy.member_classes)
    _check_name(session, new.id, new.legal_name)
    _check_once(new.codes)
    _step(session, before, Standing.APPLIED, act)
    members.set_name(session, members.get(session, new.id), new.legal_name)
    members.replace_regions(session, new.id, tuple(Region(code, act.now_ms) for code in new.codes))
    for contact in new.contacts:
        check_contact(contact)
        lives.put_contact(session, new.id, contact)


def _step(session: Session, found: Member, state: Standing, act: Act) -> None:
    check_step(str(found.id), found.state, state, act.reason)
    members.set_state(session, found, state)
    lives.record(session, found.id, _event(found.id, found.state, state, act))


def _event(member: MemberId, before: Standing | None, after: Standing, act: Act) -> LifeEvent:
    return LifeEvent(act.now_ms, str(member), before, after, act.reason, act.actor)


def _check_name(session: Session, member: MemberId, name: str) -> None:
    check_name(name)
    others = [str(found) for found in members.look_alikes(session, name) if found != member]
    if others:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"the name {name!a} looks like that of {', '.join(others)}: choose one that people can "
            "tell from it",
        )


def _check_once(codes: tuple[RegionCode, ...]) -> None:
    if len(set(codes)) != len(codes):
        raise SimpulError(Code.CHANGE_INVALID, "a region code is given twice: give each once")
