"""The receiver's checks 8 to 12, which look at members, keys and calls: each broken alone.

Call faults come back beside the entries; link faults are raised and change nothing.
"""

from dataclasses import replace
from typing import Any

import pytest

from security.errors import Code
from security.hashing import HASH_BYTES
from security.identifiers import MemberId, ServiceId
from security.kinds import Cancel, CancelReason, Close, HalfClose, Head, Message, Refuse
from security.limits import INLINE_MAX_BYTES
from security.private import Private, make_private
from security.sender import OutgoingEntry, PreparedParcel
from simpul.v1 import directory_pb2, parcel_pb2
from tests.conformance.fixed import NOW_MS, key
from tests.unit.security.wire import (
    BAJO,
    BSSN,
    CONSUMER_NODE,
    KOMDIGI,
    OPEN,
    OTHER_HASH,
    PROVIDER_NODE,
    REVOKED,
    SEAL_KEYS,
    STREAM,
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
    stray,
)

# 8: member


def faulted(
    members: dict[MemberId, directory_pb2.MemberRecord], *, fetched: bool = False
) -> tuple[int, Code]:
    """The call fault that an open meets under this directory; the link goes on."""
    link = pair()
    view = directory(members)
    prepared = link.consumer.prepare(link.consumer.add(OPEN, call_id(1), payload=b""))
    accepted = link.provider.accept(sealed(prepared), view, fetched=fetched)
    [entry] = accepted.entries
    assert accepted.fault is not None
    assert entry.fault is accepted.fault

    # The call is there, for the refusal to end it; and the next parcel is accepted.
    refusal = link.provider.add(Refuse(accepted.fault.code, 7), call_id(1))
    link.send(link.provider, refusal)
    assert link.provider.accept(sealed(link.consumer.prepare()), view).fields.number == 1
    return accepted.fault.step, accepted.fault.code


def test_step_8_a_member_that_is_not_listed() -> None:
    others = {
        BSSN: record(statement(BSSN), [CONSUMER_NODE]),
        BAJO: records()[BAJO],
    }
    assert faulted(others) == (8, Code.MEMBER_UNKNOWN)


def test_step_8_a_member_that_is_suspended() -> None:
    suspended = record(
        statement(KOMDIGI), [CONSUMER_NODE], state=directory_pb2.MEMBER_STATE_SUSPENDED
    )
    assert faulted({**records(), KOMDIGI: suspended}) == (8, Code.MEMBER_SUSPENDED)


def test_step_8_a_member_that_another_node_hosts() -> None:
    moved = replace(statement(KOMDIGI).seal_keys[0], node=PROVIDER_NODE)
    elsewhere = record(statement(KOMDIGI, seal_keys=(moved,)), [CONSUMER_NODE])
    assert faulted({**records(), KOMDIGI: elsewhere}) == (8, Code.ENTRY_PARTY)


def test_step_8_a_node_that_is_revoked() -> None:
    revoked = record(statement(KOMDIGI), [CONSUMER_NODE])
    revoked.nodes[0].state = directory_pb2.NODE_STATE_REVOKED
    assert faulted({**records(), KOMDIGI: revoked}) == (8, Code.NODE_REVOKED)


# 9: key


def test_step_9_a_revoked_key() -> None:
    link = pair()
    accepted = link.provider.accept(forge(*opening(link)), REVOKED)
    assert accepted.fault is not None
    assert (accepted.fault.step, accepted.fault.code) == (9, Code.KEY_REVOKED)
    assert accepted.entries[0].fault is accepted.fault


@pytest.mark.parametrize(
    "changes",
    [
        {"valid_from_ms": NOW_MS + 1},
        {"valid_until_ms": NOW_MS},
    ],
    ids=["early", "late"],
)
def test_step_9_a_key_outside_its_dates(changes: dict[str, Any]) -> None:
    listed = replace(statement(KOMDIGI).seal_keys[0], **changes)
    dated = record(statement(KOMDIGI, seal_keys=(listed,)), [CONSUMER_NODE])
    assert faulted({**records(), KOMDIGI: dated}) == (9, Code.KEY_NOT_VALID)


def test_step_9_a_key_for_another_node_of_the_member() -> None:
    listed = statement(KOMDIGI).seal_keys[0]
    keys = (
        replace(listed, node=PROVIDER_NODE),
        replace(listed, key=key("second").public),
    )
    both = record(statement(KOMDIGI, seal_keys=keys), [CONSUMER_NODE])
    assert faulted({**records(), KOMDIGI: both}) == (9, Code.KEY_NOT_VALID)


def unlisted() -> dict[MemberId, directory_pb2.MemberRecord]:
    """A directory in which the consumer lists another key than the one that seals."""
    listed = replace(statement(KOMDIGI).seal_keys[0], key=key("second").public)
    return {
        **records(),
        KOMDIGI: record(statement(KOMDIGI, seal_keys=(listed,)), [CONSUMER_NODE]),
    }


def test_step_9_an_unlisted_key_by_our_own_directory() -> None:
    assert faulted(unlisted()) == (9, Code.KEY_UNKNOWN)


def test_step_9_an_unlisted_key_after_fetching() -> None:
    link = pair()
    fields, entries = opening(link, directory_hash=OTHER_HASH)
    accepted = link.provider.accept(forge(fields, entries), directory(unlisted()), fetched=True)
    assert accepted.fault is not None
    assert (accepted.fault.step, accepted.fault.code) == (9, Code.KEY_UNKNOWN)


# 10: state


def test_step_10_an_entry_of_a_call_that_never_was() -> None:
    link = pair()
    fields, [entry] = opening(link)
    lost = stray(Cancel(CancelReason.APP), call_id(9))
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(fields, [entry, lost]))


def test_step_10_a_second_open_of_a_call() -> None:
    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(fields, [entry, entry]))


def test_step_10_an_open_with_another_index() -> None:
    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(fields, [changed(entry, lambda it: setattr(it, "index", 1))]))


def test_step_10_a_call_s_entries_out_of_order() -> None:
    link = pair()
    entries = [
        link.consumer.add(STREAM, call_id(1)),
        link.consumer.add(Message(), call_id(1), payload=b"1"),
        link.consumer.add(Message(), call_id(1), payload=b"2"),
    ]
    prepared = link.consumer.prepare(*entries)
    first, second, third = prepared.entries
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(prepared.fields, [first, third, second]))


def test_step_10_answers_out_of_order() -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    prepared = link.provider.prepare(
        link.provider.add(Message(), call_id(1), payload=b"1"),
        link.provider.add(Message(), call_id(1), payload=b"2"),
    )
    with refuses(link.consumer, 10, Code.ENTRY_STATE):
        link.consumer.accept(over(prepared.fields, prepared.entries[::-1]))


def test_step_10_the_provider_s_kind_from_the_consumer() -> None:
    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(fields, [entry, stray(Head(), call_id(1))]))


def answered(kind: Any, **beside: Any) -> tuple[Pair, PreparedParcel]:
    """A link on which an open arrived, and the provider's first parcel with this entry."""
    link = pair()
    link.send(link.consumer, link.consumer.add(OPEN, call_id(1), payload=b"53.15"))
    return link, link.provider.prepare(link.provider.add(kind, call_id(1), **beside))


@pytest.mark.parametrize("kind", [Close(0), Refuse("OVERLOADED", 8)])
def test_step_10_an_answer_to_another_open(kind: Close | Refuse) -> None:
    def other_open(entry: parcel_pb2.Entry) -> None:
        part = entry.close if entry.WhichOneof("kind") == "close" else entry.refuse
        part.open_digest = OTHER_HASH

    link, prepared = answered(kind)
    with refuses(link.consumer, 10, Code.ENTRY_STATE):
        link.consumer.accept(over(prepared.fields, [changed(prepared.entries[0], other_open)]))


@pytest.mark.parametrize(
    ("tally", "count", "digest"),
    [
        ("requests", 1, OTHER_HASH),
        ("requests", 2, OTHER_HASH),
        ("responses", 0, bytes(HASH_BYTES)),
        ("responses", 1, OTHER_HASH),
    ],
)
def test_step_10_a_close_that_counts_wrong(tally: str, count: int, digest: bytes) -> None:
    def miscount(entry: parcel_pb2.Entry) -> None:
        part = getattr(entry.close, tally)
        part.count, part.digest = count, digest

    link, prepared = answered(Close(0), payload=b"Komodo")
    with refuses(link.consumer, 10, Code.ENTRY_STATE):
        link.consumer.accept(over(prepared.fields, [changed(prepared.entries[0], miscount)]))


def test_step_10_a_half_close_that_counts_wrong() -> None:
    link = pair()
    prepared = link.consumer.prepare(
        link.consumer.add(STREAM, call_id(1)),
        link.consumer.add(Message(), call_id(1), payload=b"1"),
        link.consumer.add(HalfClose(), call_id(1)),
    )
    first, dropped, last = prepared.entries
    last = changed(last, lambda it: setattr(it, "index", 1))
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(prepared.fields, [first, last]))
    assert dropped.payload == b"1"


def test_step_10_an_answer_after_the_close() -> None:
    link, prepared = answered(Close(0))
    close = prepared.entries[0]
    with refuses(link.consumer, 10, Code.ENTRY_STATE):
        link.consumer.accept(over(prepared.fields, [close, close]))


def test_step_10_an_answer_in_a_later_parcel_than_the_close() -> None:
    link, prepared = answered(Close(0))
    link.deliver(link.provider, prepared)
    assert len(link.consumer.sender.calls) == 0
    fields = link.provider.prepare().fields
    with refuses(link.consumer, 10, Code.ENTRY_STATE):
        link.consumer.accept(over(fields, prepared.entries))


def test_step_10_another_call_on_a_child_link() -> None:
    link = pair(child_call_id=call_id(2))
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(forge(*opening(link)))


# 10: what crosses with a close


def crossing() -> tuple[Pair, OutgoingEntry, OutgoingEntry]:
    """The provider closed a stream, and two entries of the consumer are under way."""
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    message = link.consumer.add(Message(), call_id(1), payload=b"1")
    cancel = link.consumer.add(Cancel(CancelReason.APP), call_id(1))
    return link, message, cancel


@pytest.mark.parametrize("end", [Close(5), Refuse("ACCESS_EXPIRED", 7)])
def test_what_crosses_with_a_close_is_taken_late(end: Close | Refuse) -> None:
    link, message, cancel = crossing()
    under_way = link.consumer.prepare(message, cancel)
    link.send(link.provider, link.provider.add(end, call_id(1)))
    accepted = link.deliver(link.consumer, under_way)
    assert [(entry.late, entry.fault) for entry in accepted.entries] == [(True, None)] * 2
    assert len(link.provider.sender.calls) == 1

    # The consumer acknowledges the close: the call is forgotten.
    link.send(link.consumer)
    assert len(link.provider.sender.calls) == 0


def test_what_crosses_must_be_right_in_itself() -> None:
    link, message, cancel = crossing()
    under_way = link.consumer.prepare(message, cancel)
    link.send(link.provider, link.provider.add(Close(5), call_id(1)))
    first, second = under_way.entries
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(under_way.fields, [second, first]))


def test_step_10_what_comes_with_the_close_s_receipt_or_after_is_a_fault() -> None:
    link, message, _ = crossing()
    link.send(link.provider, link.provider.add(Close(5), call_id(1)))
    receipt = link.consumer.prepare(message)
    assert receipt.entries == ()
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(receipt.fields, [message.sealed]))
    link.deliver(link.consumer, receipt)
    with refuses(link.provider, 10, Code.ENTRY_STATE):
        link.provider.accept(over(link.consumer.prepare().fields, [message.sealed]))


def test_a_close_that_waits_in_the_outbox_is_not_acknowledged_by_chance() -> None:
    link, message, cancel = crossing()
    close = link.provider.add(Close(5), call_id(1))
    link.send(link.provider)
    accepted = link.send(link.consumer, message)
    assert accepted.entries[0].late
    link.send(link.provider, close)
    assert link.send(link.consumer, cancel).entries == ()


def test_a_cancelled_call_still_takes_what_comes() -> None:
    link, message, cancel = crossing()
    link.send(link.consumer, message, cancel)
    accepted = link.send(
        link.provider,
        link.provider.add(Head(), call_id(1)),
        link.provider.add(Message(), call_id(1), payload=b"2"),
        link.provider.add(Close(1), call_id(1)),
    )
    assert [entry.late for entry in accepted.entries] == [False] * 3
    assert len(link.consumer.sender.calls) == 0


# 11: parties


def test_step_11_an_open_in_another_member_s_name() -> None:
    link = pair()
    prepared = link.consumer.prepare(link.consumer.add(OPEN, call_id(1), payload=b""))
    fields = replace(prepared.fields, member=BSSN, seal_key_id=SEAL_KEYS[BSSN].public.key_id)
    with refuses(link.provider, 11, Code.ENTRY_PARTY):
        link.provider.accept(forge(fields, prepared.entries))


def test_step_11_an_entry_of_another_member_s_call() -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    prepared = link.consumer.prepare(link.consumer.add(HalfClose(), call_id(1)))
    fields = replace(prepared.fields, member=BSSN, seal_key_id=SEAL_KEYS[BSSN].public.key_id)
    with refuses(link.provider, 11, Code.ENTRY_PARTY):
        link.provider.accept(forge(fields, prepared.entries))


def test_step_11_a_provider_not_served_here_is_a_call_fault() -> None:
    link = pair()
    elsewhere = replace(
        OPEN, service=ServiceId.parse("ID/DAERAH/74.07/pariwisata/wisata.v1.Wisata")
    )
    accepted = link.send(
        link.consumer,
        link.consumer.add(elsewhere, call_id(1), payload=b""),
        link.consumer.add(OPEN, call_id(2), payload=b""),
    )
    first, second = accepted.entries
    assert (accepted.fault, second.fault) == (None, None)
    assert first.fault is not None
    assert (first.fault.step, first.fault.code) == (11, Code.SUBSYSTEM_UNKNOWN)
    # In the name of a member that is hosted where it was asked: nobody there is that provider.
    refusal = link.provider.add(Refuse(first.fault.code, 5), call_id(1), host=BAJO)
    assert refusal.member == BAJO
    assert link.send(link.provider, refusal).entries[0].fault is None
    # What is hosted there is refused in its own name.
    assert link.provider.add(Refuse(Code.OVERLOADED, 8), call_id(2), host=BSSN).member == BAJO


def test_step_11_a_close_of_a_member_that_was_not_asked() -> None:
    link = pair()
    elsewhere = replace(
        OPEN, service=ServiceId.parse("ID/DAERAH/74.07/pariwisata/wisata.v1.Wisata")
    )
    link.send(link.consumer, link.consumer.add(elsewhere, call_id(1), payload=b""))
    prepared = link.provider.prepare(
        replace(link.provider.add(Close(0), call_id(1), payload=b""), member=BAJO)
    )
    with refuses(link.consumer, 11, Code.ENTRY_PARTY):
        link.consumer.accept(sealed(prepared))


# 12: commitments


@pytest.mark.parametrize(
    "changes",
    [
        {"payload": b"74.07"},
        {"payload": None},
        {"payload_salt": bytes(16)},
        {"payload_salt": b""},
        {"private": make_private(Private(user="3202"))},
        {"private": None},
        {"private_salt": bytes(16)},
    ],
    ids="-".join,
)
def test_step_12_what_is_beside_the_entry_is_not_what_it_commits_to(
    changes: dict[str, Any],
) -> None:
    link = pair()
    fields, [entry] = opening(link)
    with refuses(link.provider, 12, Code.COMMITMENT_MISMATCH):
        link.provider.accept(forge(fields, [replace(entry, **changes)]))


def test_step_12_a_length_that_is_not_the_payload_s() -> None:
    link = pair()
    fields, [entry] = opening(link)
    longer = changed(entry, lambda it: setattr(it.payload, "rounded_bytes", 512))
    with refuses(link.provider, 12, Code.COMMITMENT_MISMATCH):
        link.provider.accept(over(fields, [longer]))


def test_step_12_something_beside_an_entry_that_commits_to_nothing() -> None:
    link = pair()
    prepared = link.consumer.prepare(link.consumer.add(STREAM, call_id(1)))
    stowaway = replace(prepared.entries[0], payload=b"")
    with refuses(link.provider, 12, Code.COMMITMENT_MISMATCH):
        link.provider.accept(forge(prepared.fields, [stowaway]))


def test_a_long_payload_may_follow_in_chunks() -> None:
    link = pair()
    prepared = link.consumer.prepare(
        link.consumer.add(OPEN, call_id(1), payload=bytes(INLINE_MAX_BYTES + 1))
    )
    parcel = forge(prepared.fields, [replace(prepared.entries[0], payload=None)])
    assert link.provider.accept(parcel).entries[0].awaits_payload
