"""Every term of an agreement times within, at the edge, beyond and absent; at both nodes.

A row changes the one agreement that both nodes hold, makes a call, and says what the provider's
node answers and what the consumer's does. The provider is asked by a consumer's node that skips
every check of its own: it makes the call whatever its agreement says.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.consent.model import Question
from node.exchange.asks import Asked
from node.exchange.fields import ALL
from node.exchange.metadata import error_trailers
from node.exchange.routing import find_routes
from node.policy.rules import AgreementBook
from security.agreement import agreement_hash, make_agreement
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.delegations import DELEGATOR, record
from tests.support.pair import SERVICE_ID, FakeCall, Half, Pair, pair

Wire = agreement_pb2.Agreement
NAME: Final = b"\x0a\x06Komodo"
KEEPER: Final = b"\x12\x04Budi"
UNKNOWN: Final = b"\x1a\x06secret"
WHOLE: Final = NAME + KEEPER + UNKNOWN
NOW: Final = fixed.NOW_MS
YEAR: Final = 365 * fixed.DAY_MS
# 2026-01-05T09:00 in Western Indonesia Time.
MINUTE: Final = 9 * 60
SIBLING: Final = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/other")
LIBRARY: Final = SubsystemId.parse("ID/DAERAH/53.15/perpustakaan")
REFERENCE: Final = "cns-komodo"
SUBJECT: Final = "5315014001900001"
ABOUT: Final = ("simpul-subject", SUBJECT.encode())
# What the register of the provider has, each until when.
CONSENTS: Final = {REFERENCE: NOW + YEAR, "cns-ends-now": NOW, "cns-last-moment": NOW + 1}
WITHDRAWN: Final = "cns-withdrawn"
ANOTHERS: Final = "cns-anothers"
STRANGER: Final = "ID/DAERAH/52.08"
THIRD: Final = directories.directory(record()).members[DELEGATOR]
INVALID: Final = Code.AGREEMENT_INVALID
NONE: Final = Code.ACCESS_NO_AGREEMENT
OVER: Final = Code.ACCESS_EXPIRED


class At(StrEnum):
    """Where what a row asks for stands, of what its term says."""

    WITHIN = "within"
    EDGE = "at the edge"
    BEYOND = "beyond"
    ABSENT = "absent"


@dataclass(frozen=True)
class Row:
    """One change of the agreement, and the call that is made by it."""

    term: str
    at: At
    change: Callable[[Wire], object] = lambda _: None
    # None: the call is answered.
    provider: Code | None = None
    consumer: Code | None = None
    # What arrived at the service, and what came back.
    asked: bytes = WHOLE
    answered: bytes = WHOLE
    purpose: str | None = "layanan-wisata"
    # How many calls are made before the one that is judged.
    before: int = 0
    # In whose name is called.
    on_behalf_of: MemberId | None = None
    # What the app sends as simpul-consent.
    consent: str | None = None
    # Only the provider can know: the consumer's node lets it travel.
    travels: bool = False

    def __str__(self) -> str:
        return f"{self.term} {self.at}"


def invalid(term: str, at: At, change: Callable[[Wire], object]) -> Row:
    return Row(term, at, change, provider=INVALID, consumer=INVALID)


def refused(row: Row, code: Code, at_consumer: Code | None = None) -> Row:
    return dataclasses.replace(row, provider=code, consumer=at_consumer or code)


def put(name: str, value: object) -> Callable[[Wire], object]:
    return lambda wire: setattr(wire, name, value)


def clear(name: str) -> Callable[[Wire], object]:
    return lambda wire: wire.ClearField(name)  # type: ignore[arg-type]


def listed(name: str, *values: object) -> Callable[[Wire], object]:
    def change(wire: Wire) -> None:
        wire.ClearField(name)  # type: ignore[arg-type]
        getattr(wire, name).extend(values)

    return change


def party(name: str, **changes: object) -> Callable[[Wire], object]:
    def change(wire: Wire) -> None:
        for key, value in changes.items():
            setattr(getattr(wire, name), key, value)

    return change


def fields(name: str, *paths: str) -> Callable[[Wire], object]:
    return lambda wire: getattr(wire, name).CopyFrom(agreement_pb2.FieldTerm(paths=paths))


def consented(at: At, code: Code | None = None, consent: str = REFERENCE) -> Row:
    """A call for a purpose that rests on consent; only the provider's register knows of it."""
    by_consent = purpose("layanan-wisata", basis=1)
    row = Row("consent", at, by_consent, consent=consent)
    return row if code is None else dataclasses.replace(refused(row, code), travels=True)


def rate(**limits: int) -> Callable[[Wire], object]:
    return lambda wire: wire.rate.CopyFrom(agreement_pb2.RateTerm(**limits))


def hours(*spans: tuple[int, int]) -> Callable[[Wire], object]:
    items = (agreement_pb2.HoursTerm(from_minute=a, until_minute=b) for a, b in spans)
    return listed("hours", *items)


def service(name: str, *methods: str) -> Callable[[Wire], object]:
    return listed("services", agreement_pb2.ServiceTerm(service=name, methods=methods))


def purpose(*ids: str, basis: int = 5) -> Callable[[Wire], object]:
    chosen = agreement_pb2.LegalBasis.ValueType(basis)
    return listed(
        "purposes", *(agreement_pb2.PurposeTerm(id=name, legal_basis=chosen) for name in ids)
    )


def delegated(delegation: bytes = bytes(32)) -> Callable[[Wire], object]:
    def change(wire: Wire) -> None:
        wire.delegator.member = str(DELEGATOR)
        wire.delegator.identity_key_id = bytes(32)
        wire.delegation = delegation

    return change


ROWS: Final = (
    Row("version", At.WITHIN),
    invalid("version", At.EDGE, put("version", 2)),
    invalid("version", At.BEYOND, put("version", 2**32 - 1)),
    invalid("version", At.ABSENT, clear("version")),
    Row("federation", At.WITHIN),
    invalid("federation", At.EDGE, put("federation", "ID2")),
    invalid("federation", At.BEYOND, put("federation", "TEST")),
    invalid("federation", At.ABSENT, clear("federation")),
    Row("nonce", At.WITHIN),
    invalid("nonce", At.EDGE, put("nonce", bytes(15))),
    invalid("nonce", At.BEYOND, put("nonce", bytes(17))),
    invalid("nonce", At.ABSENT, clear("nonce")),
    Row("provider", At.WITHIN),
    invalid("provider", At.EDGE, party("provider", identity_key_id=bytes(31))),
    invalid("provider", At.BEYOND, party("provider", member=STRANGER)),
    invalid("provider", At.ABSENT, clear("provider")),
    Row("consumer", At.WITHIN),
    invalid("consumer", At.EDGE, party("consumer", identity_key_id=bytes(33))),
    # Its subsystems are not that member's.
    invalid("consumer", At.BEYOND, party("consumer", member=STRANGER)),
    invalid("consumer", At.ABSENT, clear("consumer")),
    Row("delegator", At.WITHIN, delegated(), on_behalf_of=DELEGATOR),
    # In nobody's name but its own, by an agreement for another; and in another name.
    refused(Row("delegator", At.EDGE, delegated()), Code.ACCESS_DELEGATION, NONE),
    refused(
        Row("delegator", At.BEYOND, delegated(), on_behalf_of=fixed.REGENCY), Code.ACCESS_DELEGATION
    ),
    invalid("delegator", At.BEYOND, party("delegator", member=str(fixed.REGENCY))),
    refused(Row("delegator", At.ABSENT, on_behalf_of=DELEGATOR), Code.ACCESS_DELEGATION),
    # What it says was verified when it came.
    Row("delegation", At.WITHIN, delegated(), on_behalf_of=DELEGATOR),
    invalid("delegation", At.EDGE, delegated(bytes(31))),
    invalid("delegation", At.BEYOND, delegated(bytes(33))),
    invalid("delegation", At.ABSENT, delegated(b"")),
    Row("provider_subsystem", At.WITHIN),
    refused(
        Row("provider_subsystem", At.EDGE, put("provider_subsystem", f"{fixed.TOURISM}-2")), NONE
    ),
    refused(Row("provider_subsystem", At.BEYOND, put("provider_subsystem", str(LIBRARY))), NONE),
    invalid("provider_subsystem", At.ABSENT, clear("provider_subsystem")),
    Row("consumer_subsystems", At.WITHIN),
    Row(
        "consumer_subsystems", At.EDGE,
        listed("consumer_subsystems", str(SIBLING), str(fixed.SUPER_APP)),
    ),
    refused(
        Row("consumer_subsystems", At.BEYOND, listed("consumer_subsystems", str(SIBLING))),
        Code.ACCESS_CONSUMER, NONE,
    ),
    invalid("consumer_subsystems", At.ABSENT, clear("consumer_subsystems")),
    Row("services", At.WITHIN, service(fixed.SERVICE, "Get")),
    Row("services", At.EDGE, service(fixed.SERVICE, "List", "Watch", "Get")),
    refused(Row("services", At.BEYOND, service(fixed.SERVICE, "List")), Code.ACCESS_METHOD),
    refused(
        Row("services", At.BEYOND, service("wisata.v1.Wisatawan", "Get")),
        Code.ACCESS_METHOD, Code.ACCESS_METHOD,
    ),
    invalid("services", At.ABSENT, clear("services")),
    invalid("services", At.ABSENT, service(fixed.SERVICE)),
    Row("purposes", At.WITHIN),
    Row("purposes", At.EDGE, purpose("statistik", "layanan-wisata")),
    # The only one there is; the consumer's node fills it in, and the provider's never does.
    Row("purposes", At.EDGE, purpose=None, provider=Code.ACCESS_PURPOSE),
    refused(Row("purposes", At.BEYOND, purpose="iklan"), Code.ACCESS_PURPOSE),
    refused(Row("purposes", At.BEYOND, purpose="Layanan wisata"), Code.ACCESS_PURPOSE),
    refused(Row("purposes", At.BEYOND, purpose="for whatever " * 19), Code.ACCESS_PURPOSE),
    refused(
        Row("purposes", At.ABSENT, purpose("a", "layanan-wisata"), purpose=None),
        Code.ACCESS_PURPOSE,
    ),
    invalid("purposes", At.ABSENT, clear("purposes")),
    invalid("purposes", At.ABSENT, purpose("layanan-wisata", basis=0)),
    invalid("purposes", At.BEYOND, purpose("layanan-wisata", basis=7)),
    consented(At.WITHIN),
    consented(At.EDGE, consent="cns-last-moment"),
    consented(At.BEYOND, Code.CONSENT_EXPIRED, "cns-ends-now"),
    consented(At.BEYOND, Code.CONSENT_WITHDRAWN, WITHDRAWN),
    consented(At.BEYOND, Code.CONSENT_REFUSED, ANOTHERS),
    consented(At.BEYOND, Code.CONSENT_REFUSED, "cns-never-given"),
    # Beside a purpose that rests on another right.
    refused(Row("consent", At.BEYOND, consent=REFERENCE), Code.CONSENT_NEEDLESS),
    refused(
        Row("consent", At.ABSENT, purpose("layanan-wisata", basis=1)), Code.CONSENT_MISSING
    ),
    Row("request_fields", At.WITHIN, fields("request_fields", "Get/name", "Get/keeper"),
        asked=NAME + KEEPER, answered=NAME + KEEPER),
    Row("request_fields", At.EDGE, fields("request_fields", "Get/name"),
        asked=NAME, answered=NAME),
    refused(
        Row("request_fields", At.BEYOND, fields("request_fields", "Get/price")), Code.ACCESS_FIELDS
    ),
    invalid("request_fields", At.ABSENT, clear("request_fields")),
    Row("response_fields", At.WITHIN, fields("response_fields", "Get/name", "Get/keeper"),
        answered=NAME + KEEPER),
    Row("response_fields", At.EDGE, fields("response_fields", "Get/name"), answered=NAME),
    refused(
        Row("response_fields", At.BEYOND, fields("response_fields", "Get/price")),
        Code.ACCESS_FIELDS,
    ),
    invalid("response_fields", At.ABSENT, clear("response_fields")),
    Row("rate", At.WITHIN, rate(calls_per_second=1, burst=3)),
    Row("rate", At.EDGE, rate(calls_per_second=1, burst=3), before=2),
    refused(
        Row("rate", At.BEYOND, rate(calls_per_second=1, burst=3), before=3), Code.ACCESS_RATE
    ),
    Row("rate", At.WITHIN, rate(calls_per_day=3)),
    Row("rate", At.EDGE, rate(calls_per_day=3), before=2),
    refused(Row("rate", At.BEYOND, rate(calls_per_day=3), before=3), Code.ACCESS_QUOTA),
    Row("rate", At.ABSENT, clear("rate"), before=5),
    invalid("rate", At.ABSENT, rate()),
    invalid("rate", At.ABSENT, rate(calls_per_second=1)),
    Row("valid_from_ms", At.WITHIN, put("valid_from_ms", NOW - 1)),
    Row("valid_from_ms", At.EDGE, put("valid_from_ms", NOW)),
    refused(Row("valid_from_ms", At.BEYOND, put("valid_from_ms", NOW + 1)), OVER),
    invalid("valid_from_ms", At.BEYOND, put("valid_from_ms", NOW + 2 * YEAR)),
    invalid("valid_from_ms", At.ABSENT, clear("valid_from_ms")),
    Row("valid_until_ms", At.WITHIN, put("valid_until_ms", NOW + 2)),
    Row("valid_until_ms", At.EDGE, put("valid_until_ms", NOW + 1)),
    refused(
        Row("valid_until_ms", At.BEYOND, lambda wire: _until(wire, NOW)), OVER
    ),
    invalid("valid_until_ms", At.ABSENT, clear("valid_until_ms")),
    Row("payload_keeper", At.WITHIN),
    Row("payload_keeper", At.EDGE, put("payload_keeper", 4)),
    invalid("payload_keeper", At.BEYOND, put("payload_keeper", 5)),
    invalid("payload_keeper", At.ABSENT, clear("payload_keeper")),
    # The consumer's own duty: no node can see whether it is kept.
    Row("consumer_retention_days", At.WITHIN, put("consumer_retention_days", 30)),
    Row("consumer_retention_days", At.EDGE, put("consumer_retention_days", 0)),
    Row("consumer_retention_days", At.BEYOND, put("consumer_retention_days", 2**32 - 1)),
    Row("consumer_retention_days", At.ABSENT),
    Row("citizen_visibility", At.WITHIN),
    Row("citizen_visibility", At.EDGE, put("citizen_visibility", 2)),
    invalid("citizen_visibility", At.BEYOND, put("citizen_visibility", 3)),
    invalid("citizen_visibility", At.ABSENT, clear("citizen_visibility")),
    Row("issued_at_ms", At.WITHIN, put("issued_at_ms", NOW - 1)),
    Row("issued_at_ms", At.EDGE, put("issued_at_ms", NOW + YEAR - 1)),
    invalid("issued_at_ms", At.BEYOND, put("issued_at_ms", NOW + YEAR)),
    invalid("issued_at_ms", At.ABSENT, clear("issued_at_ms")),
    Row("replaces", At.WITHIN, put("replaces", bytes(32))),
    invalid("replaces", At.EDGE, put("replaces", bytes(31))),
    invalid("replaces", At.BEYOND, put("replaces", bytes(33))),
    Row("replaces", At.ABSENT),
    Row("hours", At.WITHIN, hours((MINUTE - 60, MINUTE + 60))),
    Row("hours", At.EDGE, hours((0, 1), (MINUTE, MINUTE + 1))),
    refused(Row("hours", At.BEYOND, hours((0, MINUTE), (MINUTE + 1, 1440))), OVER),
    invalid("hours", At.BEYOND, hours((0, 1441))),
    invalid("hours", At.ABSENT, listed("hours", agreement_pb2.HoursTerm(until_minute=1440))),
    Row("hours", At.ABSENT),
)  # fmt: skip

# What a call must bring besides, where a term asks for it.
BESIDE: Final = frozenset({"consent"})


def _until(wire: Wire, until_ms: int) -> None:
    wire.valid_from_ms = wire.issued_at_ms = until_ms - fixed.DAY_MS
    wire.valid_until_ms = until_ms


def document(row: Row) -> bytes:
    wire = Wire.FromString(make_agreement(agreements.TERMS))
    row.change(wire)
    return wire.SerializeToString(deterministic=True)


def hold(two: Pair, data: bytes) -> None:
    """Have both nodes go by this agreement alone, and the provider know some consents."""
    known = dict.fromkeys((*CONSENTS, WITHDRAWN), SUBJECT) | {ANOTHERS: "5315014001900002"}
    for reference, subject in known.items():
        two.provider.register.give(
            Question(reference, fixed.SUPER_APP, SERVICE_ID, "", "layanan-wisata", subject),
            CONSENTS.get(reference, NOW + YEAR),
        )
    two.provider.register.withdraw(WITHDRAWN)
    for half in (two.provider, two.consumer):
        snapshot = half.current.snapshot
        members = {**snapshot.directory.members, DELEGATOR: THIRD}
        directory = dataclasses.replace(snapshot.directory, members=members)
        book = AgreementBook([data])
        half.current.replace(dataclasses.replace(snapshot, agreements=book, directory=directory))


def call_of(row: Row) -> FakeCall:
    said = (
        ("simpul-purpose", row.purpose),
        ("simpul-on-behalf-of", row.on_behalf_of),
        ("simpul-consent", row.consent),
    )
    metadata = tuple((key, str(value).encode()) for key, value in said if value is not None)
    return FakeCall("Get", Message(WHOLE), HalfClose(), metadata=(*metadata, ABOUT))


async def run_carelessly(half: Half, row: Row, data: bytes) -> FakeCall:
    """Make a call as a consumer's node would that checks nothing of its agreement."""
    lax = AgreementBook([make_agreement(agreements.TERMS)])
    snapshot = dataclasses.replace(half.current.snapshot, agreements=lax)
    call = FakeCall("Get", Message(WHOLE), HalfClose(), metadata=(ABOUT,))
    way = find_routes(call.request, half.identity, snapshot, half.keeping.fields, NOW)[0]
    route = dataclasses.replace(
        way,
        agreement=agreement_hash(data),
        purpose=row.purpose,
        fields=ALL,
        rate=None,
        on_behalf_of=row.on_behalf_of,
        consent=row.consent,
    )
    asked = Asked(call, half.consuming._new_call_id(), None)
    try:
        await half.attempts.carry(asked, (route,))
    except SimpulError as error:
        await call.send(error_trailers(error, asked.call_id))
    return call


def listen(two: Pair) -> list[bytes]:
    """What the service hears; it answers with the same, and a field its contract lacks."""
    heard: list[bytes] = []

    async def echo(request: OutboundRequest, message: Message) -> UnaryAnswer:
        del request
        heard.append(message.data)
        return UnaryAnswer((), Message(message.data), Trailers(0))

    two.provider.services.on_unary = echo
    return heard


def judge(row: Row, call: FakeCall, heard: list[bytes], code: Code | None) -> None:
    if code is None:
        assert call.error() == ""
        assert heard == [row.asked] * (row.before + 1)
        assert call.messages == [row.answered]
    else:
        assert call.error() == code
        assert call.messages == []
        assert len(heard) == row.before, "the service has not heard of it"


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_the_provider_keeps_every_term_whatever_the_consumer_does(row: Row) -> None:
    data = document(row)
    if row.provider is INVALID:
        cannot_be_held(data)
        return
    async with pair() as two:
        hold(two, data)
        heard = listen(two)
        for _ in range(row.before):
            await run_carelessly(two.consumer, row, data)
        judge(row, await run_carelessly(two.consumer, row, data), heard, row.provider)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_the_consumer_keeps_every_term_before_any_traffic(row: Row) -> None:
    data = document(row)
    if row.consumer is INVALID:
        cannot_be_held(data)
        return
    async with pair() as two:
        hold(two, data)
        heard = listen(two)
        for _ in range(row.before):
            await two.consumer.run(call_of(row))
        travelled = len(two.provider.journal.records)
        judge(row, await two.consumer.run(call_of(row)), heard, row.consumer)
        if row.consumer is not None and not row.travels:
            assert len(two.provider.journal.records) == travelled, "nothing has travelled"


def cannot_be_held(data: bytes) -> None:
    """What can't be understood whole is refused where it is read: no node ever goes by it."""
    with pytest.raises(SimpulError) as caught:
        AgreementBook([data])
    assert caught.value.code is INVALID


def test_no_term_is_left_out() -> None:
    said = {(row.term, row.at) for row in ROWS}
    terms = {field.name for field in Wire.DESCRIPTOR.fields}
    assert said == {(term, at) for term in terms | BESIDE for at in At}


@pytest.mark.parametrize("acted_for", [DELEGATOR, None], ids=["another's", "its own"])
async def test_the_service_is_told_in_whose_name_it_is_called(acted_for: MemberId | None) -> None:
    change = (lambda _: None) if acted_for is None else delegated()
    row = Row("delegator", At.WITHIN, change, on_behalf_of=acted_for)
    told: list[dict[str, bytes]] = []

    async def hear(request: OutboundRequest, message: Message) -> UnaryAnswer:
        told.append(dict(request.metadata))
        return UnaryAnswer((), message, Trailers(0))

    async with pair() as two:
        hold(two, document(row))
        two.provider.services.on_unary = hear
        assert (await two.consumer.run(call_of(row))).error() == ""
    (said,) = told
    assert said["simpul-from"] == str(fixed.SUPER_APP).encode()
    assert said.get("simpul-on-behalf-of") == (
        None if acted_for is None else str(acted_for).encode()
    )
