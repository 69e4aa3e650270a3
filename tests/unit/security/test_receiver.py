"""The receiver's twelve checks: each broken alone, by a parcel that is right in all else.

The names hold the step. Link faults are raised and change nothing (`refuses` looks); call faults
come back beside the entries.
"""

from dataclasses import replace
from typing import Any

import pytest

from security.errors import Code
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, generate
from security.limits import INLINE_MAX_BYTES, Limits
from security.parcel import HeaderFields, Received, header_hash
from security.private import Private, make_private
from security.receiver import UnknownKey
from simpul.v1 import parcel_pb2
from tests.conformance.fixed import NOW_MS
from tests.unit.security.wire import (
    BAJO,
    BSSN,
    CONSUMER_NODE,
    KOMDIGI,
    OPEN,
    OTHER_HASH,
    REVOKED,
    SEAL_KEYS,
    Pair,
    call_id,
    changed,
    directory,
    forge,
    opening,
    over,
    pair,
    record,
    records,
    refuses,
    sealed,
    statement,
)


def test_a_right_parcel_passes_all_steps() -> None:
    link = pair()
    fields, entries = opening(link)
    parcel = forge(fields, entries)
    accepted = link.provider.accept(parcel.SerializeToString())
    assert accepted.fields == fields
    assert accepted.header_hash == header_hash(parcel.header)
    assert (accepted.header, accepted.seal) == (parcel.header, parcel.seal)
    [entry] = accepted.entries
    assert entry.sealed == entries[0]
    assert entry.parsed.kind == OPEN
    assert entry.private == Private(user="3201")
    assert (accepted.fault, entry.fault, entry.late, entry.awaits_payload) == (
        None,
        None,
        False,
        False,
    )


def test_a_parsed_parcel_is_taken_as_its_bytes_are() -> None:
    one, other = pair(), pair()
    parcel = forge(*opening(one))
    opening(other)
    assert one.provider.accept(parcel) == other.provider.accept(parcel.SerializeToString())


# 1: sizes


def test_step_1_a_parcel_over_the_limit() -> None:
    link = pair(limits=Limits(max_parcel_bytes=300))
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.provider.accept(forge(*opening(link)).SerializeToString())


def test_step_1_a_parcel_over_the_limit_is_not_even_parsed() -> None:
    link = pair(limits=Limits(max_parcel_bytes=300))
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.provider.accept(b"\xff" * 301)


def test_step_1_too_many_entries() -> None:
    link = pair(limits=Limits(max_entries=1))
    entries = [link.consumer.add(OPEN, call_id(n), payload=b"") for n in range(2)]
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.send(link.consumer, *entries)


@pytest.mark.parametrize("limits", [Limits(max_message_bytes=4), Limits(max_metadata_bytes=4)])
def test_step_1_a_payload_or_private_block_over_its_limit(limits: Limits) -> None:
    link = pair(limits=limits)
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.provider.accept(forge(*opening(link)))


def test_step_1_a_payload_to_come_over_the_limit() -> None:
    link = pair(limits=Limits(max_message_bytes=2 * INLINE_MAX_BYTES))
    long = link.consumer.add(OPEN, call_id(1), payload=bytes(3 * INLINE_MAX_BYTES))
    prepared = link.consumer.prepare(long)
    parcel = forge(prepared.fields, [replace(prepared.entries[0], payload=None)])
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.provider.accept(parcel)


@pytest.mark.parametrize("part", ["header", "seal", "entry"])
def test_step_1_a_part_longer_than_its_format_needs(part: str) -> None:
    link = pair()
    parcel = forge(*opening(link))
    if part == "entry":
        parcel.entries[0].entry += bytes(3000)
    else:
        setattr(parcel, part, getattr(parcel, part) + bytes(9000))
    with refuses(link.provider, 1, Code.PARCEL_TOO_LARGE):
        link.provider.accept(parcel)


# 2: strict parse


def test_step_2_what_is_no_parcel() -> None:
    link = pair()
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(b"\xff")


def test_step_2_an_unknown_field_beside_the_header() -> None:
    link = pair()
    data = forge(*opening(link)).SerializeToString() + b"\x78\x01"
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(data)


@pytest.mark.parametrize("version", [0, 2])
def test_step_2_an_unknown_version(version: int) -> None:
    link = pair()
    with refuses(link.provider, 2, Code.PARCEL_VERSION):
        link.provider.accept(forge(*opening(link, version=version)))


def test_step_2_a_header_with_a_short_hash() -> None:
    link = pair()
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(forge(*opening(link, directory_hash=b"short")))


def test_step_2_a_seal_without_a_place() -> None:
    link = pair()
    parcel = forge(*opening(link))
    parcel.seal = parcel_pb2.Seal(signature=bytes(64), batch_size=1).SerializeToString()
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(parcel)


def test_step_2_an_entry_without_a_kind() -> None:
    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(over(fields, [changed(entry, lambda it: it.ClearField("open"))]))


def test_step_2_an_open_of_an_ordinary_service_without_an_agreement() -> None:
    def strip(entry: parcel_pb2.Entry) -> None:
        entry.open.ClearField("agreement")
        entry.open.ClearField("purpose")

    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(over(fields, [changed(entry, strip)]))


def test_step_2_a_private_block_with_another_kind_s_field() -> None:
    link = pair()
    block = make_private(Private(status_message="no"))
    prepared = link.consumer.prepare(
        link.consumer.add(OPEN, call_id(1), payload=b"", private=block)
    )
    with refuses(link.provider, 2, Code.PARCEL_MALFORMED):
        link.provider.accept(sealed(prepared))


# 3: address


def test_step_3_another_version_than_the_greetings_agreed_on() -> None:
    link = pair()
    parcel = forge(*opening(link))
    later = pair(version=2)
    with refuses(later.provider, 3, Code.PARCEL_VERSION):
        later.provider.accept(parcel)


@pytest.mark.parametrize(
    "changes",
    [
        {"federation": "MY"},
        {"node": CONSUMER_NODE},
        {"node": NodeId.parse("ID/~labuan-bajo-2")},
        {"link_id": OTHER_HASH},
    ],
    ids=["federation", "reflected", "node", "link"],
)
def test_step_3_another_federation_node_or_link(changes: dict[str, Any]) -> None:
    link = pair()
    with refuses(link.provider, 3, Code.PARCEL_MISADDRESSED):
        link.provider.accept(forge(*opening(link, **changes)))


def test_step_3_a_member_of_another_federation() -> None:
    link = pair()
    fields, entries = opening(link, member=MemberId.parse("MY/KEMENTERIAN/KOMDIGI"))
    with refuses(link.provider, 3, Code.PARCEL_MISADDRESSED):
        link.provider.accept(forge(fields, entries, SEAL_KEYS[KOMDIGI]))


# 4: order


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 1},
        {"previous": OTHER_HASH},
        {"received": Received(0, OTHER_HASH)},
        {"credit": 99},
        {"drain": 0},
    ],
    ids=["number", "previous", "received", "credit", "drain"],
)
def test_step_4_the_first_parcel_out_of_order(changes: dict[str, Any]) -> None:
    link = pair()
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(*opening(link, **changes)))


def test_step_4_a_parcel_replayed() -> None:
    link = pair()
    parcel = forge(*opening(link))
    link.provider.accept(parcel)
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(parcel)


def test_step_4_parcels_in_the_wrong_order() -> None:
    link = pair()
    first, second = link.consumer.prepare(), link.consumer.prepare()
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(sealed(second))
    link.provider.accept(sealed(first))
    link.provider.accept(sealed(second))


def acknowledged() -> tuple[Pair, HeaderFields]:
    """A link on which the consumer has acknowledged parcel 1, and its next parcel, a receipt."""
    link = pair()
    for _ in range(3):
        link.send(link.provider)
    prepared = link.consumer.prepare()
    link.deliver(link.consumer, prepared)
    return link, link.consumer.prepare().fields


def test_step_4_a_receipt_that_goes_away() -> None:
    link, fields = acknowledged()
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(replace(fields, received=None), []))


def test_step_4_a_receipt_that_goes_back() -> None:
    link, fields = acknowledged()
    back = Received(1, link.provider.sender.sent_hash(2) or b"")
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(replace(fields, received=back), []))


@pytest.mark.parametrize("number", [2, 3])
def test_step_4_a_receipt_of_what_was_never_sent(number: int) -> None:
    link, fields = acknowledged()
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(replace(fields, received=Received(number, OTHER_HASH)), []))


def test_step_4_credit_that_falls() -> None:
    link = pair()
    link.consumer.sender.grant(200)
    link.send(link.consumer)
    fields = replace(link.consumer.prepare().fields, credit=199)
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(fields, []))


def test_step_4_an_open_beyond_the_credit() -> None:
    link = pair(credit=1)
    link.consumer.sender._credit_taken = 2
    link.send(link.consumer, link.consumer.add(OPEN, call_id(1), payload=b""))
    prepared = link.consumer.prepare(link.consumer.add(OPEN, call_id(2), payload=b""))
    with refuses(link.provider, 4, Code.CREDIT_EXCEEDED):
        link.provider.accept(sealed(prepared))
    link.provider.sender.grant(2)
    link.provider.accept(sealed(prepared))


@pytest.mark.parametrize("drain", [None, 1])
def test_step_4_a_drain_that_changes(drain: int | None) -> None:
    link = pair()
    for _ in range(2):
        link.send(link.provider)
    link.consumer.sender._received = Received(0, link.provider.sender.sent_hash(0) or b"")
    link.consumer.sender.drain()
    link.send(link.consumer)
    assert link.provider.receiver.state.drain == 0
    fields = replace(link.consumer.prepare().fields, drain=drain)
    with refuses(link.provider, 4, Code.PARCEL_ORDER):
        link.provider.accept(forge(fields, []))


# 5: time


def test_step_5_sealed_over_60_s_ahead() -> None:
    link = pair()
    fields, entries = opening(link, sealed_at_ms=NOW_MS + 60_001)
    with refuses(link.provider, 5, Code.PARCEL_TIME):
        link.provider.accept(forge(fields, entries))
    link.provider.accept(forge(replace(fields, sealed_at_ms=NOW_MS + 60_000), entries))


def test_step_5_sealed_before_the_last_parcel() -> None:
    link = pair()
    link.send(link.consumer)
    fields = replace(link.consumer.prepare().fields, sealed_at_ms=NOW_MS - 1)
    with refuses(link.provider, 5, Code.PARCEL_TIME):
        link.provider.accept(forge(fields, []))


def test_step_5_age_alone_is_no_fault() -> None:
    link = pair()
    parcel = forge(*opening(link))
    link.provider.accept(parcel, now_ms=NOW_MS + 10 * 60_000)


# 6: root


def test_step_6_an_entry_changed() -> None:
    link = pair()
    fields, [entry] = opening(link)
    other = changed(entry, lambda it: setattr(it.open, "method", "List"))
    with refuses(link.provider, 6, Code.PARCEL_ROOT):
        link.provider.accept(forge(fields, [other]))


def test_step_6_an_entry_left_out() -> None:
    link = pair()
    with refuses(link.provider, 6, Code.PARCEL_ROOT):
        link.provider.accept(forge(opening(link)[0], []))


def test_step_6_a_count_that_is_not_theirs() -> None:
    link = pair()
    with refuses(link.provider, 6, Code.PARCEL_ROOT):
        link.provider.accept(forge(*opening(link, entry_count=2)))


# 7: seal


def test_step_7_a_seal_by_another_key() -> None:
    link = pair()
    fields, entries = opening(link)
    with refuses(link.provider, 7, Code.PARCEL_SEAL):
        link.provider.accept(forge(fields, entries, SEAL_KEYS[BSSN]))


def test_step_7_a_header_changed_after_the_seal() -> None:
    link = pair()
    fields, entries = opening(link)
    parcel = forge(replace(fields, credit=fields.credit + 1), entries)
    parcel.seal = forge(fields, entries).seal
    with refuses(link.provider, 7, Code.PARCEL_SEAL):
        link.provider.accept(parcel)


def test_step_7_another_algorithm_than_the_directory_names() -> None:
    link = pair()
    with refuses(link.provider, 7, Code.PARCEL_SEAL):
        link.provider.accept(forge(*opening(link), generate(Algorithm.ECDSA_P256_SHA256)))


def test_step_7_comes_before_the_key_s_validity() -> None:
    link = pair()
    fields, entries = opening(link)
    with refuses(link.provider, 7, Code.PARCEL_SEAL):
        link.provider.accept(forge(fields, entries, SEAL_KEYS[BSSN]), REVOKED)


def test_step_7_an_unlisted_key_asks_for_the_directory_first() -> None:
    link = pair()
    parcel = forge(*opening(link, directory_hash=OTHER_HASH, seal_key_id=OTHER_HASH))
    before = link.provider.receiver.state
    with pytest.raises(UnknownKey) as caught:
        link.provider.accept(parcel)
    assert caught.value.directory_hash == OTHER_HASH
    assert link.provider.receiver.state == before
    assert len(link.provider.sender.calls) == 0


def test_step_7_a_key_of_a_newer_directory_passes_once_that_is_fetched() -> None:
    link = pair()
    fields, entries = opening(link, directory_hash=OTHER_HASH)
    parcel = forge(fields, entries)
    older = directory({BAJO: records()[BAJO], BSSN: record(statement(BSSN), [CONSUMER_NODE])})
    with pytest.raises(UnknownKey):
        link.provider.accept(parcel, older)
    newer = directory(hashed=OTHER_HASH)
    assert link.provider.accept(parcel, newer, fetched=True).fault is None
