"""Who may call what: one table with every method in it; a method without a row is refused.

A row says on which listener a method is answered and what proves the caller. The proof itself is
checked where it is: a token and a node's signature in `rules`, the machine's administrator by the
mode of the Unix socket.
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
    # The Unix socket in the home folder, 0600.
    ADMIN = "admin"


class Proof(StrEnum):
    """What proves that a caller may."""

    TOKEN = "enrolment token"  # noqa: S105  (a name)
    NODE_SIGNATURE = "node signature"
    # What is told is public and signed.
    NONE = "none"
    MACHINE_ADMINISTRATOR = "machine administrator"


@dataclass(frozen=True, slots=True)
class Row:
    """One method's row."""

    listener: Listener
    proof: Proof


_NODES: Final = "/simpul.v1.Registry"
_ADMIN: Final = "/simpul.registry.v1.RegistryAdmin"
_OPERATOR: Final = Row(Listener.ADMIN, Proof.MACHINE_ADMINISTRATOR)

TABLE: Final[Mapping[str, Row]] = MappingProxyType(
    {
        f"{_NODES}/Enrol": Row(Listener.PUBLIC, Proof.TOKEN),
        f"{_NODES}/Change": Row(Listener.PUBLIC, Proof.NODE_SIGNATURE),
        f"{_NODES}/Watch": Row(Listener.PUBLIC, Proof.NONE),
        f"{_ADMIN}/Status": _OPERATOR,
        f"{_ADMIN}/AddMember": _OPERATOR,
        f"{_ADMIN}/ListMembers": _OPERATOR,
        f"{_ADMIN}/ShowMember": _OPERATOR,
        f"{_ADMIN}/UpdateMember": _OPERATOR,
        f"{_ADMIN}/ChangeRegions": _OPERATOR,
        f"{_ADMIN}/ImportMembers": _OPERATOR,
        f"{_ADMIN}/SetMemberState": _OPERATOR,
        f"{_ADMIN}/AddSubsystem": _OPERATOR,
        f"{_ADMIN}/ListSubsystems": _OPERATOR,
        f"{_ADMIN}/SetSubsystemState": _OPERATOR,
        f"{_ADMIN}/CreateEnrolment": _OPERATOR,
        f"{_ADMIN}/ListNodes": _OPERATOR,
        f"{_ADMIN}/RevokeNode": _OPERATOR,
        f"{_ADMIN}/RemoveNode": _OPERATOR,
        f"{_ADMIN}/ListChanges": _OPERATOR,
        f"{_ADMIN}/DecideChange": _OPERATOR,
        f"{_ADMIN}/ListAudit": _OPERATOR,
        f"{_ADMIN}/VerifyAudit": _OPERATOR,
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
