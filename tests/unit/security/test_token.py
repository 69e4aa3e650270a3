"""Tokens and fingerprints."""

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.hashing import digest
from security.identifiers import NodeId
from security.token import (
    EnrolmentToken,
    fingerprint,
    format_token,
    parse_token,
    secret_hash,
)
from tests.conformance import fixed

TOKEN = EnrolmentToken(
    secret=fixed.fixed_bytes("secret", 32),
    member=fixed.REGENCY,
    node=fixed.REGENCY_NODE,
    root_sha256=b"r" * 32,
    registry_certificate_sha256=b"c" * 32,
)
TEXT = format_token(TOKEN)
HASHES = st.binary(min_size=32, max_size=32)


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.removeprefix("simpul1_") + "==")


def with_raw(data: bytes) -> str:
    return "simpul1_" + base64.urlsafe_b64encode(data).rstrip(b"=").decode()


BAD = {
    "nothing": "",
    "no prefix": TEXT.removeprefix("simpul1_"),
    "another version": "simpul2_" + TEXT.removeprefix("simpul1_"),
    "the prefix alone": "simpul1_",
    "cut short by a letter": TEXT[:-1],
    "cut in half": TEXT[: len(TEXT) // 2],
    "padded": TEXT + "=",
    "a space behind": TEXT + " ",
    "a line break inside": TEXT[:30] + "\n" + TEXT[30:],
    "another alphabet": "simpul1_" + base64.b64encode(b"\xfb\xff" * 30).decode().rstrip("="),
    "no ASCII": TEXT + "é",
    "too long": TEXT + "A" * 1024,
    "an unknown field": with_raw(raw(TEXT) + b"\x78\x01"),
    "fields in another order": with_raw(raw(TEXT)[34:] + raw(TEXT)[:34]),
    "a short secret": format_token(replace(TOKEN, secret=b"s" * 31)),
    "a short root hash": format_token(replace(TOKEN, root_sha256=b"r" * 31)),
    "no certificate hash": format_token(replace(TOKEN, registry_certificate_sha256=b"")),
    "a node of another federation": format_token(replace(TOKEN, node=NodeId("MY", "a"))),
    "another federation": with_raw(raw(TEXT).replace(b"\x12\x02ID", b"\x12\x02MY")),
    "no member": with_raw(raw(TEXT).replace(b"ID/DAERAH/53.15", b"ID/DAERAH/53..5")),
}


@given(HASHES, HASHES, HASHES)
def test_a_token_prints_as_it_was_parsed(secret: bytes, root: bytes, certificate: bytes) -> None:
    token = replace(TOKEN, secret=secret, root_sha256=root, registry_certificate_sha256=certificate)
    text = format_token(token)
    assert parse_token(text) == token
    assert format_token(parse_token(text)) == text


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_token(text)
    assert caught.value.code is Code.TOKEN_MALFORMED
    assert TEXT[20:30] not in caught.value.message


@given(st.text(max_size=60))
def test_whatever_comes_it_is_refused(text: str) -> None:
    for given_text in (text, "simpul1_" + text):
        with pytest.raises(SimpulError) as caught:
            parse_token(given_text)
        assert caught.value.code is Code.TOKEN_MALFORMED


def test_the_registry_keeps_the_secrets_hash_alone() -> None:
    assert TOKEN.secret_hash == secret_hash(TOKEN.secret)
    assert TOKEN.secret_hash == digest(b"simpul/v1/token-secret", TOKEN.secret)
    assert repr(TOKEN.secret) not in repr(TOKEN)
    assert TOKEN.federation == "ID"


def test_a_fingerprint_is_120_bits_in_groups_of_four() -> None:
    keys = [fixed.key(name).public for name in ("identity", "node", "seal")]
    shown = fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, *keys)
    groups = shown.split("-")
    assert [len(group) for group in groups] == [4] * 6
    assert set("".join(groups)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def test_a_fingerprint_covers_member_node_and_each_key() -> None:
    one, two, three, four = (fixed.key(name).public for name in "abcd")
    shown = {
        fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, one, two, three),
        fingerprint(fixed.MINISTRY, fixed.REGENCY_NODE, one, two, three),
        fingerprint(fixed.REGENCY, fixed.MINISTRY_NODE, one, two, three),
        fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, four, two, three),
        fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, one, four, three),
        fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, one, two, four),
        fingerprint(fixed.REGENCY, fixed.REGENCY_NODE, two, one, three),
    }
    assert len(shown) == 7
