"""What every verifier promises (`node.consent.verifier`): our own, and an agency's."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import grpc
import pytest

from examples.gen.simpul.v1 import consent_pb2 as theirs
from examples.gen.simpul.v1 import consent_pb2_grpc
from examples.persetujuan.server import Register
from node.consent.local import LocalRegister
from node.consent.model import Consent, Question
from node.consent.outside import OutsideRegister
from node.consent.verifier import ConsentVerifier
from node.journal.kept.keys import KeptKeys
from node.store.consents import keep_consent, mark_withdrawn
from node.store.engine import Store
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId
from security.persons import PersonKind, person_tag
from security.secret_key import SecretKey
from tests.support.consents import FakeRegister

NOW: Final = now_ms()
HOUR: Final = 3_600_000
SUBJECT: Final = "6471014001900001"
QUESTION: Final = Question(
    "cns-samarinda",
    SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/superapp"),
    ServiceId.parse("ID/DAERAH/64.72/pariwisata/wisata.v1.Wisata"),
    "Get",
    "layanan-wisata",
    SUBJECT,
)
OLD_KEY, NEW_KEY = SecretKey(bytes(32)), SecretKey(bytes([1]) * 32)
WAIT_S: Final = 10.0


class Kept(Protocol):
    """A verifier, and how a test fills the register behind it."""

    @property
    def verifier(self) -> ConsentVerifier: ...

    def give(self, question: Question, until_ms: int) -> None: ...

    def withdraw(self, reference: str) -> None: ...


@dataclass
class InMemory:
    verifier: FakeRegister

    def give(self, question: Question, until_ms: int) -> None:
        self.verifier.give(question, until_ms)

    def withdraw(self, reference: str) -> None:
        self.verifier.withdraw(reference)


@dataclass
class Own:
    verifier: LocalRegister
    store: Store

    def give(self, question: Question, until_ms: int) -> None:
        # By the key that was the newest then.
        tag = person_tag(OLD_KEY, PersonKind.SUBJECT, question.subject)
        said = (question.consumer, question.service, question.purpose)
        keep_consent(self.store, Consent(question.reference, tag, *said, NOW - HOUR, until_ms))

    def withdraw(self, reference: str) -> None:
        mark_withdrawn(self.store, reference, NOW)
        self.verifier.tell(frozenset({reference}))


class Agencys:
    """The example's server, over a file."""

    def __init__(self, file: Path, verifier: OutsideRegister) -> None:
        self.verifier = verifier
        self._file = file
        self._items: dict[str, dict[str, object]] = {}
        self._write()

    def give(self, question: Question, until_ms: int) -> None:
        self._items[question.reference] = {
            "reference": question.reference, "subject": question.subject,
            "consumer": str(question.consumer), "provider": str(question.service.subsystem),
            "service": question.service.service, "purpose": question.purpose,
            "until": datetime.fromtimestamp(until_ms / 1000, UTC).isoformat(),
        }  # fmt: skip
        self._write()

    def withdraw(self, reference: str) -> None:
        self._items[reference]["withdrawn"] = True
        self._write()

    def _write(self) -> None:
        whole = self._file.with_suffix(".new")
        whole.write_text(json.dumps(list(self._items.values())))
        whole.replace(self._file)


@pytest.fixture(params=["memory", "own", "agency"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    if request.param == "memory":
        yield InMemory(FakeRegister())
    elif request.param == "own":
        store = Store.open(tmp_path / "state.db")
        yield Own(LocalRegister(store, lambda: KeptKeys((), (OLD_KEY, NEW_KEY))), store)
        store.close()
    else:
        server = grpc.aio.server()
        file = tmp_path / "consents.json"
        consent_pb2_grpc.add_ConsentVerifierServicer_to_server(Register(file), server)
        server.add_insecure_port(f"unix:{tmp_path}/r")
        await server.start()
        verifier = OutsideRegister(grpc.aio.insecure_channel(f"unix:{tmp_path}/r"))
        yield Agencys(file, verifier)
        await verifier.close()
        await server.stop(0)


async def refusal(kept: Kept, question: Question, at_ms: int = NOW) -> Code:
    with pytest.raises(SimpulError) as caught:
        await kept.verifier.check(question, at_ms)
    # Whoever asks learns nothing of a citizen from it.
    assert SUBJECT not in caught.value.message
    return caught.value.code


async def test_a_consent_that_was_given_holds_until_its_time(kept: Kept) -> None:
    kept.give(QUESTION, NOW + HOUR)
    assert await kept.verifier.check(QUESTION, NOW) == NOW + HOUR
    assert await kept.verifier.check(replace(QUESTION, method="List"), NOW) == NOW + HOUR


async def test_a_consent_that_is_over_is_refused_from_that_moment(kept: Kept) -> None:
    kept.give(QUESTION, NOW + HOUR)
    assert await kept.verifier.check(QUESTION, NOW + HOUR - 1) == NOW + HOUR
    assert await refusal(kept, QUESTION, NOW + HOUR) is Code.CONSENT_EXPIRED
    gone = replace(QUESTION, reference="cns-long-ago")
    kept.give(gone, NOW - HOUR)
    assert await refusal(kept, gone) is Code.CONSENT_EXPIRED


async def test_one_that_is_unknown_is_refused(kept: Kept) -> None:
    assert await refusal(kept, QUESTION) is Code.CONSENT_REFUSED


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "6471014001900002"},
        {"subject": ""},
        {"subject": " "},
        {"consumer": SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/superapp-2")},
        {"consumer": SubsystemId.parse("ID/KEMENTERIAN/KEMENHUB/superapp")},
        {"service": ServiceId.parse("ID/DAERAH/64.72/pariwisata/wisata.v1.Wisatawan")},
        {"service": ServiceId.parse("ID/DAERAH/64.71/pariwisata/wisata.v1.Wisata")},
        {"purpose": "statistik"},
    ],
    ids=str,
)
async def test_another_use_is_refused_like_one_that_is_unknown(
    kept: Kept, other: dict[str, object]
) -> None:
    kept.give(QUESTION, NOW + HOUR)
    asked = replace(QUESTION, **other)  # type: ignore[arg-type]
    assert await refusal(kept, asked) is Code.CONSENT_REFUSED
    kept.withdraw(QUESTION.reference)
    # Nor does it learn that there was one, and what became of it.
    assert await refusal(kept, asked) is Code.CONSENT_REFUSED


async def test_a_withdrawal_is_for_good(kept: Kept) -> None:
    kept.give(QUESTION, NOW + HOUR)
    kept.withdraw(QUESTION.reference)
    assert await refusal(kept, QUESTION) is Code.CONSENT_WITHDRAWN
    # Whatever the time.
    assert await refusal(kept, QUESTION, NOW + 2 * HOUR) is Code.CONSENT_WITHDRAWN


async def test_withdrawals_are_told_from_the_first_word_on(kept: Kept) -> None:
    again = replace(QUESTION, reference="cns-balikpapan")
    for question in (QUESTION, again):
        kept.give(question, NOW + HOUR)
    kept.withdraw(QUESTION.reference)
    async with aclosing(kept.verifier.withdrawals()) as heard, asyncio.timeout(WAIT_S):
        assert await anext(heard) == frozenset()
        kept.withdraw(again.reference)
        assert await until(heard, bool) == {again.reference}


async def test_two_who_listen_both_hear(kept: Kept) -> None:
    kept.give(QUESTION, NOW + HOUR)
    async with (
        aclosing(kept.verifier.withdrawals()) as one,
        aclosing(kept.verifier.withdrawals()) as two,
        asyncio.timeout(WAIT_S),
    ):
        assert await anext(one) == await anext(two) == frozenset()
        kept.withdraw(QUESTION.reference)
        assert await until(one, bool) == await until(two, bool) == {QUESTION.reference}


async def until(
    heard: AsyncIterator[frozenset[str]], fits: Callable[[frozenset[str]], bool]
) -> frozenset[str]:
    async for said in heard:
        if fits(said):
            return said
    raise AssertionError("it ended")


class Answers(consent_pb2_grpc.ConsentVerifierServicer):
    """A register of a test's own."""

    def __init__(self, answer: theirs.CheckConsentResponse | None) -> None:
        self._answer = answer

    async def CheckConsent(  # noqa: N802 - the contract's name
        self, request: theirs.CheckConsentRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> theirs.CheckConsentResponse:
        del request
        if self._answer is None:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"no {SUBJECT} here")
            raise AssertionError
        return self._answer

    async def WatchConsents(  # noqa: N802 - the contract's name
        self,
        request: theirs.WatchConsentsRequest,
        context: grpc.aio.ServicerContext[object, object],
    ) -> AsyncIterator[theirs.WatchConsentsResponse]:
        del request, context
        yield theirs.WatchConsentsResponse()
        if self._answer is not None:
            await asyncio.sleep(WAIT_S)


@asynccontextmanager
async def answering(
    tmp_path: Path, answer: theirs.CheckConsentResponse | None
) -> AsyncIterator[OutsideRegister]:
    server = grpc.aio.server()
    consent_pb2_grpc.add_ConsentVerifierServicer_to_server(Answers(answer), server)
    server.add_insecure_port(f"unix:{tmp_path}/a")
    await server.start()
    register = OutsideRegister(grpc.aio.insecure_channel(f"unix:{tmp_path}/a"), silence_s=0.2)
    yield register
    await register.close()
    await server.stop(0)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        theirs.CheckConsentResponse(),
        theirs.CheckConsentResponse(valid_until_ms=NOW + HOUR),
        theirs.CheckConsentResponse(state=theirs.CONSENT_STATE_GIVEN),
        theirs.CheckConsentResponse(state=theirs.CONSENT_STATE_GIVEN, valid_until_ms=-1),
        theirs.CheckConsentResponse(state=9, valid_until_ms=NOW + HOUR),  # type: ignore[arg-type]
    ],
    # The time is another one in each process that collects them.
    ids=["no answer", "empty", "no state", "no end", "end before time", "unknown state"],
)
async def test_what_isnt_a_plain_yes_is_a_no(
    tmp_path: Path, answer: theirs.CheckConsentResponse | None
) -> None:
    async with answering(tmp_path, answer) as register:
        with pytest.raises(SimpulError) as caught:
            await register.check(QUESTION, NOW)
    assert caught.value.code is Code.CONSENT_UNVERIFIED
    assert SUBJECT not in caught.value.message


async def test_a_yes_that_is_over_by_this_nodes_clock_is_over(tmp_path: Path) -> None:
    given = theirs.CheckConsentResponse(state=theirs.CONSENT_STATE_GIVEN, valid_until_ms=NOW)
    async with answering(tmp_path, given) as register:
        with pytest.raises(SimpulError) as caught:
            await register.check(QUESTION, NOW)
    assert caught.value.code is Code.CONSENT_EXPIRED


@pytest.mark.parametrize("ends", [True, False])
async def test_silence_and_an_end_are_not_taken_for_nothing_withdrawn(
    tmp_path: Path, *, ends: bool
) -> None:
    answer = None if ends else theirs.CheckConsentResponse()
    async with answering(tmp_path, answer) as register, aclosing(register.withdrawals()) as heard:
        assert await anext(heard) == frozenset()
        with pytest.raises(SimpulError) as caught:
            await anext(heard)
    assert caught.value.code is Code.CONSENT_UNVERIFIED


async def test_a_register_that_isnt_there_affirms_nothing(tmp_path: Path) -> None:
    register = OutsideRegister(grpc.aio.insecure_channel(f"unix:{tmp_path}/nobody"))
    with pytest.raises(SimpulError) as caught:
        await register.check(QUESTION, NOW)
    assert caught.value.code is Code.CONSENT_UNVERIFIED
    await register.close()
