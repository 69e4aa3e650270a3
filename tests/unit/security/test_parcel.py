"""Headers, and parcels as they travel."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import merkle
from security.entry import from_proto
from security.errors import Code, SimpulError
from security.hashing import digest
from security.limits import MAX_HEADER_BYTES
from security.parcel import (
    HeaderFields,
    entries_root,
    entry_path,
    header_hash,
    make_header,
    parse_header,
    to_wire,
)
from simpul.v1 import parcel_pb2
from tests.unit.security.strategies import HEADERS, parsed_or_refused
from tests.unit.security.wire import OPEN, call_id, pair


@given(HEADERS)
def test_what_is_printed_parses_to_the_same(fields: HeaderFields) -> None:
    data = make_header(fields)
    assert parse_header(data) == fields
    assert len(data) <= MAX_HEADER_BYTES


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_print_again(data: bytes) -> None:
    fields = parsed_or_refused(parse_header, data, Code.PARCEL_MALFORMED, Code.PARCEL_VERSION)
    assert fields is None or parse_header(make_header(fields)) == fields


@given(HEADERS, st.data())
def test_a_changed_byte_is_refused_or_says_something_else(
    fields: HeaderFields, data: st.DataObject
) -> None:
    raw = bytearray(make_header(fields))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    parsed_or_refused(parse_header, bytes(raw), Code.PARCEL_MALFORMED, Code.PARCEL_VERSION)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda it: it.ClearField("version"), Code.PARCEL_VERSION),
        (lambda it: setattr(it, "version", 2), Code.PARCEL_VERSION),
        (lambda it: it.ClearField("federation"), Code.PARCEL_MALFORMED),
        (lambda it: setattr(it, "member", "KOMDIGI"), Code.PARCEL_MALFORMED),
        (lambda it: setattr(it, "node", "komdigi-1"), Code.PARCEL_MALFORMED),
        (lambda it: setattr(it, "seal_key_id", bytes(31)), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("link_id"), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("number"), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("previous"), Code.PARCEL_MALFORMED),
        (lambda it: it.received.SetInParent(), Code.PARCEL_MALFORMED),
        (lambda it: setattr(it.received, "number", 1), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("credit"), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("sealed_at_ms"), Code.PARCEL_MALFORMED),
        (lambda it: setattr(it, "sealed_at_ms", -1), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("directory_hash"), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("entry_count"), Code.PARCEL_MALFORMED),
        (lambda it: it.ClearField("entries_root"), Code.PARCEL_MALFORMED),
    ],
)
def test_a_malformed_header_is_refused(
    change: Callable[[parcel_pb2.Header], object], code: Code
) -> None:
    header = parcel_pb2.Header.FromString(pair().consumer.prepare().header)
    change(header)
    with pytest.raises(SimpulError) as caught:
        parse_header(header.SerializeToString())
    assert caught.value.code is code


def test_a_header_s_hash_has_a_domain_of_its_own() -> None:
    assert header_hash(b"x") == digest(b"simpul/v1/header", b"x")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8])
def test_each_entry_can_be_shown_without_the_others(count: int) -> None:
    consumer = pair().consumer
    entries = [consumer.add(OPEN, call_id(n), payload=b"").sealed for n in range(count)]
    root = entries_root(entries)
    for index, sealed in enumerate(entries):
        merkle.verify_inclusion(
            merkle.leaf_hash(sealed.entry), index, count, entry_path(entries, index), root
        )


def test_no_entries_have_the_root_of_nothing() -> None:
    assert entries_root([]) == merkle.EMPTY_ROOT


def test_only_long_payloads_are_left_out_of_the_parcel() -> None:
    consumer = pair().consumer
    entries = [
        consumer.add(OPEN, call_id(n), payload=bytes(length)).sealed
        for n, length in enumerate((10, 11))
    ]
    short, long = to_wire(b"h", b"s", entries, inline_max_bytes=10).entries
    assert from_proto(short) == entries[0]
    assert (from_proto(long).payload, long.payload_salt) == (None, entries[1].payload_salt)
    assert [from_proto(item) for item in to_wire(b"h", b"s", entries).entries] == entries
