"""Operators of this node: who of the machine's users works for which member."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence

from node.agreements.model import PartyDesk
from node.caller import Role
from node.store.operators import Operator, drop_roles, list_operators, put_roles
from security.errors import Code, SimpulError
from security.identifiers import MemberId


def add(desk: PartyDesk, name: str, members: Sequence[MemberId], role_text: str) -> Operator:
    """Give a user of this machine a role for members that are hosted here.

    Raises:
        SimpulError: NOT_FOUND for no user; REQUEST_MALFORMED for the node's own, who may do
            everything, and for what is no role; MEMBER_UNKNOWN; CONFLICT.
    """
    role = _role(role_text)
    if not members:
        raise SimpulError(Code.REQUEST_MALFORMED, "say for which member (--member)")
    for member in members:
        if member not in desk.members:
            raise SimpulError(Code.MEMBER_UNKNOWN, f"{member} is not hosted by this node")
    uid = _uid(name)
    put_roles(desk.store, Operator(name, uid, dict.fromkeys(members, role)))
    return next(item for item in list_operators(desk.store) if item.name == name)


def remove(desk: PartyDesk, name: str, member: MemberId | None) -> None:
    """Take a user's role for a member away, or all of them; raises SimpulError NOT_FOUND."""
    drop_roles(desk.store, name, member)


def _role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"{text[:40]!a} is no role: give one of {', '.join(Role)}"
        ) from None


def _uid(name: str) -> int:
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        raise SimpulError(
            Code.NOT_FOUND, f"this machine has no user {name[:80]!a}: check the name (id NAME)"
        ) from None
    if uid in {0, os.geteuid()}:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{name} runs the node, or the machine, and may do everything: roles would bind nobody",
        )
    return uid
