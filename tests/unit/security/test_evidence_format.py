from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.evidence_format import (
    MAGIC,
    Evidence,
    ShownAgreement,
    ShownCheckpoint,
    ShownDirectory,
    ShownEntry,
    ShownLeaf,
    ShownParcel,
    ShownStamp,
    parse_evidence,
    print_evidence,
)
from security.hashing import EVIDENCE, HASH_BYTES, digest, sha256
from simpul.v1 import evidence_pb2
from tests.conformance import fixed
from tests.support import evidence as scenes

DATA = print_evidence(scenes.unary())
BODY = DATA[len(MAGIC) : -HASH_BYTES]

short = st.binary(max_size=12)
hashes = st.binary(min_size=32, max_size=32)
call_ids = st.binary(min_size=16, max_size=16)
paths = st.lists(hashes, max_size=3).map(tuple)
optional = st.none() | short


def sealed(message: evidence_pb2.Evidence | bytes) -> bytes:
    body = message if isinstance(message, bytes) else message.SerializeToString(deterministic=True)
    return MAGIC + body + digest(EVIDENCE, MAGIC + body)


def message() -> evidence_pb2.Evidence:
    return evidence_pb2.Evidence.FromString(BODY)


@st.composite
def entries(draw: st.DrawFn) -> ShownEntry:
    payload, private = draw(optional), draw(optional)
    salt = st.binary(min_size=1, max_size=16)
    return ShownEntry(
        draw(st.integers(0, 2**32 - 1)),
        draw(short),
        draw(paths),
        payload,
        draw(salt if payload is not None else short),
        private,
        draw(salt if private is not None else short),
    )


leaves = st.builds(ShownLeaf, hashes, st.integers(0, 2**64 - 1), paths)
parcels = st.builds(
    ShownParcel,
    short,
    short,
    st.lists(entries(), max_size=3, unique_by=lambda item: item.index).map(tuple),
    st.lists(leaves, max_size=3, unique_by=lambda item: item.checkpoint).map(tuple),
)
stamps = st.builds(ShownStamp, st.text(max_size=5), short)
checkpoints = st.builds(
    ShownCheckpoint,
    short,
    st.lists(stamps, max_size=2, unique_by=lambda item: item.authority).map(tuple),
)
directories = st.builds(
    ShownDirectory, hashes, st.integers(0, 2**64 - 1), st.lists(short, max_size=2).map(tuple)
)
evidences = st.builds(
    Evidence,
    federation=st.text(max_size=5),
    call_id=call_ids,
    roots=st.lists(short, max_size=3).map(tuple),
    files=st.lists(short, max_size=3, unique=True).map(tuple),
    directories=st.lists(directories, max_size=3, unique_by=lambda item: item.snapshot).map(tuple),
    parcels=st.lists(parcels, max_size=3, unique_by=lambda item: item.header).map(tuple),
    chain=st.lists(short, max_size=3, unique=True).map(tuple),
    checkpoints=st.lists(checkpoints, max_size=3, unique_by=lambda item: item.note).map(tuple),
    agreement=st.none() | st.builds(ShownAgreement, short, short, short, short),
    identity_keys=st.lists(
        st.sampled_from([fixed.key(name).public for name in "abc"]), max_size=3, unique=True
    ).map(tuple),
    offer_call_id=st.none() | call_ids,
    decide_call_id=st.none() | call_ids,
)


@given(evidences)
@settings(max_examples=200, deadline=None)
def test_what_is_printed_is_parsed_and_printed_the_same(made: Evidence) -> None:
    data = print_evidence(made)
    assert print_evidence(parse_evidence(data)) == data


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    for candidate in (data, MAGIC + data, sealed(data)):
        try:
            parsed = parse_evidence(candidate)
        except SimpulError as error:
            assert error.code in {Code.EVIDENCE_INVALID, Code.KEY_MALFORMED}  # noqa: PT017
        else:
            assert print_evidence(parsed) == candidate


def test_the_order_of_the_parts_is_the_format_s_affair() -> None:
    made = parse_evidence(DATA)
    shuffled = replace(
        made,
        files=made.files[::-1],
        directories=made.directories[::-1],
        parcels=tuple(replace(item, entries=item.entries[::-1]) for item in made.parcels[::-1]),
    )
    assert print_evidence(shuffled) == DATA


def _cut(data: bytes) -> bytes:
    return data[:-1]


BAD: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "the line alone": lambda: MAGIC,
    "a line and a digest, cut": lambda: MAGIC + digest(EVIDENCE, MAGIC)[:-1],
    "cut": lambda: DATA[:-1],
    "cut in the middle": lambda: DATA[: len(DATA) // 2],
    "longer": lambda: DATA + b"\x00",
    "another version's line": lambda: DATA.replace(b"v1", b"v2", 1),
    "no digest": lambda: DATA[:-HASH_BYTES],
    "a digest of another domain": lambda: DATA[:-HASH_BYTES] + sha256(DATA[:-HASH_BYTES]),
    "version 2": lambda: sealed(_changed(version=2)),
    "a short call id": lambda: sealed(_changed(call_id=b"\x01" * 15)),
    "a short offer's call id": lambda: sealed(_changed(offer_call_id=b"\x01")),
    "a short decision's call id": lambda: sealed(_changed(decide_call_id=b"\x01")),
    "an unknown field": lambda: sealed(BODY + b"\xf8\x07\x01"),
    "a field that is there twice": lambda: sealed(BODY + b"\x08\x01"),
    "fields out of order": lambda: sealed(BODY[2:] + BODY[:2]),
    "parcels out of order": lambda: sealed(_reversed("parcels")),
    "a parcel twice": lambda: sealed(_twice("parcels")),
    "files out of order": lambda: sealed(_reversed("files")),
    "a file twice": lambda: sealed(_twice("files")),
    "directories out of order": lambda: sealed(_reversed("directories")),
    "a checkpoint twice": lambda: sealed(_twice("checkpoints")),
    "an entry without an index": lambda: sealed(_without("index")),
    "a payload without its salt": lambda: sealed(_without("payload_salt")),
    "a leaf of a short hash": lambda: sealed(_short_leaf()),
}


def _changed(**fields: object) -> evidence_pb2.Evidence:
    changed = message()
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _reversed(name: str) -> evidence_pb2.Evidence:
    changed = message()
    items = list(getattr(changed, name))[::-1]
    changed.ClearField(name)  # type: ignore[arg-type]
    getattr(changed, name).extend(items)
    return changed


def _twice(name: str) -> evidence_pb2.Evidence:
    changed = message()
    items = getattr(changed, name)
    again = list(items)[:1]
    rest = list(items)
    changed.ClearField(name)  # type: ignore[arg-type]
    getattr(changed, name).extend([*again, *rest])
    return changed


def _without(name: str) -> evidence_pb2.Evidence:
    changed = message()
    entry = next(item for parcel in changed.parcels for item in parcel.entries)
    entry.ClearField(name)  # type: ignore[arg-type]
    return changed


def _short_leaf() -> evidence_pb2.Evidence:
    changed = message()
    changed.parcels[0].leaves[0].checkpoint = b"\x01" * 31
    return changed


@pytest.mark.parametrize("name", BAD)
def test_what_would_not_be_printed_is_refused(name: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_evidence(BAD[name]())
    assert caught.value.code is Code.EVIDENCE_INVALID


def test_a_file_that_no_reader_takes_is_not_written() -> None:
    with pytest.raises(SimpulError, match="bytes"):
        print_evidence(replace(scenes.unary(), files=(b"\x00" * (64 * 1024 * 1024),)))
