"""The one construction of hashes, and its domains."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import hashing

DOMAINS = [value for value in vars(hashing).values() if isinstance(value, bytes)]
PARTS = st.lists(st.binary(max_size=40), max_size=4)


def test_a_digest_is_what_the_specification_says() -> None:
    by_hand = b"simpul/v1/key\x00" + b"\x00" * 7 + b"\x02ab" + b"\x00" * 8
    assert hashing.digest(hashing.KEY, b"ab", b"") == hashlib.sha256(by_hand).digest()


def test_what_is_signed_begins_with_the_domain() -> None:
    assert hashing.signed_bytes(hashing.SEAL, b"root") == b"simpul/v1/seal\x00root"


def test_domains_are_distinct_ascii_without_zero() -> None:
    assert len(set(DOMAINS)) == len(DOMAINS) > 15
    for domain in DOMAINS:
        assert domain.decode("ascii").startswith("simpul/v1/")
        assert b"\x00" not in domain


@given(PARTS, PARTS)
def test_different_parts_have_different_hashes(left: list[bytes], right: list[bytes]) -> None:
    same = hashing.digest(hashing.KEY, *left) == hashing.digest(hashing.KEY, *right)
    assert same == (left == right)


@given(PARTS)
def test_different_domains_have_different_hashes(parts: list[bytes]) -> None:
    assert len({hashing.digest(domain, *parts) for domain in DOMAINS}) == len(DOMAINS)


@pytest.mark.parametrize("length", [0, 1, 16_375, 16_384, 16_385, 100_000])
def test_a_digest_is_the_same_function_of_short_and_of_long_parts(length: int) -> None:
    part = bytes(length)
    spelt = (
        hashing.KEY + b"\x00" + length.to_bytes(8, "big") + part + (3).to_bytes(8, "big") + b"end"
    )
    assert hashing.digest(hashing.KEY, part, b"end") == hashlib.sha256(spelt).digest()
