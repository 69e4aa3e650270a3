"""The life of an agreement: which step may follow which, and whose it is.

    proposed by the consumer    REQUESTED -> accepted, countered, declined by the provider;
                                             withdrawn by the consumer
    proposed by the provider    OFFERED   -> accepted, declined by the consumer;
                                             withdrawn by the provider
    signed by both              AGREED    -> revoked by either, for good

Whether an agreement that is AGREED permits anything now is another question: it may not have begun,
be over, or be suspended (`security.agreement`, `node.policy`). An unknown pair is refused.

Source: docs/spec, "Agreements: life".
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from security.errors import Code, SimpulError


class Party(StrEnum):
    """Whose step it is."""

    PROVIDER = "provider"
    CONSUMER = "consumer"


class Life(StrEnum):
    """Where an agreement stands."""

    REQUESTED = "requested"
    OFFERED = "offered"
    COUNTERED = "countered"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    AGREED = "agreed"
    REVOKED = "revoked"


class Step(StrEnum):
    """What a party does."""

    PROPOSE = "propose"
    ACCEPT = "accept"
    COUNTER = "counter"
    DECLINE = "decline"
    WITHDRAW = "withdraw"
    REVOKE = "revoke"


_P, _C = Party.PROVIDER, Party.CONSUMER
_TABLE: Final[Mapping[tuple[Life | None, Step, Party], Life]] = MappingProxyType(
    {
        (None, Step.PROPOSE, _C): Life.REQUESTED,
        (None, Step.PROPOSE, _P): Life.OFFERED,
        (Life.REQUESTED, Step.ACCEPT, _P): Life.AGREED,
        (Life.REQUESTED, Step.COUNTER, _P): Life.COUNTERED,
        (Life.REQUESTED, Step.DECLINE, _P): Life.DECLINED,
        (Life.REQUESTED, Step.WITHDRAW, _C): Life.WITHDRAWN,
        (Life.OFFERED, Step.ACCEPT, _C): Life.AGREED,
        (Life.OFFERED, Step.DECLINE, _C): Life.DECLINED,
        (Life.OFFERED, Step.WITHDRAW, _P): Life.WITHDRAWN,
        (Life.AGREED, Step.REVOKE, _P): Life.REVOKED,
        (Life.AGREED, Step.REVOKE, _C): Life.REVOKED,
        # Both at once: each side may have heard of its own first.
        (Life.REVOKED, Step.REVOKE, _P): Life.REVOKED,
        (Life.REVOKED, Step.REVOKE, _C): Life.REVOKED,
    }
)
FINAL: Final = frozenset({Life.COUNTERED, Life.DECLINED, Life.WITHDRAWN, Life.REVOKED})


def next_life(life: Life | None, step: Step, party: Party) -> Life:
    """Where an agreement stands after a step; `life` is None where it isn't known yet.

    Raises:
        SimpulError: CONFLICT, where the step may not come now, or not from this party.
    """
    found = _TABLE.get((life, step, party))
    if found is None:
        stands = "isn't known here" if life is None else f"is {life}"
        raise SimpulError(
            Code.CONFLICT,
            f"the agreement {stands}, so its {party} can't {step} it; see `simpul access show`",
        )
    return found
