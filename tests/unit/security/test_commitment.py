"""Commitments, rounding and tallies."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.commitment import (
    NO_MESSAGES,
    Commitment,
    Tally,
    check_payload,
    check_private,
    commit_payload,
    commit_private,
    rounded,
)
from security.errors import Code, SimpulError

SALT = bytes(range(16))


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, 256), (1, 256), (255, 256), (256, 256), (257, 512), (512, 512), (65_537, 65_792)],
)
def test_lengths_are_rounded_up_so_that_a_yes_and_a_no_look_alike(
    length: int, expected: int
) -> None:
    assert rounded(length) == expected


def test_a_commitment_is_the_hash_of_the_standard() -> None:
    data = b"Komodo"
    written_out = b"simpul/v1/payload\x00" + bytes(7) + b"\x10" + SALT + bytes(7) + b"\x06" + data
    assert commit_payload(SALT, data) == Commitment(hashlib.sha256(written_out).digest(), 256)


def test_payloads_and_private_blocks_are_told_apart() -> None:
    assert commit_payload(SALT, b"").hash != commit_private(SALT, b"").hash


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_only_the_same_bytes_and_salt_match(one: bytes, other: bytes) -> None:
    commitment = commit_payload(SALT, one)
    check_payload(commitment, SALT, one)
    check_private(commit_private(SALT, one), SALT, one)
    for salt, data in ((SALT, other), (SALT[::-1], one)):
        if (salt, data) != (SALT, one):
            with pytest.raises(SimpulError) as caught:
                check_payload(commitment, salt, data)
            assert caught.value.code is Code.COMMITMENT_MISMATCH


def test_a_wrong_length_does_not_match() -> None:
    wrong = Commitment(commit_private(SALT, b"x").hash, 512)
    with pytest.raises(SimpulError, match="private block"):
        check_private(wrong, SALT, b"x")


def test_a_tally_runs_over_all_messages_in_order() -> None:
    first, second = bytes([1]) * 32, bytes([2]) * 32
    length = bytes(7) + b"\x20"
    after_one = hashlib.sha256(
        b"simpul/v1/messages\x00" + length + bytes(32) + length + first
    ).digest()
    assert Tally(1, after_one) == NO_MESSAGES.add(first)
    assert NO_MESSAGES.add(first).add(second) != NO_MESSAGES.add(second).add(first)
    assert NO_MESSAGES.to_proto().HasField("count")
