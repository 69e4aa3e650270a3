"""The sending side: what headers say, what entries are made of, what is refused."""

import pytest

from security import sender as sender_module
from security.call_state import Side
from security.commitment import NO_MESSAGES, Tally
from security.entry import entry_digest, parse_entry
from security.errors import Code, SimpulError
from security.kinds import Cancel, CancelReason, Close, HalfClose, Head, Kind, Message, Open, Refuse
from security.parcel import Received, parse_header
from security.sender import MAX_UNACKNOWLEDGED
from tests.conformance.fixed import NOW_MS
from tests.unit.security.wire import (
    BSSN,
    LINK_ID,
    OPEN,
    OTHER_HASH,
    STREAM,
    Pair,
    call_id,
    pair,
    salts,
)


def said(sealed_entry: bytes) -> Kind:
    return parse_entry(sealed_entry).kind


def test_headers_form_a_chain_from_the_link_s_id() -> None:
    consumer = pair().consumer
    first, second = consumer.prepare(), consumer.prepare()
    assert (first.fields.number, first.fields.previous) == (0, LINK_ID)
    assert (second.fields.number, second.fields.previous) == (1, first.header_hash)
    assert parse_header(second.header) == second.fields
    assert consumer.sender.number == 2


def test_a_header_says_what_is_durable_and_what_may_come() -> None:
    consumer = pair(credit=5).consumer
    assert consumer.prepare().fields.received is None
    consumer.sender.durable(Received(3, OTHER_HASH))
    consumer.sender.grant(9)
    fields = consumer.prepare().fields
    assert (fields.received, fields.credit) == (Received(3, OTHER_HASH), 9)


def test_the_time_never_goes_back() -> None:
    consumer = pair().consumer
    consumer.prepare()
    assert consumer.prepare(now_ms=NOW_MS - 5000).fields.sealed_at_ms == NOW_MS
    assert consumer.prepare(now_ms=NOW_MS + 1).fields.sealed_at_ms == NOW_MS + 1


def test_what_must_not_go_back_raises() -> None:
    sender = pair(credit=5).consumer.sender
    sender.durable(Received(3, OTHER_HASH))
    with pytest.raises(ValueError, match="durable"):
        sender.durable(Received(2, OTHER_HASH))
    with pytest.raises(ValueError, match="credit"):
        sender.grant(4)


def test_a_drain_names_the_last_durable_parcel_for_good() -> None:
    consumer = pair().consumer
    with pytest.raises(ValueError, match="drain"):
        consumer.sender.drain()
    consumer.sender.durable(Received(3, OTHER_HASH))
    consumer.sender.drain()
    consumer.sender.durable(Received(4, OTHER_HASH))
    consumer.sender.drain()
    assert (consumer.prepare().fields.drain, consumer.sender.draining) == (3, 3)


def test_a_stream_s_tallies_and_indices_are_filled_in() -> None:
    link = pair()
    opening, first, second, end = (
        link.consumer.add(STREAM, call_id(1)),
        link.consumer.add(Message(), call_id(1), payload=b"1"),
        link.consumer.add(Message(), call_id(1), payload=b"2"),
        link.consumer.add(HalfClose(), call_id(1)),
    )
    parsed = [parse_entry(item.sealed.entry) for item in (opening, first, second, end)]
    assert [entry.index for entry in parsed] == [0, 1, 2, 3]
    expected = NO_MESSAGES
    for entry in parsed[1:3]:
        assert entry.payload is not None
        expected = expected.add(entry.payload.hash)
    assert parsed[3].kind == HalfClose(expected)

    link.send(link.consumer, opening, first, second, end)
    answer = link.provider.add(Close(0), call_id(1), payload=b"2 islands")
    kind = said(answer.sealed.entry)
    assert isinstance(kind, Close)
    assert kind.requests == expected
    assert kind.responses.count == 1
    assert kind.open_digest == entry_digest(opening.sealed.entry)


def test_a_cancel_says_what_went_each_way() -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    link.send(link.provider, link.provider.add(Message(), call_id(1), payload=b"1"))
    kind = said(link.consumer.add(Cancel(CancelReason.DEADLINE), call_id(1)).sealed.entry)
    assert isinstance(kind, Cancel)
    assert (kind.reason, kind.requests, kind.responses.count) == (
        CancelReason.DEADLINE,
        NO_MESSAGES,
        1,
    )


def test_what_the_caller_says_of_tallies_is_not_believed() -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(OPEN, call_id(1), payload=b""))
    wrong = Close(0, OTHER_HASH, Tally(9, OTHER_HASH), Tally(9, OTHER_HASH))
    accepted = link.send(link.provider, link.provider.add(wrong, call_id(1)))
    assert isinstance(accepted.entries[0].parsed.kind, Close)


def refused(link: Pair, side: Side, kind: Kind, code: Code) -> None:
    """Making this entry of call 1 is refused, and nothing changes."""
    end = link.consumer if side is Side.CONSUMER else link.provider
    before = (end.sender.calls.get(call_id(1)), end.sender.opens_left)
    payload = b"" if isinstance(kind, Message | Open) else None
    with pytest.raises(SimpulError) as caught:
        end.add(kind, call_id(1), payload=payload)
    assert caught.value.code is code
    assert (end.sender.calls.get(call_id(1)), end.sender.opens_left) == before


@pytest.mark.parametrize("kind", [Message(), HalfClose(), Head(), Close(0), Refuse("NO", 7)])
def test_no_entry_of_a_call_that_never_was(kind: Kind) -> None:
    refused(pair(), Side.CONSUMER, kind, Code.ENTRY_STATE)


def test_no_second_open_of_a_call() -> None:
    link = pair()
    link.consumer.add(OPEN, call_id(1), payload=b"")
    refused(link, Side.CONSUMER, OPEN, Code.ENTRY_STATE)


@pytest.mark.parametrize("kind", [Message(), HalfClose(), Head(), Close(0)])
def test_no_entry_that_the_state_does_not_allow(kind: Kind) -> None:
    link = pair()
    link.consumer.add(OPEN, call_id(1), payload=b"")
    refused(link, Side.CONSUMER, kind, Code.ENTRY_STATE)


@pytest.mark.parametrize(
    "kind", [Message(), Head(), Close(0), Refuse("NO", 7), Cancel(CancelReason.APP)]
)
def test_no_entry_after_the_close(kind: Kind) -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    link.send(link.provider, link.provider.add(Close(0), call_id(1)))
    refused(link, Side.PROVIDER, kind, Code.ENTRY_STATE)
    refused(link, Side.CONSUMER, kind, Code.ENTRY_STATE)


def test_no_payload_where_the_kind_has_none() -> None:
    consumer = pair().consumer
    with pytest.raises(SimpulError) as caught:
        consumer.add(STREAM, call_id(1), payload=b"x")
    assert caught.value.code is Code.PARCEL_MALFORMED
    assert consumer.sender.opens_left == 100
    assert len(consumer.sender.calls) == 0


def test_opens_take_credit_and_headers_bring_it() -> None:
    link = pair(credit=1)
    link.send(link.consumer, link.consumer.add(OPEN, call_id(2), payload=b""))
    assert link.consumer.sender.opens_left == 0
    refused(link, Side.CONSUMER, OPEN, Code.CREDIT_EXCEEDED)
    link.provider.sender.grant(3)
    link.send(link.provider)
    assert link.consumer.sender.opens_left == 2
    link.consumer.add(OPEN, call_id(1), payload=b"")


def test_receipts_forget_hashes() -> None:
    link = pair()
    for _ in range(3):
        link.send(link.consumer)
    assert (link.consumer.sender.unacknowledged, link.consumer.sender.acknowledged) == (3, None)
    last = link.consumer.sender.sent_hash(2)
    link.send(link.provider)
    assert link.consumer.sender.unacknowledged == 0
    assert link.consumer.sender.acknowledged == Received(2, last or b"")
    assert link.consumer.sender.sent_hash(2) == last
    assert link.consumer.sender.sent_hash(1) is None


def test_what_waits_for_a_call_that_ended_is_left_out() -> None:
    link = pair()
    link.send(link.consumer, link.consumer.add(STREAM, call_id(1)))
    waiting = link.consumer.add(Message(), call_id(1), payload=b"")
    other = link.consumer.add(OPEN, call_id(2), payload=b"")
    link.send(link.provider, link.provider.add(Refuse("NO", 7), call_id(1)))
    assert link.consumer.prepare(waiting, other).entries == (other.sealed,)


def test_a_peer_that_acknowledges_nothing_is_sent_receipts_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MAX_UNACKNOWLEDGED == 4096
    monkeypatch.setattr(sender_module, "MAX_UNACKNOWLEDGED", 2)
    link = pair()
    entry = link.consumer.add(OPEN, call_id(1), payload=b"")
    for _ in range(2):
        link.send(link.consumer)
    with pytest.raises(SimpulError) as caught:
        link.consumer.prepare(entry)
    assert caught.value.code is Code.OVERLOADED
    link.send(link.consumer)
    link.send(link.provider)
    assert link.consumer.prepare(entry).entries == (entry.sealed,)


def test_a_parcel_is_of_one_member() -> None:
    consumer = pair().consumer
    entry = consumer.add(OPEN, call_id(1), payload=b"")
    with pytest.raises(ValueError, match="one member"):
        consumer.prepare(entry, member=BSSN)


def test_the_ids_of_live_calls_are_known_by_side() -> None:
    link = pair()
    link.send(link.consumer, *[link.consumer.add(STREAM, call_id(n)) for n in range(2)])
    link.send(link.provider, link.provider.add(Close(0), call_id(0)))
    for end, side in ((link.consumer, Side.CONSUMER), (link.provider, Side.PROVIDER)):
        assert end.sender.calls.ids(side) == (call_id(1),)
        assert end.sender.calls.ids(side.other) == ()


def test_salts_are_used_as_given() -> None:
    one, other = pair().consumer, pair().consumer
    first = one.sender.add(OPEN, call_id(1), salts("a"), payload=b"x")
    assert first == other.sender.add(OPEN, call_id(1), salts("a"), payload=b"x")
    again = pair().consumer.sender.add(OPEN, call_id(1), salts("b"), payload=b"x")
    assert again.sealed.entry != first.sealed.entry
