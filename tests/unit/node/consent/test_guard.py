"""Nobody's silence is a yes, and no withdrawal is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import pytest

from node.consent import guard as module
from node.consent.guard import ConsentGuard
from node.consent.model import Question
from security.errors import Code, SimpulError
from tests.conformance import fixed
from tests.support.consents import FakeRegister
from tests.support.pair import SERVICE_ID

QUESTION: Final = Question("cns-berau", fixed.SUPER_APP, SERVICE_ID, "Get", "wisata", "Budi")
LATER: Final = fixed.NOW_MS + 1000


@dataclass
class Heard:
    """Workers that note what they are told; they fail where a test says so."""

    told: list[object] = field(default_factory=list)
    fault: SimpulError | None = None

    async def end_consents(self, references: frozenset[str]) -> None:
        self.told.append(set(references))
        if self.fault is not None:
            raise self.fault

    async def confirm_consents(self) -> None:
        self.told.append("confirm")
        if self.fault is not None:
            raise self.fault

    async def until(self, *told: object) -> None:
        async with asyncio.timeout(10):
            while self.told[-len(told) :] != list(told):
                await asyncio.sleep(0.005)


def guarded(register: FakeRegister, workers: Heard, timeout_s: float = 5.0) -> ConsentGuard:
    return ConsentGuard(register, workers, timeout_s=timeout_s, now_ms=lambda: fixed.NOW_MS)


@asynccontextmanager
async def running(register: FakeRegister, workers: Heard) -> AsyncIterator[ConsentGuard]:
    made = guarded(register, workers)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UNHEARD_S", 0.01)


async def refusal(made: ConsentGuard, question: Question = QUESTION) -> Code:
    with pytest.raises(SimpulError) as caught:
        await made.verify(question)
    return caught.value.code


async def test_what_the_verifier_says_is_passed_on() -> None:
    register = FakeRegister()
    made = guarded(register, Heard())
    assert await refusal(made) is Code.CONSENT_REFUSED
    register.give(QUESTION, LATER)
    assert await made.verify(QUESTION) == LATER
    register.withdraw(QUESTION.reference)
    assert await refusal(made) is Code.CONSENT_WITHDRAWN
    register.give(replace(QUESTION, reference="cns-over"), fixed.NOW_MS)
    assert await refusal(made, replace(QUESTION, reference="cns-over")) is Code.CONSENT_EXPIRED


async def test_a_verifier_that_doesnt_answer_in_time_affirms_nothing() -> None:
    register = FakeRegister(slow=asyncio.Event())
    register.give(QUESTION, LATER)
    assert await refusal(guarded(register, Heard(), timeout_s=0.05)) is Code.CONSENT_UNVERIFIED


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.DATABASE_FAILED, Code.CONSENT_UNVERIFIED])
async def test_a_verifier_that_fails_affirms_nothing_and_its_words_stay_here(code: Code) -> None:
    register = FakeRegister(fault=SimpulError(code, "the citizen Budi"))
    with pytest.raises(SimpulError) as caught:
        await guarded(register, Heard()).verify(QUESTION)
    assert caught.value.code is Code.CONSENT_UNVERIFIED
    assert code is Code.CONSENT_UNVERIFIED or "Budi" not in caught.value.message


async def test_withdrawals_reach_the_workers() -> None:
    register, workers = FakeRegister(), Heard()
    async with running(register, workers) as made:
        # Something may have been withdrawn before it listened.
        await workers.until("confirm")
        assert made.heard
        register.withdraw("cns-berau")
        await workers.until({"cns-berau"})


async def test_while_nothing_is_heard_all_in_use_is_asked_for_again_and_again() -> None:
    register, workers = FakeRegister(), Heard()
    async with running(register, workers) as made:
        await workers.until("confirm")
        register.fault = SimpulError(Code.CONSENT_UNVERIFIED, "gone")
        register.hang_up()
        await workers.until("confirm", "confirm", "confirm", "confirm")
        assert not made.heard
        register.fault = None
        async with asyncio.timeout(10):
            while not made.heard:
                await asyncio.sleep(0.005)
        register.withdraw("cns-berau")
        await workers.until({"cns-berau"})


async def test_a_worker_that_hangs_keeps_no_withdrawal_from_the_others() -> None:
    register = FakeRegister()
    workers = Heard(fault=SimpulError(Code.INTERNAL, "worker 0 did not answer"))
    async with running(register, workers):
        await workers.until("confirm")
        register.withdraw("cns-berau")
        await workers.until({"cns-berau"})
        register.withdraw("cns-paser")
        await workers.until({"cns-berau"}, {"cns-paser"})
