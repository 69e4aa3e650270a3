"""Private blocks."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.kinds import EntryKind
from security.limits import Limits
from security.private import Private, check_metadatum, make_private, parse_private
from tests.unit.security.strategies import METADATA, PRIVATE, TEXTS, parsed_or_refused

LIMITS = Limits()
FIELDS = {
    EntryKind.OPEN: {"metadata", "user", "issue", "subject"},
    EntryKind.HEAD: {"metadata"},
    EntryKind.CLOSE: {"metadata", "trailers", "status_message"},
    EntryKind.REFUSE: {"status_message"},
}
ONE_OF_EACH: dict[str, Any] = {
    "metadata": (("a", b"1"), ("b-bin", b"\x00\xff"), ("a", b"2")),
    "trailers": (("t", b""),),
    "status_message": "tidak ada",
    "user": "3201010101010001",
    "issue": "53.15/2026/17",
    "subject": "3202020202020002",
}


@given(METADATA, TEXTS, TEXTS, TEXTS)
def test_an_open_s_block_parses_to_the_same(
    metadata: tuple[tuple[str, bytes], ...], user: str, issue: str, subject: str
) -> None:
    content = Private(metadata=metadata, user=user, issue=issue, subject=subject)
    assert parse_private(make_private(content), EntryKind.OPEN, LIMITS) == content


@given(PRIVATE)
def test_a_close_s_block_parses_to_the_same(content: Private) -> None:
    content = replace(content, user="", issue="", subject="")
    assert parse_private(make_private(content), EntryKind.CLOSE, LIMITS) == content


@given(st.binary(max_size=200), st.sampled_from(EntryKind))
def test_any_bytes_are_refused_or_print_again(data: bytes, kind: EntryKind) -> None:
    def parse(raw: bytes) -> Private:
        return parse_private(raw, kind, LIMITS)

    content = parsed_or_refused(parse, data, Code.PARCEL_MALFORMED)
    assert content is None or parse(make_private(content)) == content


@pytest.mark.parametrize("kind", EntryKind)
@pytest.mark.parametrize("field", ONE_OF_EACH)
def test_each_kind_has_its_own_fields(kind: EntryKind, field: str) -> None:
    content = replace(Private(), **{field: ONE_OF_EACH[field]})
    data = make_private(content)
    if field in FIELDS.get(kind, set()):
        assert parse_private(data, kind, LIMITS) == content
    else:
        with pytest.raises(SimpulError, match=field) as caught:
            parse_private(data, kind, LIMITS)
        assert caught.value.code is Code.PARCEL_MALFORMED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", b""),
        ("Upper", b""),
        ("a b", b""),
        (":path", b""),
        ("k" * 257, b""),
        ("a\n", b""),
        ("a", b"\x00"),
        ("a", b"\x7f"),
        ("a", "é".encode()),
        ("a", b"line\n"),
    ],
)
def test_what_is_no_metadatum_is_refused(key: str, value: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        check_metadatum(key, value)
    assert caught.value.code is Code.METADATA_MALFORMED
    with pytest.raises(SimpulError) as caught:
        parse_private(make_private(Private(metadata=((key, value),))), EntryKind.OPEN, LIMITS)
    assert caught.value.code is Code.PARCEL_MALFORMED


@pytest.mark.parametrize("field", ["user", "issue", "subject"])
def test_a_name_has_an_end(field: str) -> None:
    def block(length: int) -> bytes:
        changes: dict[str, Any] = {field: "x" * length}
        return make_private(replace(Private(), **changes))

    parse_private(block(1024), EntryKind.OPEN, LIMITS)
    with pytest.raises(SimpulError, match="1024"):
        parse_private(block(1025), EntryKind.OPEN, LIMITS)


def test_a_block_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(SimpulError) as caught:
        parse_private(bytes(9), EntryKind.OPEN, Limits(max_metadata_bytes=8))
    assert caught.value.code is Code.PARCEL_TOO_LARGE


def test_an_empty_block_says_nothing() -> None:
    assert parse_private(b"", EntryKind.OPEN, LIMITS) == Private()


def test_what_is_private_is_not_shown() -> None:
    assert "3201" not in repr(Private(user="3201"))
