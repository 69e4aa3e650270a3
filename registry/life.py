"""The life of a member and of a subsystem, from the application to the end: pure.

    applied --> in review --> active <--> suspended
       |            |            |            |
       |            +-> declined |            |
       +-> withdrawn <-+         +-> removed <+

Who was declined, or withdrew, may apply again. Removed is final: a code is never given to another.
What the table doesn't hold is refused.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from security.errors import Code, SimpulError

MAX_REASON_CHARS: Final = 1000


class Standing(StrEnum):
    """Where a member or a subsystem stands."""

    APPLIED = "applied"
    IN_REVIEW = "in review"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


class Why(StrEnum):
    """Whether a step is taken without a word."""

    MAY_BE_SAID = "may be said"
    MUST_BE_SAID = "must be said"


# What nodes are told of; the rest is between the applicant and the registry's operators.
PUBLISHED: Final = frozenset({Standing.ACTIVE, Standing.SUSPENDED, Standing.REMOVED})

TABLE: Final[Mapping[tuple[Standing, Standing], Why]] = MappingProxyType(
    {
        (Standing.APPLIED, Standing.IN_REVIEW): Why.MAY_BE_SAID,
        (Standing.APPLIED, Standing.WITHDRAWN): Why.MAY_BE_SAID,
        (Standing.IN_REVIEW, Standing.ACTIVE): Why.MAY_BE_SAID,
        (Standing.IN_REVIEW, Standing.DECLINED): Why.MUST_BE_SAID,
        (Standing.IN_REVIEW, Standing.WITHDRAWN): Why.MAY_BE_SAID,
        (Standing.DECLINED, Standing.APPLIED): Why.MAY_BE_SAID,
        (Standing.WITHDRAWN, Standing.APPLIED): Why.MAY_BE_SAID,
        (Standing.ACTIVE, Standing.SUSPENDED): Why.MAY_BE_SAID,
        (Standing.SUSPENDED, Standing.ACTIVE): Why.MAY_BE_SAID,
        (Standing.ACTIVE, Standing.REMOVED): Why.MUST_BE_SAID,
        (Standing.SUSPENDED, Standing.REMOVED): Why.MUST_BE_SAID,
    }
)


def check_step(subject: str, before: Standing, after: Standing, reason: str) -> None:
    """A step of a life that an operator may take.

    Raises:
        SimpulError: CONFLICT for a pair that is not in the table; CHANGE_INVALID where a reason is
            missing, too long or not printable.
    """
    why = TABLE.get((before, after))
    if why is None:
        follow = [str(target) for source, target in TABLE if source is before]
        can = f"only {' or '.join(follow)}" if follow else "nothing else any more"
        raise SimpulError(
            Code.CONFLICT,
            f"{subject} is {before} and can't become {after}, {can}: look at its state first",
            subject=subject,
            state=before,
        )
    if why is Why.MUST_BE_SAID and not reason.strip():
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"{subject} becomes {after} for a reason that is kept and told: give one",
        )
    if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
        raise SimpulError(
            Code.CHANGE_INVALID, f"a reason is one line of {MAX_REASON_CHARS} characters at most"
        )
