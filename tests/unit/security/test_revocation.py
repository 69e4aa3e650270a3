"""Revocations: by a party's own key and nobody else's, and each step refuses by its number."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.agreement import agreement_hash, make_agreement
from security.errors import Code, SimpulError
from security.hashing import AGREEMENT_SIGNATURE
from security.identifiers import MemberId
from security.keys import PrivateKey
from security.revocation import (
    Revocation,
    parse_revocation,
    print_revocation,
    sign_revocation,
    verify_revocation,
)
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS

NOW: Final = fixed.NOW_MS
AGREEMENT: Final = make_agreement(TERMS)
DIRECTORY: Final = directories.directory()
SEAL: Final = fixed.key(f"{fixed.REGENCY} seal")
BY_PROVIDER: Final = Revocation(agreement_hash(AGREEMENT), fixed.REGENCY, NOW, "no longer needed")
BY_CONSUMER: Final = replace(BY_PROVIDER, member=fixed.MINISTRY)


def verify(signed: agreement_pb2.SignedRevocation, **options: object) -> Revocation:
    return verify_revocation(signed, AGREEMENT, DIRECTORY, NOW, **options)  # type: ignore[arg-type]


def refused(call: Callable[[], object], step: int) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.details["step"] == str(step)
    return caught.value


@pytest.mark.parametrize(
    ("revocation", "key"),
    [
        (BY_PROVIDER, PROVIDER_IDENTITY),
        (BY_PROVIDER, SEAL),
        (BY_CONSUMER, CONSUMER_IDENTITY),
    ],
)
def test_either_party_may(revocation: Revocation, key: PrivateKey) -> None:
    assert verify(sign_revocation(revocation, key)) == revocation


def test_1_it_must_be_well_formed() -> None:
    signed = sign_revocation(BY_PROVIDER, PROVIDER_IDENTITY)
    signed.revocation += b"\x3a\x01x"
    assert refused(lambda: verify(signed), 1).code is Code.AGREEMENT_INVALID


def test_2_of_this_agreement() -> None:
    other = replace(BY_PROVIDER, agreement=bytes(32))
    refused(lambda: verify(sign_revocation(other, PROVIDER_IDENTITY)), 2)


def test_3_by_a_party() -> None:
    stranger = replace(BY_PROVIDER, member=MemberId.parse("ID/DAERAH/53.16"))
    refused(lambda: verify(sign_revocation(stranger, PROVIDER_IDENTITY)), 3)


def test_4_not_of_the_future() -> None:
    verify(sign_revocation(replace(BY_PROVIDER, at_ms=NOW + 60_000), PROVIDER_IDENTITY))
    later = replace(BY_PROVIDER, at_ms=NOW + 60_001)
    refused(lambda: verify(sign_revocation(later, PROVIDER_IDENTITY)), 4)


@pytest.mark.parametrize("key", [CONSUMER_IDENTITY, fixed.key("stranger")])
def test_5_by_a_key_of_that_party(key: PrivateKey) -> None:
    refused(lambda: verify(sign_revocation(BY_PROVIDER, key)), 5)


def test_5_a_pinned_key_is_the_one_that_the_agreement_names() -> None:
    old = fixed.key("old identity")
    terms = replace(TERMS, provider=replace(TERMS.provider, identity_key_id=old.public.key_id))
    agreement = make_agreement(terms)
    provider = terms.provider.member
    pinned = {(provider, key.public.key_id): key.public for key in (old, CONSUMER_IDENTITY)}
    revocation = replace(BY_PROVIDER, agreement=agreement_hash(agreement))

    def judged(key: PrivateKey) -> Revocation:
        signed = sign_revocation(revocation, key)
        return verify_revocation(signed, agreement, DIRECTORY, NOW, pinned)

    assert judged(old) == revocation
    refused(lambda: judged(CONSUMER_IDENTITY), 5)
    # Pinned for another member it is nobody's here.
    pinned = {(terms.consumer.member, old.public.key_id): old.public}
    refused(lambda: judged(old), 5)


def test_6_the_signature() -> None:
    signed = sign_revocation(BY_PROVIDER, PROVIDER_IDENTITY)
    signed.signature = signed.signature[:-1] + bytes([signed.signature[-1] ^ 1])
    refused(lambda: verify(signed), 6)
    # One of another use doesn't count.
    signed.signature = PROVIDER_IDENTITY.sign(AGREEMENT_SIGNATURE, signed.revocation)
    refused(lambda: verify(signed), 6)


@pytest.mark.parametrize(
    "changed",
    [
        {"agreement": b"short"},
        {"at_ms": 0},
        {"reason": "x" * 1001},
    ],
)
def test_what_cannot_be(changed: dict[str, object]) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_revocation(print_revocation(replace(BY_PROVIDER, **changed)))  # type: ignore[arg-type]
    assert caught.value.code is Code.AGREEMENT_INVALID


@given(at_ms=st.integers(1, 2**40), reason=st.text(max_size=50))
def test_it_reads_what_it_prints(at_ms: int, reason: str) -> None:
    revocation = replace(BY_PROVIDER, at_ms=at_ms, reason=reason)
    assert parse_revocation(print_revocation(revocation)) == revocation


@given(data=st.binary(max_size=200))
def test_what_it_reads_it_would_print(data: bytes) -> None:
    try:
        revocation = parse_revocation(data)
    except SimpulError:
        return
    assert print_revocation(revocation) == data
