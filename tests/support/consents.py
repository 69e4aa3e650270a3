"""A register of consents in memory (`node.consent.verifier.ConsentVerifier`)."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

from node.consent import refusals
from node.consent.model import Question
from security.errors import SimpulError
from tests.conformance import fixed


@dataclass
class FakeRegister:
    """Answers by what a test gave and withdrew."""

    given: dict[str, tuple[Question, int]] = field(default_factory=dict)
    withdrawn: set[str] = field(default_factory=set)
    # Raised, or waited for, before an answer.
    fault: SimpulError | None = None
    slow: asyncio.Event | None = None
    asked: list[Question] = field(default_factory=list)
    listening: set[asyncio.Queue[frozenset[str] | None]] = field(default_factory=set)

    def give(self, question: Question, until_ms: int) -> None:
        """Let this be so, for any method."""
        self.given[question.reference] = (replace(question, method=""), until_ms)

    def withdraw(self, reference: str) -> None:
        """Take it back, and tell who listens."""
        self.withdrawn.add(reference)
        for heard in self.listening:
            heard.put_nowait(frozenset({reference}))

    def hang_up(self) -> None:
        """Tell nobody any more; whoever listens again, hears again."""
        for heard in self.listening:
            heard.put_nowait(None)

    async def verify(self, question: Question) -> int:
        """As a worker asks it."""
        return await self.check(question, fixed.NOW_MS)

    async def check(self, question: Question, now_ms: int) -> int:
        """Until when it holds."""
        self.asked.append(question)
        if self.slow is not None:
            await self.slow.wait()
        if self.fault is not None:
            raise self.fault
        given, until_ms = self.given.get(question.reference, (None, 0))
        if given != replace(question, method=""):
            raise refusals.unknown()
        if question.reference in self.withdrawn:
            raise refusals.withdrawn()
        if now_ms >= until_ms:
            raise refusals.over()
        return until_ms

    async def withdrawals(self) -> AsyncGenerator[frozenset[str]]:
        """What a test withdraws from now on."""
        if self.fault is not None:
            raise self.fault
        heard: asyncio.Queue[frozenset[str] | None] = asyncio.Queue()
        self.listening.add(heard)
        try:
            yield frozenset()
            while (said := await heard.get()) is not None:
                yield said
        finally:
            self.listening.discard(heard)
        raise refusals.unverified("it hung up")

    async def close(self) -> None:
        """Nothing is open."""
