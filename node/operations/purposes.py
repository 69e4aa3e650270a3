"""A member's register of purposes: kept in the directory, a version at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from node.agreements.model import PartyDesk
from node.operations.desk import Desk
from security.activity import ActivityView, activity_message, check_next, read_activity
from security.agreement_terms import check_purpose_id
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.v1 import directory_pb2

ADD: Final = "add"
REVISE: Final = "revise"
RETIRE: Final = "retire"
_TEXTS: Final = ("title", "purpose", "retention", "officer", "legal_basis", "citizen_visibility")


async def put(
    desk: Desk, member_text: str, step: str, said: directory_pb2.Activity
) -> tuple[MemberId, ActivityView]:
    """Publish the first or next version of a purpose.

    Raises:
        SimpulError: MEMBER_UNKNOWN, NOT_FOUND, ALREADY_EXISTS, CHANGE_INVALID, REQUEST_MALFORMED,
            REGISTRY_UNREACHABLE, the registry's no.
    """
    member = own_member(desk, member_text)
    check_purpose_id(said.id)
    before = desk.directory.member(member).activities.get(said.id, ())
    made = read_activity(_next(step, before, said))
    check_next(before, made)
    version = await desk.changes.put_activity(member, activity_message(made), desk.now_ms())
    await desk.catch_up(version)
    return member, made


def registered(desk: Desk, member_text: str, id_: str) -> list[tuple[MemberId, ActivityView]]:
    """Every version in the register of a member, or of those that are hosted here.

    Raises:
        SimpulError: MEMBER_UNKNOWN; NOT_FOUND for an id that is in none.
    """
    asked = (MemberId.parse(member_text),) if member_text else desk.members
    found = [
        (member, view)
        for member in asked
        for name, versions in sorted(desk.directory.member(member).activities.items())
        for view in versions
        if id_ in {"", name}
    ]
    if id_ and not found:
        raise SimpulError(
            Code.NOT_FOUND, f"no register has {id_[:80]!a}: `simpul purpose list` shows them all"
        )
    return found


def _next(
    step: str, before: tuple[ActivityView, ...], said: directory_pb2.Activity
) -> directory_pb2.Activity:
    if step == ADD:
        if before:
            raise SimpulError(
                Code.ALREADY_EXISTS, f"{said.id} is there: change it by `simpul purpose revise`"
            )
        made = directory_pb2.Activity()
        made.CopyFrom(said)
        made.retired = False
    elif step in {REVISE, RETIRE}:
        if not before:
            raise SimpulError(
                Code.NOT_FOUND, f"there is no {said.id}: `simpul purpose list` shows what there is"
            )
        made = activity_message(replace(before[-1], retired=before[-1].retired))
        for name in _TEXTS if step == REVISE else ():
            if getattr(said, name):
                setattr(made, name, getattr(said, name))
        made.retired = step == RETIRE
    else:
        raise SimpulError(Code.REQUEST_MALFORMED, f"{step[:40]!a} is no step of a purpose")
    made.version = len(before) + 1
    return made


def own_member(desk: PartyDesk, text: str) -> MemberId:
    """The hosted member that is meant: the only one, where none is named.

    Raises:
        SimpulError: MEMBER_UNKNOWN; REQUEST_MALFORMED where there are several.
    """
    if text:
        member = MemberId.parse(text)
        if member not in desk.members:
            raise SimpulError(
                Code.MEMBER_UNKNOWN,
                f"{member} is not hosted by this node; it hosts "
                f"{', '.join(str(hosted) for hosted in desk.members)}",
            )
        return member
    if len(desk.members) != 1:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"this node hosts {len(desk.members)} members: say for which (--member)",
        )
    return desk.members[0]
