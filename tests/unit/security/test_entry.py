"""Entries: making, printing, strict parsing, and what is beside them."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.commitment import Commitment
from security.entry import (
    EntryDraft,
    ParsedEntry,
    SealedEntry,
    check_commitments,
    entry_digest,
    from_proto,
    make_entry,
    parse_entry,
)
from security.entry_format import print_entry
from security.errors import Code, SimpulError
from security.hashing import digest
from security.kinds import Close, Head, Kind, Message, Open
from security.limits import MAX_ENTRY_BYTES
from simpul.v1 import parcel_pb2
from tests.unit.security.strategies import SALTS, parsed_entries, parsed_or_refused
from tests.unit.security.wire import OPEN, STREAM, call_id, salts

COMMITMENT = Commitment(bytes(32), 256)
DRAFT = EntryDraft(OPEN, call_id(1), 0, b"Komodo", private=b"")


@given(parsed_entries(), st.binary(min_size=16, max_size=16))
def test_what_is_printed_parses_to_the_same(entry: ParsedEntry, salt: bytes) -> None:
    assert parse_entry(print_entry(entry, salt)) == entry


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_print_again(data: bytes) -> None:
    entry = parsed_or_refused(parse_entry, data, Code.PARCEL_MALFORMED)
    assert entry is None or parse_entry(print_entry(entry, data[:16])) == entry


@given(parsed_entries(), st.data())
def test_a_changed_byte_is_refused_or_says_something_else(
    entry: ParsedEntry, data: st.DataObject
) -> None:
    raw = bytearray(print_entry(entry, bytes(16)))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    parsed_or_refused(parse_entry, bytes(raw), Code.PARCEL_MALFORMED)


@given(SALTS, st.binary(max_size=600), st.binary(max_size=600))
def test_what_is_made_matches_what_is_beside_it(salt: bytes, payload: bytes, block: bytes) -> None:
    sealed = make_entry(replace(DRAFT, payload=payload, private=block), salt)
    travelled = from_proto(parcel_pb2.SealedEntry.FromString(sealed.to_proto().SerializeToString()))
    assert travelled == sealed
    check_commitments(parse_entry(sealed.entry), sealed)
    assert (sealed.payload_salt, sealed.private_salt) == (salt[16:32], salt[32:])


def test_no_salt_travels_where_nothing_is_committed_to() -> None:
    sealed = make_entry(EntryDraft(STREAM, call_id(1), 0), salts("x"))
    assert sealed == SealedEntry(sealed.entry)


@pytest.mark.parametrize("length", [0, 47, 49])
def test_an_entry_takes_48_bytes_of_salts(length: int) -> None:
    with pytest.raises(ValueError, match="48"):
        make_entry(DRAFT, bytes(length))


def test_an_entry_s_digest_has_a_domain_of_its_own() -> None:
    assert entry_digest(b"x") == digest(b"simpul/v1/entry", b"x")


def test_what_is_private_is_not_shown() -> None:
    shown = repr(make_entry(DRAFT, salts("x"))) + repr(DRAFT)
    assert "Komodo" not in shown
    assert "salt" not in shown


def tamper(change: Callable[[parcel_pb2.Entry], object], kind: Kind = OPEN) -> bytes:
    """An entry's bytes after a change of one thing."""
    payload = None if isinstance(kind, Head) else b""
    entry = parcel_pb2.Entry.FromString(
        make_entry(EntryDraft(kind, call_id(1), 0, payload), salts("x")).entry
    )
    change(entry)
    return entry.SerializeToString(deterministic=True)


def test_the_untouched_entries_parse() -> None:
    for kind in (OPEN, Head(), Close(0, bytes(32))):
        parse_entry(tamper(lambda _: None, kind))


def assign(path: str, value: object) -> Callable[[parcel_pb2.Entry], None]:
    """A change that sets one field."""

    def change(entry: parcel_pb2.Entry) -> None:
        *parents, name = path.split(".")
        target: object = entry
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, name, value)

    return change


def clear(path: str) -> Callable[[parcel_pb2.Entry], None]:
    """A change that removes one field."""

    def change(entry: parcel_pb2.Entry) -> None:
        *parents, name = path.split(".")
        target: object = entry
        for parent in parents:
            target = getattr(target, parent)
        target.ClearField(name)  # type: ignore[attr-defined]

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (clear("open"), "no kind"),
        (clear("index"), "no index"),
        (clear("salt"), "salt"),
        (assign("salt", bytes(17)), "salt"),
        (clear("call_id"), "UUIDv7"),
        (assign("call_id", bytes(16)), "UUIDv7"),
        (assign("call_id", call_id(1)[:8] + b"\x00" + call_id(1)[9:]), "UUIDv7"),
        (assign("payload.hash", bytes(31)), "commitment"),
        (assign("payload.rounded_bytes", 0), "commitment"),
        (assign("payload.rounded_bytes", 257), "commitment"),
        (clear("payload"), "payload"),
        (assign("open.unary", False), "payload"),
        (assign("open.consumer", "ID/DAERAH/53.15"), "subsystem"),
        (assign("open.provider", ""), "subsystem"),
        (assign("open.service", "Wisata"), "service"),
        (assign("open.method", "a/b"), "method"),
        (clear("open.agreement"), "no agreement"),
        (assign("open.agreement", bytes(31)), "agreement"),
        (assign("open.purpose", "x" * 257), "purpose"),
        (assign("open.purpose", "layanan\nwisata"), "purpose"),
        (assign("open.gather_id", bytes(15)), "gather"),
        # A citizen's number must not stand in a record for good.
        (assign("open.consent", "5315014001900001"), "reference"),
        (assign("open.consent", "cns-é-samarinda"), "reference"),
        (assign("open.consent", "cns 12345"), "reference"),
        (assign("open.consent", "cns-123"), "reference"),
        (assign("open.consent", "c" * 129), "reference"),
    ],
)
def test_a_malformed_open_is_refused(
    change: Callable[[parcel_pb2.Entry], object], says: str
) -> None:
    with pytest.raises(SimpulError, match=says) as caught:
        parse_entry(tamper(change))
    assert caught.value.code is Code.PARCEL_MALFORMED


def test_a_consent_needs_an_agreement() -> None:
    def change(entry: parcel_pb2.Entry) -> None:
        entry.open.service = "simpul.v1.Agreements"
        entry.open.consent = "cns-samarinda"
        entry.open.ClearField("agreement")
        entry.open.ClearField("purpose")

    with pytest.raises(SimpulError, match="consent and no agreement"):
        parse_entry(tamper(change))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (clear("close.status"), "status"),
        (assign("close.status", 17), "status"),
        (clear("close.open_digest"), "digest"),
        (clear("close.requests"), "requests"),
        (clear("close.responses.count"), "responses"),
        (assign("close.requests.digest", bytes([1]) * 32), "counts none"),
    ],
)
def test_a_malformed_close_is_refused(
    change: Callable[[parcel_pb2.Entry], object], says: str
) -> None:
    with pytest.raises(SimpulError, match=says):
        parse_entry(tamper(change, Close(0, bytes(32))))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("cancel", lambda part: part.ClearField("reason")),
        ("cancel", lambda part: setattr(part, "reason", 4)),
        ("cancel", lambda part: part.ClearField("responses")),
        ("half_close", lambda part: part.ClearField("requests")),
        ("refuse", lambda part: setattr(part, "code", "access denied")),
        ("refuse", lambda part: setattr(part, "status", 0)),
        ("refuse", lambda part: setattr(part, "status", 17)),
        ("refuse", lambda part: part.ClearField("open_digest")),
    ],
)
def test_a_malformed_end_is_refused(kind: str, change: Callable[[object], object]) -> None:
    tally = parcel_pb2.Tally(count=0, digest=bytes(32))
    entry = parcel_pb2.Entry.FromString(tamper(lambda _: None, Head()))
    if kind == "cancel":
        entry.cancel.CopyFrom(parcel_pb2.Cancel(reason=1, requests=tally, responses=tally))  # type: ignore[arg-type]
    elif kind == "half_close":
        entry.half_close.CopyFrom(parcel_pb2.HalfClose(requests=tally))
    else:
        entry.refuse.CopyFrom(parcel_pb2.Refuse(code="NO", status=7, open_digest=bytes(32)))
    parse_entry(entry.SerializeToString())
    change(getattr(entry, kind))
    with pytest.raises(SimpulError) as caught:
        parse_entry(entry.SerializeToString())
    assert caught.value.code is Code.PARCEL_MALFORMED


@pytest.mark.parametrize("service", ["simpul.v1.sub.Thing", "simpul.v10.Thing", "simpul.v1x.Thing"])
def test_only_the_package_s_own_services_go_without_an_agreement(service: str) -> None:
    def strip(entry: parcel_pb2.Entry) -> None:
        entry.open.ClearField("agreement")
        entry.open.ClearField("purpose")
        entry.open.service = service

    with pytest.raises(SimpulError, match="agreement"):
        parse_entry(tamper(strip))


def test_a_service_of_the_package_goes_without_an_agreement() -> None:
    def strip(entry: parcel_pb2.Entry) -> None:
        entry.open.ClearField("agreement")
        entry.open.ClearField("purpose")
        entry.open.service = "simpul.v1.Agreements"

    kind = parse_entry(tamper(strip)).kind
    assert isinstance(kind, Open)
    assert (kind.agreement, kind.purpose) == (None, None)


@pytest.mark.parametrize(
    "entry",
    [
        ParsedEntry(call_id(1), 0, Message(), False, None, None),
        ParsedEntry(call_id(1), 0, Message(), False, COMMITMENT, COMMITMENT),
        ParsedEntry(call_id(1), 0, Head(), False, COMMITMENT, None),
        ParsedEntry(call_id(1), 0, Head(), True, None, None),
        ParsedEntry(call_id(1), 0, STREAM, False, COMMITMENT, None),
        ParsedEntry(call_id(1), 0, OPEN, False, None, None),
    ],
)
def test_what_may_not_be_beside_an_entry_is_not_printed(entry: ParsedEntry) -> None:
    with pytest.raises(SimpulError) as caught:
        print_entry(entry, bytes(16))
    assert caught.value.code is Code.PARCEL_MALFORMED


def test_an_entry_over_the_limit_is_not_parsed() -> None:
    with pytest.raises(SimpulError) as caught:
        parse_entry(bytes(MAX_ENTRY_BYTES + 1))
    assert caught.value.code is Code.PARCEL_TOO_LARGE


def test_the_longest_names_fit_an_entry() -> None:
    part = "a" * 63
    kind = Open(
        type(OPEN.consumer).parse(f"{'F' * 16}/{'C' * 32}/{part}x/{part}x"),
        type(OPEN.service).parse(f"{'F' * 16}/{'C' * 32}/{part}x/{part}x/{'p' * 250}.Abc"),
        "M" * 255,
        bytes(32),
        "p" * 64,
        2**64 - 1,
        bytes(16),
        unary=True,
    )
    sealed = make_entry(EntryDraft(kind, call_id(1), 0, b"", private=b""), salts("x"))
    assert parse_entry(sealed.entry).kind == kind
