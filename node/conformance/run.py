"""The checks in their order, one after the other, each on a connection of its own.

A check passes where what was seen is what the standard expects, word for word. Where the node
refuses for want of room (its budget of refusals, a drain) nothing was learnt: that's no pass.
After the last check comes the first one again: a node that bad input has worsened fails there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from node.conformance.calls import CALLS
from node.conformance.greetings import GREETINGS, LIVES_ON
from node.conformance.model import Check, Outcome, Result
from node.conformance.parcels import PARCELS
from node.conformance.probe import Parties, connected
from security.errors import Code, LinkFault, SimpulError

CHECKS: Final[tuple[Check, ...]] = (*GREETINGS, *PARCELS, *CALLS, LIVES_ON)

_NO_ROOM: Final = frozenset({Code.REFUSALS_EXCEEDED, Code.NODE_DRAINING})


async def run(parties: Parties, checks: Sequence[Check] = CHECKS) -> AsyncIterator[Outcome]:
    """Make the checks, each as soon as it is asked for.

    Raises:
        SimpulError: PEER_UNREACHABLE, where not even the first can be made.
    """
    for number, check in enumerate(checks, 1):
        outcome = await make(number, check, parties)
        if number == 1 and outcome.seen == Code.PEER_UNREACHABLE:
            raise SimpulError(Code.PEER_UNREACHABLE, outcome.detail)
        yield outcome


async def make(number: int, check: Check, parties: Parties) -> Outcome:
    """Make one check."""
    try:
        async with connected(parties) as probe:
            seen, detail = await check.attempt(probe), ""
    except LinkFault as fault:
        # Raised by our own checks of what it sent: a breach, whatever was expected of it.
        words = f"what it sent breaks step {fault.step}: {fault.message}"
        return Outcome(number, check, Result.FAILED, fault.code, words)
    except SimpulError as error:
        seen, detail = error.code.value, error.message
        if error.code in _NO_ROOM and seen not in check.expected:
            return Outcome(number, check, Result.NOT_MADE, seen, detail)
    except TimeoutError:
        seen, detail = "nothing", "no answer in time"
    result = Result.PASSED if seen in check.expected else Result.FAILED
    return Outcome(number, check, result, seen, detail)
