"""The calls under way that rest on a consent, so that they end when it no longer holds.

A call is known here before its consent is asked for: a withdrawal that comes meanwhile finds it.
What is asked is the supervisor's to answer (`node.consent.guard`). Rules:

1. A consent that isn't affirmed is refused, for whatever reason.
2. A call ends when its consent is withdrawn, when it is over, and when it has to be affirmed anew
   and isn't: each is asked for within `ASK_S`, and affirmed within `CONFIRM_S` from then.

Looked at by reference and not by call: a thousand streams by one consent cost one look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from node.consent import refusals
from node.consent.model import Question
from node.exchange.under import Ended
from security.errors import Code, SimpulError

ASK_S: Final = 1.0
CONFIRM_S: Final = 1.0
# Questions at once, of those that are asked anew.
MAX_AT_ONCE: Final = 64

Verify = Callable[[Question], Awaitable[int]]


@dataclass(slots=True, eq=False)
class _Use:
    """One call by a consent."""

    question: Question
    call: Ended
    # None until it is affirmed.
    valid_until_ms: int | None = None


class Consents:
    """One for each worker. `verify` asks the supervisor."""

    def __init__(self, verify: Verify) -> None:
        self._verify = verify
        self._uses: dict[str, set[_Use]] = {}

    @asynccontextmanager
    async def call(
        self, question: Question, call: Ended, now_ms: Callable[[], int]
    ) -> AsyncIterator[None]:
        """Affirm a call's consent, and have the call under way within the block.

        Raises:
            SimpulError: It doesn't hold, or isn't affirmed (CONSENT_REFUSED and the like).
        """
        use = _Use(question, call)
        self._uses.setdefault(question.reference, set()).add(use)
        try:
            use.valid_until_ms = await self._affirmed(question)
            if now_ms() >= use.valid_until_ms:
                raise refusals.over()
            yield
        finally:
            uses = self._uses[question.reference]
            uses.discard(use)
            if not uses:
                del self._uses[question.reference]

    def end(self, references: Iterable[str]) -> None:
        """These consents were withdrawn: end their calls now."""
        for reference in references:
            for use in tuple(self._uses.get(reference, ())):
                use.call.end(refusals.withdrawn())

    def recheck(self, now_ms: int) -> None:
        """End the calls whose consent is over."""
        for uses in tuple(self._uses.values()):
            for use in tuple(uses):
                if use.valid_until_ms is not None and now_ms >= use.valid_until_ms:
                    use.call.end(refusals.over())

    async def confirm(self) -> None:
        """Ask for each consent in use anew, and end the calls of those that aren't affirmed."""
        uses = [use for each in self._uses.values() for use in each]
        room = asyncio.Semaphore(MAX_AT_ONCE)
        by_question: dict[Question, list[_Use]] = {}
        for use in uses:
            by_question.setdefault(use.question, []).append(use)
        asked = (self._confirm(question, same, room) for question, same in by_question.items())
        await asyncio.gather(*asked)

    async def _confirm(self, question: Question, uses: list[_Use], room: asyncio.Semaphore) -> None:
        try:
            until_ms = await self._affirmed_anew(question, room)
        except SimpulError as error:
            refusal = error
        except TimeoutError:
            refusal = refusals.unverified("nobody affirmed it anew in time")
        else:
            for use in uses:
                use.valid_until_ms = until_ms
            return
        for use in uses:
            use.call.end(refusal)

    async def _affirmed_anew(self, question: Question, room: asyncio.Semaphore) -> int:
        """Wait for a place, and then for the answer: a queue says nothing of a consent."""
        async with asyncio.timeout(ASK_S):
            await room.acquire()
        try:
            async with asyncio.timeout(CONFIRM_S):
                return await self._affirmed(question)
        finally:
            room.release()

    async def _affirmed(self, question: Question) -> int:
        try:
            return await self._verify(question)
        except SimpulError as error:
            if error.code is Code.SUPERVISOR_LOST or error.code is Code.DEADLINE_EXCEEDED:
                raise refusals.unverified("this worker has lost its supervisor") from error
            raise
