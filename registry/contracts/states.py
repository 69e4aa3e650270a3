"""What follows what in the life of a submission: a table; a step that isn't in it is refused.

    submitted ──comment──> in discussion ──approve──> approved ──publish──> published
        │                      │    ^ comment
        └── approve, decline, withdraw, as from in discussion

A submission that nobody needs to decide goes from submitted over approved to published at once.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from registry.contracts.model import SubmissionState as State
from security.errors import Code, SimpulError


class Act(StrEnum):
    """What is done with a submission."""

    COMMENT = "commented"
    APPROVE = "approved"
    DECLINE = "declined"
    WITHDRAW = "withdrawn"
    PUBLISH = "published"


OPEN: Final = frozenset({State.SUBMITTED, State.IN_DISCUSSION})

_TABLE: Final[Mapping[tuple[State, Act], State]] = MappingProxyType(
    {
        (State.SUBMITTED, Act.COMMENT): State.IN_DISCUSSION,
        (State.SUBMITTED, Act.APPROVE): State.APPROVED,
        (State.SUBMITTED, Act.DECLINE): State.DECLINED,
        (State.SUBMITTED, Act.WITHDRAW): State.WITHDRAWN,
        (State.IN_DISCUSSION, Act.COMMENT): State.IN_DISCUSSION,
        (State.IN_DISCUSSION, Act.APPROVE): State.APPROVED,
        (State.IN_DISCUSSION, Act.DECLINE): State.DECLINED,
        (State.IN_DISCUSSION, Act.WITHDRAW): State.WITHDRAWN,
        (State.APPROVED, Act.PUBLISH): State.PUBLISHED,
    }
)


def follows(state: State, act: Act) -> State:
    """The state after an act; raises SimpulError CONFLICT where it can't be done."""
    after = _TABLE.get((state, act))
    if after is None:
        raise SimpulError(
            Code.CONFLICT,
            f"a submission that is {state} can't be {act}: look at it again",
            state=state,
        )
    return after
