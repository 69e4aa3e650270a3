"""Who may call what: one table with every method in it; a method without a row is refused.

A row says on which listener a method is answered, what proves the caller, and of operators which
roles may. The proof itself is checked where it is: a token and a node's signature in `rules`, the
machine's administrator by the mode of the Unix socket, other operators in `operators`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from security.errors import Code, SimpulError


class Listener(StrEnum):
    """Where a call came in."""

    # TLS, open to whoever reaches the port.
    PUBLIC = "public"
    # The Unix socket in the home folder, 0600, and the operators' port, mutual TLS.
    ADMIN = "admin"


class Proof(StrEnum):
    """What proves that a caller may."""

    TOKEN = "enrolment token"  # noqa: S105  (a name)
    NODE_SIGNATURE = "node signature"
    # What is told is public and signed.
    NONE = "none"
    OPERATOR = "operator"


class Role(StrEnum):
    """What an operator is."""

    # Of the machine: whoever may open the Unix socket.
    ADMINISTRATOR = "administrator"
    OPERATOR = "operator"
    SECURITY_OFFICER = "security officer"
    # Reads all, changes nothing.
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Row:
    """One method's row."""

    listener: Listener
    proof: Proof
    # Empty: no operator may.
    roles: frozenset[Role] = frozenset()


_NODES: Final = "/simpul.v1.Registry"
_ADMIN: Final = "/simpul.registry.v1.RegistryAdmin"
_READ: Final = Row(Listener.ADMIN, Proof.OPERATOR, frozenset(Role))
_WORK: Final = Row(Listener.ADMIN, Proof.OPERATOR, frozenset({Role.ADMINISTRATOR, Role.OPERATOR}))
# What stops a danger, or gets another person's approval.
_GUARD: Final = Row(Listener.ADMIN, Proof.OPERATOR, frozenset(Role) - {Role.AUDITOR})
_PEOPLE: Final = Row(
    Listener.ADMIN, Proof.OPERATOR, frozenset({Role.ADMINISTRATOR, Role.SECURITY_OFFICER})
)

TABLE: Final[Mapping[str, Row]] = MappingProxyType(
    {
        f"{_NODES}/Enrol": Row(Listener.PUBLIC, Proof.TOKEN),
        f"{_NODES}/Change": Row(Listener.PUBLIC, Proof.NODE_SIGNATURE),
        f"{_NODES}/Watch": Row(Listener.PUBLIC, Proof.NONE),
        f"{_NODES}/ListSubmissions": Row(Listener.PUBLIC, Proof.NODE_SIGNATURE),
        f"{_NODES}/FindSimilar": Row(Listener.PUBLIC, Proof.NODE_SIGNATURE),
        f"{_ADMIN}/Status": _READ,
        f"{_ADMIN}/AddMember": _WORK,
        f"{_ADMIN}/ListMembers": _READ,
        f"{_ADMIN}/ShowMember": _READ,
        f"{_ADMIN}/UpdateMember": _WORK,
        f"{_ADMIN}/ChangeRegions": _WORK,
        f"{_ADMIN}/ImportMembers": _WORK,
        f"{_ADMIN}/SetMemberState": _GUARD,
        f"{_ADMIN}/AddSubsystem": _WORK,
        f"{_ADMIN}/ListSubsystems": _READ,
        f"{_ADMIN}/SetSubsystemState": _GUARD,
        f"{_ADMIN}/CreateEnrolment": _WORK,
        f"{_ADMIN}/ListNodes": _READ,
        f"{_ADMIN}/RevokeNode": _GUARD,
        f"{_ADMIN}/RevokeKey": _GUARD,
        f"{_ADMIN}/RemoveNode": _GUARD,
        f"{_ADMIN}/ListChanges": _READ,
        f"{_ADMIN}/DecideChange": _GUARD,
        f"{_ADMIN}/ListAudit": _READ,
        f"{_ADMIN}/VerifyAudit": _READ,
        f"{_ADMIN}/AddOperator": _PEOPLE,
        f"{_ADMIN}/ListOperators": _READ,
        f"{_ADMIN}/SetOperatorRole": _PEOPLE,
        f"{_ADMIN}/RemoveOperator": _PEOPLE,
        f"{_ADMIN}/ListPending": _READ,
        f"{_ADMIN}/DecidePending": _GUARD,
        f"{_ADMIN}/ShowTrust": _READ,
        f"{_ADMIN}/ListLog": _READ,
        f"{_ADMIN}/ShowLogProof": _READ,
        f"{_ADMIN}/MakeOnlineKeys": _PEOPLE,
        f"{_ADMIN}/ChangeTrust": _PEOPLE,
        f"{_ADMIN}/RotateKeys": _PEOPLE,
        f"{_ADMIN}/ChangeGroup": _GUARD,
        f"{_ADMIN}/ListGroups": _READ,
        f"{_ADMIN}/ListContracts": _READ,
        f"{_ADMIN}/SetContract": _WORK,
        f"{_ADMIN}/ListSubmissions": _READ,
        f"{_ADMIN}/CommentSubmission": _WORK,
        f"{_ADMIN}/DecideSubmission": _WORK,
    }
)


def authorize(method: str, listener: Listener) -> Row:
    """The row by which `method` is answered on `listener`.

    Raises:
        SimpulError: METHOD_UNKNOWN, when there is none.
    """
    row = TABLE.get(method)
    if row is None or row.listener is not listener:
        raise SimpulError(
            Code.METHOD_UNKNOWN, f"{method[:200]} is not answered here: check the name and address"
        )
    return row
