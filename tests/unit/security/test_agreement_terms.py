"""Terms: printed and parsed in one way, and refused where they aren't understood whole."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.agreement_terms import (
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    HoursTerm,
    LegalBasis,
    Party,
    PayloadKeeper,
    PurposeTerm,
    RateTerm,
    ServiceTerm,
    parse_agreement,
    print_agreement,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support.agreements import TERMS

Change = Callable[[agreement_pb2.Agreement], object]

METHODS = ("Get", "List", "Import", "Watch")
DELEGATOR = Party(MemberId.parse("ID/KEMENTERIAN/KEMENPAR"), b"d" * 32)
UINT32 = st.integers(min_value=1, max_value=2**32 - 1)
PATHS = st.sampled_from(METHODS).map(lambda method: f"{method}/islands.name")
FIELDS = st.one_of(
    st.just(FieldTerm(None)),
    st.lists(PATHS, min_size=1, unique=True).map(lambda paths: FieldTerm(tuple(paths))),
)
PURPOSES = st.lists(
    st.builds(
        PurposeTerm,
        st.from_regex(r"[a-z0-9][a-z0-9-]{0,20}", fullmatch=True),
        st.sampled_from(LegalBasis),
        st.text(max_size=20),
    ),
    min_size=1,
    unique_by=lambda item: item.id,
)
TERMS_OF_EVERY_KIND = st.builds(
    replace,
    st.just(TERMS),
    nonce=st.binary(min_size=16, max_size=16),
    services=st.permutations(METHODS).map(
        lambda methods: (ServiceTerm("a.B", ("X",)), ServiceTerm(fixed.SERVICE, tuple(methods)))
    ),
    purposes=PURPOSES.map(tuple),
    request_fields=FIELDS,
    response_fields=FIELDS,
    rate=st.one_of(
        st.none(),
        st.builds(RateTerm, UINT32, UINT32, st.just(0)),
        st.builds(RateTerm, st.just(0), st.just(0), UINT32),
    ),
    payload_keeper=st.sampled_from(PayloadKeeper),
    consumer_retention_days=st.one_of(st.none(), st.just(0), UINT32),
    citizen_visibility=st.sampled_from(CitizenVisibility),
    replaces=st.sampled_from([None, b"h" * 32]),
    hours=st.sampled_from([(), (HoursTerm(0, 1440),), (HoursTerm(480, 720), HoursTerm(780, 960))]),
)


def altered(change: Change) -> bytes:
    message = agreement_pb2.Agreement.FromString(print_agreement(TERMS))
    change(message)
    return message.SerializeToString(deterministic=True)


def _foreign_consumer(message: agreement_pb2.Agreement) -> None:
    message.consumer.member = "MY/A/B"
    message.consumer_subsystems[:] = ["MY/A/B/c"]


def _rate(message: agreement_pb2.Agreement, **fields: int) -> None:
    message.rate.CopyFrom(agreement_pb2.RateTerm(**fields))


@given(TERMS_OF_EVERY_KIND)
def test_terms_print_as_they_were_parsed(terms: AgreementTerms) -> None:
    data = print_agreement(terms)
    assert parse_agreement(data) == terms
    assert print_agreement(parse_agreement(data)) == data


def test_each_field_of_the_wire_is_printed_somewhere() -> None:
    terms = replace(
        TERMS,
        delegator=DELEGATOR,
        delegation=b"d" * 32,
        rate=RateTerm(1, 1, 1),
        consumer_retention_days=1,
        replaces=b"h" * 32,
        hours=(HoursTerm(0, 1),),
    )
    message = agreement_pb2.Agreement.FromString(print_agreement(terms))
    assert {field.name for field, _ in message.ListFields()} == set(
        agreement_pb2.Agreement.DESCRIPTOR.fields_by_name
    )


@pytest.mark.parametrize(
    ("ours", "wires"),
    [
        (LegalBasis, agreement_pb2.LegalBasis),
        (PayloadKeeper, agreement_pb2.PayloadKeeper),
        (CitizenVisibility, agreement_pb2.CitizenVisibility),
    ],
)
def test_every_choice_of_the_wire_is_known(ours: type, wires: type) -> None:
    numbers = {item.name: item.value for item in ours}  # type: ignore[attr-defined]
    assert [*numbers.values()] == wires.values()[1:]  # type: ignore[attr-defined]
    for name, wire_name in zip(numbers, wires.keys()[1:], strict=True):  # type: ignore[attr-defined]
        assert wire_name.endswith(f"_{name}")


BAD: dict[str, Change] = {
    "version 2": lambda a: setattr(a, "version", 2),
    "no federation": lambda a: a.ClearField("federation"),
    "another federation": lambda a: setattr(a, "federation", "MY"),
    "a short nonce": lambda a: setattr(a, "nonce", b"n" * 15),
    "no provider": lambda a: a.ClearField("provider"),
    "no consumer": lambda a: a.ClearField("consumer"),
    "a consumer of another federation": _foreign_consumer,
    "a party without a key": lambda a: a.consumer.ClearField("identity_key_id"),
    "an empty delegator": lambda a: a.delegator.SetInParent(),
    "no provider's subsystem": lambda a: a.ClearField("provider_subsystem"),
    "the provider's subsystem is another's": lambda a: setattr(
        a, "provider_subsystem", str(fixed.SUPER_APP)
    ),
    "no consumer's subsystem": lambda a: a.ClearField("consumer_subsystems"),
    "a consumer's subsystem twice": lambda a: a.consumer_subsystems.append(str(fixed.SUPER_APP)),
    "the consumer's subsystem is another's": lambda a: a.consumer_subsystems.append(
        str(SubsystemId(fixed.REGENCY, "a"))
    ),
    "no service": lambda a: a.ClearField("services"),
    "a service twice": lambda a: a.services.append(a.services[0]),
    "a service that is none": lambda a: setattr(a.services[0], "service", "*"),
    "no method": lambda a: a.services[0].ClearField("methods"),
    "a method twice": lambda a: a.services[0].methods.append("Get"),
    "any method": lambda a: a.services[0].methods.append("*"),
    "no purpose": lambda a: a.ClearField("purposes"),
    "a purpose twice": lambda a: a.purposes.append(a.purposes[0]),
    "a purpose that is none": lambda a: setattr(a.purposes[0], "id", "Wisata"),
    "no legal basis": lambda a: a.purposes[0].ClearField("legal_basis"),
    "a legal basis that isn't known": lambda a: setattr(a.purposes[0], "legal_basis", 7),
    "a long description": lambda a: setattr(a.purposes[0], "description", "a" * 1001),
    "no request fields": lambda a: a.ClearField("request_fields"),
    "no response fields": lambda a: a.ClearField("response_fields"),
    "all fields and some": lambda a: a.response_fields.paths.append("List/a"),
    "fields of another method": lambda a: a.response_fields.CopyFrom(
        agreement_pb2.FieldTerm(paths=["Watch/a"])
    ),
    "a field path that is none": lambda a: a.response_fields.CopyFrom(
        agreement_pb2.FieldTerm(paths=["List/a..b"])
    ),
    "a field path without its method": lambda a: a.response_fields.CopyFrom(
        agreement_pb2.FieldTerm(paths=["islands.name"])
    ),
    "a rate of nothing": lambda a: a.rate.SetInParent(),
    "a rate without a burst": lambda a: _rate(a, calls_per_second=1),
    "a burst without a rate": lambda a: _rate(a, burst=1, calls_per_day=1),
    "no start": lambda a: a.ClearField("valid_from_ms"),
    "an end at the start": lambda a: setattr(a, "valid_until_ms", a.valid_from_ms),
    "an end beyond all dates": lambda a: setattr(a, "valid_until_ms", 2**62),
    "no time of issue": lambda a: a.ClearField("issued_at_ms"),
    "issued after its end": lambda a: setattr(a, "issued_at_ms", a.valid_until_ms),
    "no payload keeper": lambda a: a.ClearField("payload_keeper"),
    "a payload keeper that isn't known": lambda a: setattr(a, "payload_keeper", 5),
    "no visibility": lambda a: a.ClearField("citizen_visibility"),
    "a visibility that isn't known": lambda a: setattr(a, "citizen_visibility", 3),
    "a short hash": lambda a: setattr(a, "replaces", b"h" * 31),
    "hours without a start": lambda a: a.hours.add(until_minute=1),
    "hours that end at once": lambda a: a.hours.add(from_minute=1, until_minute=1),
    "hours beyond the day": lambda a: a.hours.add(from_minute=0, until_minute=1441),
}


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_what_isnt_understood_whole_is_refused(change: Change) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_agreement(altered(change))
    assert caught.value.code is Code.AGREEMENT_INVALID
    assert "\n" not in caught.value.message


def test_an_unknown_term_is_refused() -> None:
    data = print_agreement(TERMS)
    parse_agreement(data)
    for bad in (data + b"\xf8\x07\x01", data[2:] + data[:2], data + b"\x00" * 256 * 1024):
        with pytest.raises(SimpulError) as caught:
            parse_agreement(bad)
        assert caught.value.code is Code.AGREEMENT_INVALID


@given(st.binary(max_size=100))
def test_whatever_comes_it_is_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_agreement(data)
    assert caught.value.code is Code.AGREEMENT_INVALID
