"""Asks the verifier in time, hears its withdrawals, and has the workers end what rests on them.

One for each supervisor. Rules:

1. A consent that isn't affirmed in time is refused: nobody's silence is a yes.
2. While withdrawals are heard, each is in force at every worker at once.
3. While they aren't, each consent in use is asked for anew, every half second; and once more when
   they are heard again, because something may have been missed between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from node.consent import refusals
from node.consent.model import Question
from node.consent.verifier import ConsentVerifier
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

UNHEARD_S: Final = 0.5
# What a verifier may say of a consent; whatever else it raises is that it can't.
_SAID: Final = frozenset({Code.CONSENT_REFUSED, Code.CONSENT_WITHDRAWN, Code.CONSENT_EXPIRED})


class Workers(Protocol):
    """Those who carry the calls."""

    async def end_consents(self, references: frozenset[str]) -> None:
        """End the calls of these consents; done when every worker has."""
        ...

    async def confirm_consents(self) -> None:
        """Ask for each consent in use anew, and end the calls of those that aren't affirmed."""
        ...


class ConsentGuard:
    """Between one verifier and the workers."""

    def __init__(
        self,
        verifier: ConsentVerifier,
        workers: Workers,
        *,
        timeout_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        self._verifier = verifier
        self._workers = workers
        self._timeout_s = timeout_s
        self._now_ms = now_ms
        self.heard = False

    async def verify(self, question: Question) -> int:
        """Until when a consent holds.

        Raises:
            SimpulError: CONSENT_REFUSED, CONSENT_WITHDRAWN, CONSENT_EXPIRED; CONSENT_UNVERIFIED
                where the verifier doesn't say in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._verifier.check(question, self._now_ms())
        except TimeoutError:
            _log.warning("a consent was not affirmed in time", within_s=self._timeout_s)
            raise refusals.unverified(
                f"its register did not answer within {self._timeout_s:g} s"
            ) from None
        except SimpulError as error:
            if error.code in _SAID or error.code is Code.CONSENT_UNVERIFIED:
                raise
            _log.error("a consent can't be verified", code=error.code, why=error.message)
            raise refusals.unverified("its register can't be asked") from error

    async def withdrawn(self, references: frozenset[str]) -> None:
        """Have these consents' calls ended now.

        Raises:
            SimpulError: A worker didn't say that it has.
        """
        await self._workers.end_consents(references)

    async def run(self) -> None:
        """Hear withdrawals until cancelled."""
        while True:
            try:
                await self._hear(self._verifier.withdrawals())
            except SimpulError as error:
                if self.heard:
                    _log.warning(
                        "withdrawals of consents are not heard", code=error.code, why=error.message
                    )
            self.heard = False
            await _told(self._workers.confirm_consents())
            await asyncio.sleep(UNHEARD_S)

    async def _hear(self, withdrawals: AsyncGenerator[frozenset[str]]) -> None:
        async with aclosing(withdrawals) as each:
            async for references in each:
                if not self.heard:
                    self.heard = True
                    _log.info("withdrawals of consents are heard")
                    await _told(self._workers.confirm_consents())
                if references:
                    _log.info("consents withdrawn", number=len(references))
                    await _told(self._workers.end_consents(references))


async def _told(order: Awaitable[None]) -> None:
    try:
        await order
    except SimpulError as error:
        # A worker that hangs, or has just ended and its calls with it.
        _log.error("a worker has not judged its consents", code=error.code, why=error.message)
