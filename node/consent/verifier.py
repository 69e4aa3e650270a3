"""What answers for consents: one interface, and what every implementation promises.

1. `check` returns only for a consent that holds now for just this call: this citizen, consumer,
   service and purpose. Everything else raises; what isn't known raises too.
2. A consent that is unknown and one that is another's are refused alike: who asks learns nothing of
   consents that aren't his.
3. A withdrawal is for good. From the moment at which it is told, `check` refuses.
4. `withdrawals` tells every withdrawal that is made after its first item has come, within a moment;
   whoever listens has heard all as long as it goes on, and knows nothing once it has ended.

`tests/unit/node/consent/test_verifiers.py` runs the same tests against every implementation.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from node.consent.model import Question


class ConsentVerifier(Protocol):
    """A register of consents, as a provider's node asks it."""

    async def check(self, question: Question, now_ms: int) -> int:
        """Until when the consent holds: the first moment at which it no longer does.

        Raises:
            SimpulError: CONSENT_REFUSED, CONSENT_WITHDRAWN, CONSENT_EXPIRED; CONSENT_UNVERIFIED
                where the register can't be asked.
        """
        ...

    def withdrawals(self) -> AsyncGenerator[frozenset[str]]:
        """Withdrawals from now on, as references; an item may be empty.

        Raises:
            SimpulError: CONSENT_UNVERIFIED: they can no longer be heard.
        """
        ...

    async def close(self) -> None:
        """Give back what it holds open."""
        ...
