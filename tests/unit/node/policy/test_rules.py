import dataclasses
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.rules import AgreementBook, check_open, find_agreement
from security.agreement import (
    AgreementTerms,
    CitizenVisibility,
    FieldTerm,
    LegalBasis,
    Party,
    PayloadKeeper,
    PurposeTerm,
    ServiceTerm,
    agreement_hash,
    make_agreement,
    permit,
)
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId, SubsystemId
from security.kinds import Open

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
CONSUMER = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/super-app")
SIBLING = SubsystemId.parse("ID/KEMENTERIAN/KOMDIGI/other")
PROVIDER = SubsystemId.parse("ID/DAERAH/53.15/pariwisata")
SERVICE = "wisata.v1.Wisata"
EVERYTHING = FieldTerm(paths=None)


def terms(
    nonce: int = 1,
    *,
    purposes: Iterable[str] = ("layanan",),
    methods: tuple[str, ...] = ("Get", "List"),
    issued_at_ms: int = NOW_MS - DAY_MS,
    valid_until_ms: int = NOW_MS + DAY_MS,
) -> AgreementTerms:
    return AgreementTerms(
        nonce=bytes([nonce]) * 16,
        provider=Party(PROVIDER.member, b"p" * 32),
        consumer=Party(CONSUMER.member, b"c" * 32),
        delegator=None,
        provider_subsystem=PROVIDER,
        consumer_subsystems=(CONSUMER,),
        services=(ServiceTerm(SERVICE, methods),),
        purposes=tuple(PurposeTerm(name, LegalBasis.PUBLIC_TASK) for name in purposes),
        request_fields=EVERYTHING,
        response_fields=EVERYTHING,
        rate=None,
        valid_from_ms=NOW_MS - DAY_MS,
        valid_until_ms=valid_until_ms,
        payload_keeper=PayloadKeeper.NONE,
        consumer_retention_days=None,
        citizen_visibility=CitizenVisibility.VISIBLE,
        issued_at_ms=issued_at_ms,
        replaces=None,
        hours=(),
    )


def book(*several: AgreementTerms) -> AgreementBook:
    return AgreementBook(make_agreement(one) for one in several)


def hash_of(one: AgreementTerms) -> bytes:
    return agreement_hash(make_agreement(one))


def find(
    where: AgreementBook,
    *,
    consumer: SubsystemId = CONSUMER,
    service: str = SERVICE,
    method: str = "Get",
    purpose: str | None = None,
    now_ms: int = NOW_MS,
) -> tuple[bytes, str]:
    return find_agreement(
        where,
        consumer=consumer,
        provider=PROVIDER,
        service=service,
        method=method,
        purpose=purpose,
        now_ms=now_ms,
    )


def refusal(where: AgreementBook, **asked: object) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        find(where, **asked)  # type: ignore[arg-type]
    return caught.value


ONE = terms()
TWO = terms(2, purposes=("layanan", "statistik"), issued_at_ms=NOW_MS - 1)


def test_the_only_agreement_is_found_with_its_only_purpose() -> None:
    assert find(book(ONE)) == (hash_of(ONE), "layanan")
    assert find(book(ONE), purpose="layanan") == (hash_of(ONE), "layanan")


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"consumer": SIBLING}, Code.ACCESS_NO_AGREEMENT),
        ({"method": "Import"}, Code.ACCESS_METHOD),
        ({"method": "get"}, Code.ACCESS_METHOD),
        ({"service": "wisata.v1.Wisat"}, Code.ACCESS_METHOD),
        ({"purpose": "iklan"}, Code.ACCESS_PURPOSE),
        ({"purpose": ""}, Code.ACCESS_PURPOSE),
        ({"now_ms": NOW_MS + DAY_MS}, Code.ACCESS_EXPIRED),
        ({"now_ms": NOW_MS - DAY_MS - 1}, Code.ACCESS_EXPIRED),
    ],
)
@pytest.mark.parametrize("several", [(ONE,), (ONE, terms(3))], ids=["one", "several"])
def test_what_is_not_named_is_refused(
    several: tuple[AgreementTerms, ...], asked: dict[str, object], code: Code
) -> None:
    assert refusal(book(*several), **asked).code is code


def test_an_empty_book_permits_nothing() -> None:
    assert refusal(AgreementBook()).code is Code.ACCESS_NO_AGREEMENT


def test_an_ambiguous_purpose_is_refused_and_the_purposes_named() -> None:
    error = refusal(book(ONE, TWO))
    assert error.code is Code.ACCESS_PURPOSE
    assert "layanan, statistik" in error.message
    assert refusal(book(TWO)).code is Code.ACCESS_PURPOSE


def test_the_purpose_chooses_the_agreement_and_the_newest_wins() -> None:
    where = book(ONE, TWO)
    assert find(where, purpose="statistik") == (hash_of(TWO), "statistik")
    assert find(where, purpose="layanan") == (hash_of(TWO), "layanan")


def test_an_expired_agreement_hides_none_that_holds() -> None:
    over = terms(4, issued_at_ms=NOW_MS, valid_until_ms=NOW_MS + 1)
    assert find(book(ONE, over), now_ms=NOW_MS + 1) == (hash_of(ONE), "layanan")


def opened(**change: object) -> Open:
    start = Open(CONSUMER, ServiceId(PROVIDER, SERVICE), "Get", hash_of(ONE), "layanan")
    return dataclasses.replace(start, **change)  # type: ignore[arg-type]


def test_the_provider_checks_what_the_open_names() -> None:
    check_open(book(ONE), opened=opened(), sender=CONSUMER.member, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"agreement": b"x" * 32}, Code.ACCESS_NO_AGREEMENT),
        ({"agreement": None}, Code.ACCESS_NO_AGREEMENT),
        ({"consumer": SIBLING}, Code.ACCESS_CONSUMER),
        ({"consumer": PROVIDER}, Code.ACCESS_CONSUMER),
        ({"method": "Import"}, Code.ACCESS_METHOD),
        ({"purpose": "iklan"}, Code.ACCESS_PURPOSE),
        ({"purpose": None}, Code.ACCESS_PURPOSE),
        (
            {"service": ServiceId.parse("ID/DAERAH/53.15/lain/wisata.v1.Wisata")},
            Code.ACCESS_NO_AGREEMENT,
        ),
    ],
)
def test_the_provider_refuses_what_the_agreement_does_not_say(
    change: dict[str, object], code: Code
) -> None:
    with pytest.raises(SimpulError) as caught:
        check_open(
            book(ONE),
            opened=opened(**change),
            sender=CONSUMER.member,
            now_ms=NOW_MS,
        )
    assert caught.value.code is code


def test_another_member_can_t_use_the_agreement() -> None:
    with pytest.raises(SimpulError) as caught:
        check_open(
            book(ONE),
            opened=opened(),
            sender=MemberId.parse("ID/DAERAH/52.08"),
            now_ms=NOW_MS,
        )
    assert caught.value.code is Code.ACCESS_CONSUMER


@given(
    agreements=st.lists(
        st.tuples(
            st.sets(st.sampled_from(["a", "b", "c"]), min_size=1),
            st.sets(st.sampled_from(["Get", "List"]), min_size=1),
            st.integers(min_value=1, max_value=3),
        ),
        max_size=5,
    ),
    method=st.sampled_from(["Get", "List"]),
    purpose=st.none() | st.sampled_from(["a", "b", "c"]),
    now_ms=st.integers(min_value=NOW_MS - 1, max_value=NOW_MS + 4),
)
def test_what_is_found_is_permitted_and_what_is_not_is_not(
    agreements: list[tuple[set[str], set[str], int]], method: str, purpose: str | None, now_ms: int
) -> None:
    several = [
        terms(
            number,
            purposes=sorted(purposes),
            methods=tuple(sorted(methods)),
            valid_until_ms=NOW_MS + left,
        )
        for number, (purposes, methods, left) in enumerate(agreements, 1)
    ]
    usable = {
        name
        for one in several
        for name in (item.id for item in one.purposes)
        if _permits(one, method, name, now_ms)
    }
    where = book(*several)
    wanted = usable if purpose is None else usable & {purpose}
    if len(wanted) == 1:
        found, name = find(where, method=method, purpose=purpose, now_ms=now_ms)
        assert {name} == wanted
        assert _permits(where.by_hash[found], method, name, now_ms)
    else:
        refusal(where, method=method, purpose=purpose, now_ms=now_ms)


def _permits(one: AgreementTerms, method: str, purpose: str, now_ms: int) -> bool:
    try:
        permit(
            one,
            consumer=CONSUMER,
            provider=PROVIDER,
            service=SERVICE,
            method=method,
            purpose=purpose,
            now_ms=now_ms,
        )
    except SimpulError:
        return False
    return True
