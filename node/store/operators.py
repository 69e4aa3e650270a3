"""Operators of this node: users of the machine, with a role for each member they work for."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlmodel import col, delete, select

from node.caller import Role
from node.store.engine import Store
from node.store.models import OperatorRoleRow
from security.errors import Code, SimpulError
from security.identifiers import MemberId


@dataclass(frozen=True, slots=True)
class Operator:
    """A user of this machine."""

    # The user's name when he was added: what histories keep.
    name: str
    uid: int
    roles: Mapping[MemberId, Role]


def put_roles(store: Store, operator: Operator) -> None:
    """Gives a user these roles, besides those that he has for other members.

    Raises:
        SimpulError: CONFLICT, when his name or his number is another operator's.
    """
    with store.transaction() as session:
        for row in session.exec(select(OperatorRoleRow)):
            if (row.name == operator.name) != (row.uid == operator.uid):
                raise SimpulError(
                    Code.CONFLICT,
                    f"{row.name}, user {row.uid}, is an operator: remove that one first, if the "
                    "machine has given the name or the number to somebody else",
                )
        for member, role in operator.roles.items():
            session.merge(
                OperatorRoleRow(name=operator.name, member=str(member), uid=operator.uid, role=role)
            )


def drop_roles(store: Store, name: str, member: MemberId | None) -> None:
    """Takes a user's role for a member away, or all; raises SimpulError NOT_FOUND."""
    with store.transaction() as session:
        query = delete(OperatorRoleRow).where(col(OperatorRoleRow.name) == name)
        if member is not None:
            query = query.where(col(OperatorRoleRow.member) == str(member))
        if session.exec(query).rowcount == 0:
            raise SimpulError(
                Code.NOT_FOUND,
                f"{name[:80]!a} has no such role: `simpul node operator list` shows those there "
                "are",
            )


def list_operators(store: Store) -> tuple[Operator, ...]:
    """All operators, by name."""
    with store.transaction() as session:
        order = (col(OperatorRoleRow.name), col(OperatorRoleRow.member))
        roles: dict[tuple[str, int], dict[MemberId, Role]] = {}
        for row in session.exec(select(OperatorRoleRow).order_by(*order)):
            found = roles.setdefault((row.name, row.uid), {})
            found[MemberId.parse(row.member)] = Role(row.role)
        return tuple(Operator(name, uid, found) for (name, uid), found in roles.items())
