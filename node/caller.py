"""Who asks over a node's admin socket, and for which members he may.

The machine's administrator may do everything. An operator holds a role for each member that he
works for, and nothing for the others, also where one node hosts them all (ADR 0028).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from security.errors import Code, SimpulError
from security.identifiers import MemberId


class Role(StrEnum):
    """What an operator is for a member."""

    OPERATOR = "operator"
    # Reads all that is the member's, changes nothing.
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Caller:
    """An operator, by the name that is kept. Without `roles` it is the machine's administrator."""

    name: str
    roles: Mapping[MemberId, Role] | None = None

    def acts_for(self, member: MemberId) -> bool:
        """Whether he may change what is the member's."""
        return self.roles is None or self.roles.get(member) is Role.OPERATOR

    def sees(self, member: MemberId) -> bool:
        """Whether he may look at it."""
        return self.roles is None or member in self.roles

    def sees_any(self, members: Iterable[MemberId]) -> bool:
        """Whether he may look at what is theirs together."""
        return self.roles is None or any(self.sees(member) for member in members)


# Whoever may open the admin socket, which is 0600 in a folder of mode 0700. No user's name holds a
# space.
ADMINISTRATOR: Final = Caller("local administrator")

# Each call runs in a task of its own; what the node does by itself, it does as the administrator.
CALLER: Final[ContextVar[Caller]] = ContextVar("caller", default=ADMINISTRATOR)


def check_acts_for(member: MemberId) -> None:
    """Pass where who asks may change what is a member's; raises SimpulError OPERATOR_REFUSED."""
    caller = CALLER.get()
    if not caller.acts_for(member):
        raise refused(caller, f"may not act for {member}")


def refused(caller: Caller, what: str) -> SimpulError:
    """The refusal of an operator."""
    return SimpulError(
        Code.OPERATOR_REFUSED,
        f"{caller.name} {what}: ask the administrator of the node (simpul node operator add)",
    )
