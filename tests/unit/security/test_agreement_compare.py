"""Every term, narrowed and widened: what is said of it, and that a counter-offer may not widen."""

from dataclasses import fields, replace
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.agreement import (
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
)
from security.agreement_compare import Change, Direction, check_narrower, compare, describe
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from tests.support.agreements import TERMS

# Everything set, so that every term has something narrower and something wider.
BEFORE: Final = replace(
    TERMS,
    consumer_subsystems=(
        SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/a"),
        SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/b"),
    ),
    services=(ServiceTerm("wisata.v1.Wisata", ("Get", "List")),),
    purposes=(
        PurposeTerm("a", LegalBasis.PUBLIC_TASK),
        PurposeTerm("b", LegalBasis.CONSENT),
    ),
    request_fields=FieldTerm(("List/query", "List/page")),
    response_fields=FieldTerm(("List/pulau", "List/jumlah")),
    rate=RateTerm(10, 20, 1000),
    valid_from_ms=2_000_000,
    valid_until_ms=9_000_000,
    payload_keeper=PayloadKeeper.CONSUMER,
    consumer_retention_days=30,
    citizen_visibility=CitizenVisibility.HIDDEN,
    issued_at_ms=1_000_000,
    hours=(HoursTerm(480, 960),),
)
OTHER_SUBSYSTEM: Final = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/c")
OTHER_PARTY: Final = Party(MemberId.parse("ID/DAERAH/53.16"), bytes(32))


def one(**changed: Any) -> Change:
    (change,) = compare(BEFORE, replace(BEFORE, **changed))
    return change


NARROWER: Final[tuple[dict[str, object], ...]] = (
    {"consumer_subsystems": BEFORE.consumer_subsystems[:1]},
    {"services": (ServiceTerm("wisata.v1.Wisata", ("Get",)),)},
    {"purposes": BEFORE.purposes[:1]},
    {"request_fields": FieldTerm(("List/query",))},
    {"response_fields": FieldTerm(("List/pulau",))},
    {"response_fields": FieldTerm(("List/pulau.nama",))},
    {"rate": RateTerm(10, 20, 999)},
    {"rate": RateTerm(9, 20, 1000)},
    {"rate": RateTerm(10, 19, 1000)},
    {"valid_from_ms": 2_000_001},
    {"valid_until_ms": 8_999_999},
    {"payload_keeper": PayloadKeeper.NONE},
    {"consumer_retention_days": 29},
    {"hours": (HoursTerm(480, 959),)},
    {"hours": (HoursTerm(480, 500), HoursTerm(600, 960))},
)
WIDER: Final[tuple[dict[str, object], ...]] = (
    {"provider": OTHER_PARTY},
    {"consumer": OTHER_PARTY},
    {"delegator": OTHER_PARTY},
    {"delegation": b"d" * 32},
    {"provider_subsystem": SubsystemId.parse("ID/DAERAH/53.15/lain")},
    {"consumer_subsystems": (*BEFORE.consumer_subsystems, OTHER_SUBSYSTEM)},
    {"services": (ServiceTerm("wisata.v1.Wisata", ("Get", "List", "Hapus")),)},
    {"services": (ServiceTerm("lain.v1.Lain", ("Get",)),)},
    {"purposes": (*BEFORE.purposes, PurposeTerm("c", LegalBasis.CONTRACT))},
    {"purposes": (PurposeTerm("a", LegalBasis.CONSENT),)},
    {"request_fields": FieldTerm(None)},
    {"response_fields": FieldTerm(("List/pulau", "List/jumlah", "List/nik"))},
    {"response_fields": FieldTerm(("List/pul",))},
    {"response_fields": FieldTerm(("Get/pulau",))},
    {"rate": None},
    {"rate": RateTerm(11, 20, 1000)},
    {"rate": RateTerm(0, 0, 1000)},
    {"rate": RateTerm(10, 20, 0)},
    {"valid_from_ms": 1_999_999},
    {"valid_until_ms": 9_000_001},
    {"payload_keeper": PayloadKeeper.PROVIDER},
    {"payload_keeper": PayloadKeeper.BOTH},
    {"consumer_retention_days": 31},
    {"consumer_retention_days": None},
    {"hours": ()},
    {"hours": (HoursTerm(479, 960),)},
)  # fmt: skip
SAME: Final[tuple[dict[str, object], ...]] = (
    {"citizen_visibility": CitizenVisibility.VISIBLE},
    {"purposes": (PurposeTerm("a", LegalBasis.PUBLIC_TASK, "in words"), BEFORE.purposes[1])},
    {"hours": (HoursTerm(480, 600), HoursTerm(600, 960))},
)


@pytest.mark.parametrize("changed", NARROWER)
def test_what_is_narrower_may_be_a_counter_offer(changed: dict[str, object]) -> None:
    assert one(**changed).direction is Direction.NARROWER
    check_narrower(BEFORE, replace(BEFORE, **changed))  # type: ignore[arg-type]


@pytest.mark.parametrize("changed", WIDER)
def test_what_is_wider_may_not_and_is_named(changed: dict[str, object]) -> None:
    change = one(**changed)
    assert change.direction in {Direction.WIDER, Direction.OTHER}
    with pytest.raises(SimpulError) as caught:
        check_narrower(BEFORE, replace(BEFORE, **changed))  # type: ignore[arg-type]
    assert caught.value.code is Code.AGREEMENT_INVALID
    assert change.term in caught.value.message


@pytest.mark.parametrize("changed", SAME)
def test_what_permits_as_much_may_be_said_otherwise(changed: dict[str, object]) -> None:
    check_narrower(BEFORE, replace(BEFORE, **changed))  # type: ignore[arg-type]
    assert one(**changed).direction is not Direction.WIDER


def test_every_term_of_an_agreement_has_a_case() -> None:
    tried = {name for changed in (*NARROWER, *WIDER, *SAME) for name in changed}
    of_itself = {"nonce", "issued_at_ms", "replaces"}
    assert tried | of_itself == {field.name for field in fields(AgreementTerms)}


def test_one_widened_term_is_not_made_good_by_narrower_ones() -> None:
    after = replace(BEFORE, valid_until_ms=5_000_000, rate=None)
    with pytest.raises(SimpulError, match="rate"):
        check_narrower(BEFORE, after)


def test_a_change_is_said_in_words() -> None:
    change = one(rate=RateTerm(5, 10, 0))
    assert change.before == "10 a second, 20 at once; 1000 a day"
    assert change.after == "5 a second, 10 at once"
    assert one(hours=()).before == "08:00 to 16:00 WIB"


def test_all_terms_can_be_described() -> None:
    said = dict(describe(BEFORE))
    assert said["response fields"] == "List/jumlah, List/pulau"
    assert said["payloads kept by"] == "consumer"
    assert len(said) == len(describe(BEFORE))


_CHANGES = st.sampled_from((*NARROWER, *WIDER, *SAME))


@given(first=_CHANGES, second=_CHANGES)
def test_narrower_than_narrower_is_narrower(first: dict[str, Any], second: dict[str, Any]) -> None:
    once = replace(BEFORE, **first)
    twice = replace(once, **second)
    if not _wider(BEFORE, once) and not _wider(once, twice):
        assert not _wider(BEFORE, twice)


def _wider(before: AgreementTerms, after: AgreementTerms) -> bool:
    try:
        check_narrower(before, after)
    except SimpulError:
        return True
    return False
