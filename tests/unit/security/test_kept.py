"""Kept parts of entries: what opens, and everything that doesn't."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.hashing import sha256
from security.kept import (
    CREDENTIALS,
    TAG_BYTES,
    WRAPPED_BYTES,
    EntryPlace,
    Part,
    open_part,
    seal_part,
    unwrap_key,
    without_credentials,
    wrap_key,
)
from security.private import Private
from security.secret_key import SecretKey

KEY = sha256(b"record")
WRAP = SecretKey(sha256(b"wrap"))
PLACE = EntryPlace(1, 70_000, 3)
COMMITMENT = sha256(b"commitment")


def code_of(*arguments: object) -> Code:
    with pytest.raises(SimpulError) as caught:
        open_part(*arguments)  # type: ignore[arg-type]
    return caught.value.code


@given(st.binary(max_size=1000), st.sampled_from(list(Part)))
def test_what_was_sealed_opens(data: bytes, part: Part) -> None:
    sealed = seal_part(KEY, PLACE, part, COMMITMENT, data)
    assert open_part(KEY, PLACE, part, COMMITMENT, sealed) == data


@given(st.data())
def test_one_flipped_bit_and_it_does_not_open(data: st.DataObject) -> None:
    sealed = seal_part(KEY, PLACE, Part.PAYLOAD, COMMITMENT, b"question")
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    flipped = bytearray(sealed)
    flipped[at // 8] ^= 1 << at % 8
    assert code_of(KEY, PLACE, Part.PAYLOAD, COMMITMENT, bytes(flipped)) is Code.JOURNAL_CORRUPT


@pytest.mark.parametrize(
    ("key", "place", "part", "commitment"),
    [
        (sha256(b"other"), PLACE, Part.PAYLOAD, COMMITMENT),
        (KEY, replace(PLACE, slot=2), Part.PAYLOAD, COMMITMENT),
        (KEY, replace(PLACE, idx=70_001), Part.PAYLOAD, COMMITMENT),
        (KEY, replace(PLACE, entry_no=4), Part.PAYLOAD, COMMITMENT),
        (KEY, PLACE, Part.PRIVATE, COMMITMENT),
        (KEY, PLACE, Part.PRIVATE_IN_PART, COMMITMENT),
        (KEY, PLACE, Part.PAYLOAD, sha256(b"another")),
    ],
    ids=["key", "slot", "index", "entry", "part", "part 3", "commitment"],
)
def test_at_another_place_it_does_not_open(
    key: bytes, place: EntryPlace, part: Part, commitment: bytes
) -> None:
    sealed = seal_part(KEY, PLACE, Part.PAYLOAD, COMMITMENT, b"question")
    assert code_of(key, place, part, commitment, sealed) is Code.JOURNAL_CORRUPT


@pytest.mark.parametrize("cut", [b"", b"x", b"x" * TAG_BYTES])
def test_what_is_no_ciphertext_does_not_open(cut: bytes) -> None:
    assert code_of(KEY, PLACE, Part.PAYLOAD, COMMITMENT, cut) is Code.JOURNAL_CORRUPT


def test_a_yes_and_a_no_are_of_one_length() -> None:
    lengths = {
        len(seal_part(KEY, PLACE, Part.PAYLOAD, COMMITMENT, data))
        for data in (b"", b"yes", b"no", b"x" * 256)
    }
    assert lengths == {4 + 256 + TAG_BYTES}
    assert len(seal_part(KEY, PLACE, Part.PAYLOAD, COMMITMENT, b"x" * 257)) == 4 + 512 + TAG_BYTES


@given(st.data())
def test_a_wrapped_key_unwraps_by_its_wrapping_key_alone(data: st.DataObject) -> None:
    wrapped = wrap_key(WRAP, KEY)
    assert len(wrapped) == WRAPPED_BYTES
    assert unwrap_key(WRAP, wrapped) == KEY
    at = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    flipped = bytearray(wrapped)
    flipped[at // 8] ^= 1 << at % 8
    for secret, bad in (
        (WRAP, bytes(flipped)),
        (SecretKey(sha256(b"other")), wrapped),
        (WRAP, wrapped[:-8]),
        (WRAP, bytes(WRAPPED_BYTES)),
        (WRAP, b""),
    ):
        with pytest.raises(SimpulError) as caught:
            unwrap_key(secret, bad)
        assert caught.value.code is Code.JOURNAL_CORRUPT


@pytest.mark.parametrize("name", sorted(CREDENTIALS))
def test_credentials_are_left_out_and_nothing_else(name: str) -> None:
    secret, plain = (name, b"all"), ("x-trace", b"7")
    content = Private(
        (plain, secret, (f"{name}-bin", b"all"), plain),
        (secret, plain),
        "message",
        "user",
        "issue",
        "subject",
    )
    left = without_credentials(content)
    assert (left.metadata, left.trailers) == ((plain, plain), (plain,))
    assert (left.status_message, left.user, left.issue, left.subject) == (
        "message", "user", "issue", "subject",
    )  # fmt: skip
    assert without_credentials(left) == left
    assert without_credentials(left, frozenset({"x-trace"})).metadata == ()


def test_a_secret_key_is_known_by_its_id_and_shown_by_it_alone() -> None:
    assert SecretKey.from_text(WRAP.to_text()) == WRAP
    assert WRAP.data.hex() not in repr(WRAP)
    assert WRAP.id != SecretKey(sha256(b"other")).id
    with pytest.raises(ValueError, match="32"):
        SecretKey(b"short")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"00" * 32,
        b"00" * 31 + b"\n",
        b"0G" * 32 + b"\n",
        b"AA" * 32 + b"\n",
        b"00" * 32 + b"\n\n",
    ],
)
def test_a_key_file_that_we_would_not_print_is_refused(text: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        SecretKey.from_text(text)
    assert caught.value.code is Code.KEY_MALFORMED
