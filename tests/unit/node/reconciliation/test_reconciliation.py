"""Two nodes' journals compared: the asking side against the answering one, without a network."""

import asyncio
from hashlib import sha256
from itertools import pairwise

import pytest

from node.reconciliation import asking, wire
from node.reconciliation.answering import Answering
from node.reconciliation.asking import ComparedHour, Event, Progress, Reconciling
from node.reconciliation.sets import JournalSets
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.parcel import Received
from security.reconcile import HOUR_MS, Finding, hours_digest
from simpul.v1 import reconciliation_pb2 as pb
from tests.unit.node.journal.builder import ME, PEER, Link, close_entry, open_entry
from tests.unit.node.journal.support import tamper, write
from tests.unit.node.reconciliation.pair import (
    AT_MS,
    HOUR,
    LATER_MS,
    Two,
    call,
    calls,
    differences,
    mirrored,
    summary,
)


async def test_equal_records_cost_a_question(two: Two) -> None:
    two.record(*calls(100, Link()), slots=(0, 3))
    events = await two.compare()
    assert differences(events) == []
    found = summary(events)
    assert (found.parcels, found.questions, found.serious, found.more) == (201, 1, 0, False)
    assert found.asked_bytes + found.answered_bytes < 200
    hours = [event for event in events if isinstance(event, ComparedHour)]
    assert [(hour.here.hour, hour.here == hour.there) for hour in hours] == [
        (HOUR, True),
        (HOUR + 1, True),
    ]
    # The receipt at the end: nothing acknowledged it yet.
    assert hours[1].here.unacknowledged.count == 1
    assert [event for event in events if isinstance(event, Progress)][-1] == Progress(5, 5)


@pytest.mark.parametrize("other_way", [False, True])
async def test_what_one_side_has_lost_is_named_at_both(two: Two, other_way: bool) -> None:
    records = calls(100, Link())
    two.record(*records)
    gone = records[50]
    two.forget(two.there, gone)
    events = await two.compare(other_way=other_way)
    (found,) = differences(events)
    assert found.finding is (Finding.MISSING_HERE if other_way else Finding.MISSING_THERE)
    assert found.place.header_hash == gone.header_hash
    assert (found.place.number, found.place.link_id) == (gone.number, gone.link_id)
    assert found.place.sent is not other_way
    assert found.place.acknowledged is True
    assert summary(events).serious == 1


async def test_nothing_of_the_last_day_can_be_said_to_be_dropped(two: Two) -> None:
    two.record(*calls(10, Link()))
    two.answer = lambda _method, _question: pb.CompareHoursResponse(
        until_ms=LATER_MS - 120_000, digest=EMPTY, held_from_ms=LATER_MS
    ).SerializeToString()
    found = summary(await two.compare())
    assert found.archived_hours == 0
    assert found.serious > 0


async def test_another_parcel_in_the_same_place_is_different(two: Two) -> None:
    records = calls(10, Link())
    two.record(*records)
    changed = records[4]
    other = sha256(b"another header").digest()
    where = "UPDATE parcels SET header_hash = ? WHERE header_hash = ?"
    tamper(two.there, (where, (other, changed.header_hash)))
    (found,) = differences(await two.compare())
    assert (found.finding, found.serious) == (Finding.DIFFERENT, True)
    assert found.here is not None
    assert found.there is not None
    assert (found.here.header_hash, found.there.header_hash) == (changed.header_hash, other)


async def test_what_was_under_way_as_its_link_was_cut_is_said_and_is_no_loss(two: Two) -> None:
    link = Link()
    records = calls(3, link)
    two.record(*records)
    # Recorded and sent, and never taken: two opens, and nothing of the peer's after them.
    late = [link.sent(open_entry(n), sealed_at_ms=AT_MS + 2 * HOUR_MS) for n in (7, 8)]
    write(two.here, late)
    events = await two.compare()
    assert [item.finding for item in differences(events)] == [Finding.MISSING_THERE] * 2
    assert summary(events).serious == 0


async def test_an_acknowledgement_that_was_lost_with_its_link_is_no_difference(two: Two) -> None:
    link = Link()
    asked = link.sent(open_entry(1), sealed_at_ms=AT_MS)
    two.record(asked)
    # The peer took it and said so, and that parcel never came.
    lost = link.received(
        close_entry(1), sealed_at_ms=AT_MS + HOUR_MS, received=Received(0, asked.header_hash)
    )
    write(two.there, [mirrored(lost)])
    events = await two.compare()
    (found,) = differences(events)
    assert (found.finding, found.serious) == (Finding.MISSING_HERE, False)
    (hour, _) = [event for event in events if isinstance(event, ComparedHour)]
    assert (hour.regarded, hour.differences) == (1, ())


async def test_a_journal_that_was_restored_lacks_all_that_came_later(two: Two) -> None:
    records = calls(200, Link(), step_ms=10_000)
    write(two.here, records)
    write(two.there, [mirrored(record) for record in records[:100]])
    events = await two.compare()
    assert {item.place.header_hash for item in differences(events)} == {
        record.header_hash for record in records[100:]
    }
    # What it had acknowledged. Its own answers alone would not show that it was restored.
    assert summary(events).serious == 150


async def test_past_many_differences_it_stops_and_says_so(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MAX_DIFFERENCES", 10)
    monkeypatch.setattr(asking, "MAX_SPAN_PARCELS", 100)
    write(two.here, calls(300, Link()))
    write(two.there, [mirrored(record) for record in calls(1, Link("other"))])
    found = summary(await two.compare())
    assert found.more is True
    assert found.differences <= 12


async def test_what_may_be_under_way_is_left_out(two: Two) -> None:
    link = Link()
    two.record(*call(link, 1, AT_MS))
    write(two.here, [link.sent(open_entry(2), sealed_at_ms=AT_MS + HOUR_MS)])
    two.now_ms = AT_MS + HOUR_MS + 119_000
    assert differences(await two.compare()) == []
    two.now_ms += 2_000
    assert len(differences(await two.compare())) == 1


async def test_a_peer_whose_clock_is_behind_says_up_to_when(two: Two) -> None:
    link = Link()
    two.record(*call(link, 1, AT_MS), *call(link, 2, AT_MS + 3 * HOUR_MS))
    write(two.here, call(link, 3, AT_MS + 3 * HOUR_MS + 60_000))
    here_ms, two.now_ms = two.now_ms, AT_MS + 2 * HOUR_MS

    async def compare() -> list[Event]:
        answering = Answering(
            NodeId.parse(PEER), JournalSets(two.there, lambda: 0.0), lambda: two.now_ms
        )
        work = Reconciling(
            JournalSets(two.here, lambda: 0.0),
            lambda method, question: answering.answer(NodeId.parse(ME), method, question),
            PEER,
        )
        return [event async for event in work.run(AT_MS, LATER_MS, here_ms)]

    found = summary(await compare())
    assert (found.differences, found.until_ms) == (0, two.now_ms - 60_000)


async def test_a_day_is_asked_about_at_once_and_a_busy_hour_alone(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.record(*calls(100, Link()))
    two.now_ms = AT_MS + 100 * HOUR_MS
    await two.compare(until_ms=two.now_ms)
    assert len(two.questions) == 5
    two.questions.clear()
    monkeypatch.setattr(asking, "MAX_SPAN_PARCELS", 100)
    found = await two.compare(until_ms=two.now_ms)
    assert summary(found).parcels == 201
    spans = [pb.CompareHoursRequest.FromString(data) for _, data in two.questions]
    assert [span.from_ms for span in spans][:3] == [AT_MS, AT_MS + HOUR_MS, AT_MS + 25 * HOUR_MS]
    assert all(a.until_ms == b.from_ms for a, b in pairwise(spans))


@pytest.mark.parametrize(
    ("from_ms", "until_ms"), [(AT_MS, AT_MS), (LATER_MS, AT_MS), (LATER_MS, LATER_MS + 1), (-1, 5)]
)
async def test_no_time_is_refused(two: Two, from_ms: int, until_ms: int) -> None:
    two.record(*call(Link(), 1, AT_MS))
    with pytest.raises(SimpulError) as caught:
        await two.compare(from_ms, until_ms)
    assert caught.value.code is Code.REQUEST_MALFORMED


# The answering side's own judgement.


def question(**changes: object) -> bytes:
    values = {"from_ms": AT_MS, "until_ms": AT_MS + HOUR_MS, "digest": bytes(32), **changes}
    return pb.CompareHoursRequest(**values).SerializeToString()  # type: ignore[arg-type]


def parcels_question(**changes: object) -> bytes:
    values = {"hour": HOUR, "until_ms": LATER_MS, "parts": [pb.SetPart(prefix="0")], **changes}
    return pb.CompareParcelsRequest(**values).SerializeToString()  # type: ignore[arg-type]


def describe_question(**changes: object) -> bytes:
    values = {"hour": HOUR, "until_ms": LATER_MS, "header_hashes": [bytes(32)], **changes}
    return pb.DescribeParcelsRequest(**values).SerializeToString()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (wire.COMPARE_HOURS, b"\xff"),
        (wire.COMPARE_HOURS, question(from_ms=AT_MS + 1)),
        (wire.COMPARE_HOURS, question(from_ms=-HOUR_MS)),
        (wire.COMPARE_HOURS, question(until_ms=AT_MS)),
        (wire.COMPARE_HOURS, question(until_ms=AT_MS + 24 * HOUR_MS + 1)),
        (wire.COMPARE_HOURS, question(digest=b"short")),
        (wire.COMPARE_PARCELS, parcels_question(parts=[])),
        (wire.COMPARE_PARCELS, parcels_question(parts=[pb.SetPart(prefix="0")] * 65)),
        (wire.COMPARE_PARCELS, parcels_question(parts=[pb.SetPart(prefix="X")])),
        (wire.COMPARE_PARCELS, parcels_question(until_ms=AT_MS)),
        (wire.COMPARE_PARCELS, parcels_question(hour=2**63)),
        (wire.DESCRIBE_PARCELS, describe_question(header_hashes=[])),
        (wire.DESCRIBE_PARCELS, describe_question(header_hashes=[b"short"])),
        (wire.DESCRIBE_PARCELS, describe_question(header_hashes=[bytes(32)] * 257)),
        (wire.DESCRIBE_PARCELS, describe_question(until_ms=0)),
    ],
)
async def test_a_malformed_question_is_refused(two: Two, method: str, data: bytes) -> None:
    two.record(*call(Link(), 1, AT_MS))
    answering = Answering(NodeId.parse(PEER), JournalSets(two.there, lambda: 0.0), lambda: LATER_MS)
    with pytest.raises(SimpulError) as caught:
        await answering.answer(NodeId.parse(ME), method, data)
    assert caught.value.code is Code.REQUEST_MALFORMED
    # And the asker may ask again.
    assert await answering.answer(NodeId.parse(ME), wire.COMPARE_HOURS, question())


async def test_a_node_hears_of_its_own_parcels_and_of_no_others(two: Two) -> None:
    records = call(Link(), 1, AT_MS)
    two.record(*records)
    sets = JournalSets(two.there, lambda: 0.0)
    answering = Answering(NodeId.parse(PEER), sets, lambda: LATER_MS)
    wanted = describe_question(header_hashes=[records[0].header_hash])
    own = await answering.answer(NodeId.parse(ME), wire.DESCRIBE_PARCELS, wanted)
    assert len(wire.parse_places(own)) == 1
    stranger = NodeId.parse("ID/~wakatobi-1")
    assert wire.parse_places(await answering.answer(stranger, wire.DESCRIBE_PARCELS, wanted)) == []
    said = wire.parse_hours(await answering.answer(stranger, wire.COMPARE_HOURS, question()))
    assert (said.digest, said.hours) == (hours_digest([]), ())


@pytest.mark.parametrize(("asker", "method"), [(PEER, "CompareHours"), (ME, "Anything")])
async def test_a_node_asks_another_and_what_there_is(two: Two, asker: str, method: str) -> None:
    two.record(*call(Link(), 1, AT_MS))
    answering = Answering(NodeId.parse(PEER), JournalSets(two.there, lambda: 0.0), lambda: LATER_MS)
    with pytest.raises(SimpulError) as caught:
        await answering.answer(NodeId.parse(asker), method, question())
    assert caught.value.code is Code.METHOD_UNKNOWN


async def test_a_node_is_answered_once_at_a_time(two: Two) -> None:
    two.record(*call(Link(), 1, AT_MS))
    answering = Answering(NodeId.parse(PEER), JournalSets(two.there, lambda: 0.0), lambda: LATER_MS)
    askers = [NodeId.parse(f"ID/~asker-{number}") for number in range(17)]

    async def ask(asker: NodeId) -> str:
        try:
            await answering.answer(asker, wire.COMPARE_HOURS, question())
        except SimpulError as error:
            return error.code
        return "ok"

    assert sorted(await asyncio.gather(ask(askers[0]), ask(askers[0]))) == ["OVERLOADED", "ok"]
    assert sorted(await asyncio.gather(*map(ask, askers))) == ["OVERLOADED"] + ["ok"] * 16
    assert await ask(askers[0]) == "ok"


# A peer that answers falsely.

EMPTY = hours_digest([])


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (pb.CompareHoursResponse(until_ms=AT_MS - 1, digest=EMPTY), "other hours"),
        (pb.CompareHoursResponse(until_ms=LATER_MS + 1, digest=EMPTY), "other hours"),
        (pb.CompareHoursResponse(until_ms=LATER_MS - 120_000, digest=bytes(32)), "digest"),
        (
            pb.CompareHoursResponse(
                until_ms=LATER_MS - 120_000,
                digest=EMPTY,
                hours=[pb.HourDigest(hour=2), pb.HourDigest(hour=1)],
            ),
            "order",
        ),
        (
            pb.CompareHoursResponse(
                until_ms=LATER_MS - 120_000,
                hours=[pb.HourDigest(hour=2, acknowledged=pb.SetDigest(count=1))],
            ),
            "32 bytes",
        ),
    ],
)
async def test_a_false_answer_is_refused(
    two: Two, answer: pb.CompareHoursResponse, why: str
) -> None:
    two.record(*call(Link(), 1, AT_MS))
    two.answer = lambda _method, _question: answer.SerializeToString()
    with pytest.raises(SimpulError, match=why) as caught:
        await two.compare()
    assert caught.value.code is Code.REQUEST_MALFORMED
