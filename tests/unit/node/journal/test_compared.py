"""What two nodes compare, in each kind of place."""

from contextlib import closing
from pathlib import Path

import pytest

from node.journal import compared
from node.journal.archive.dropping import Dropper
from node.journal.compared import ComparedReader, HourSets, Span
from node.journal.model import LinkEnd, ParcelRecord
from node.journal.place import Place
from security.errors import Code, SimpulError
from security.parcel import Received
from security.reconcile import HOUR_MS, HashSet, ParcelPlace
from tests.unit.node.journal.builder import NOW_MS, PEER, Link, close_entry, open_entry, unary_call
from tests.unit.node.journal.support import read, tamper, write

HOUR = NOW_MS // HOUR_MS
AT_MS = HOUR * HOUR_MS
SPAN = Span(PEER, AT_MS, AT_MS + 3 * HOUR_MS)


def hashes(*records: ParcelRecord) -> HashSet:
    return HashSet.of(record.header_hash for record in records)


def parcel(link: Link, hours: float, got: ParcelRecord | None = None) -> ParcelRecord:
    """Sent from here so many hours after the first hour began; acknowledges what was `got`."""
    received = None if got is None else Received(got.number, got.header_hash)
    at_ms = AT_MS + int(hours * HOUR_MS)
    return link.sent(open_entry(link.numbers.get("sent", 0)), sealed_at_ms=at_ms, received=received)  # type: ignore[call-overload]


def answer(link: Link, hours: float, got: ParcelRecord | None = None) -> ParcelRecord:
    received = None if got is None else Received(got.number, got.header_hash)
    at_ms = AT_MS + int(hours * HOUR_MS)
    return link.received(close_entry(0), sealed_at_ms=at_ms, received=received)


def hour_of(place: Place, span: Span = SPAN, hour: int = HOUR) -> HourSets:
    with ComparedReader(place) as reader:
        return reader.hour(span, hour)


def same(found: HashSet, *records: ParcelRecord) -> bool:
    return found.digest() == hashes(*records).digest()


def test_hours_have_the_parcels_of_all_slots_that_were_sealed_in_them(place: Place) -> None:
    first, second = Link("one"), Link("two")
    early, late = parcel(first, 0), parcel(first, 2.5)
    other = parcel(second, 0.9999)
    write(place, [early], [late])
    write(place, [other], slot=1)
    with ComparedReader(place) as reader:
        assert reader.counts(SPAN) == {HOUR: 2, HOUR + 2: 1}
        found = reader.hour(SPAN, HOUR)
        assert same(found.unacknowledged, early, other)
        assert len(found) == 2
        assert same(reader.hour(SPAN, HOUR + 2).unacknowledged, late)
        assert len(reader.hour(SPAN, HOUR + 1)) == 0


def test_a_span_begins_with_its_first_moment_and_ends_before_its_last(place: Place) -> None:
    link = Link()
    records = [parcel(link, hours) for hours in (0, 0.25, 0.5)]
    write(place, records)
    span = Span(PEER, AT_MS, AT_MS + HOUR_MS // 2)
    assert same(hour_of(place, span).unacknowledged, *records[:2])


def test_other_peers_parcels_are_none_of_its_business(place: Place) -> None:
    mine = parcel(Link("mine"), 0)
    write(place, [mine], unary_call(Link("other", peer="ID/~wakatobi-1"), 1))
    assert same(hour_of(place).unacknowledged, mine)
    assert len(hour_of(place, Span("ID/~nobody-1", SPAN.from_ms, SPAN.until_ms))) == 0


def test_what_a_later_parcel_says_was_received_is_acknowledged(place: Place) -> None:
    link, cut = Link("link"), Link("cut")
    asked = parcel(link, 0)
    answered = answer(link, 0, asked)
    # In another hour: what counts is when the acknowledged parcel was sealed.
    receipt = parcel(link, 1, answered)
    lost = parcel(cut, 0)
    write(place, [asked, answered, receipt, lost])
    found = hour_of(place)
    assert same(found.acknowledged, asked, answered)
    assert same(found.unacknowledged, lost)
    assert found.of(acknowledged=True) is found.acknowledged
    assert same(hour_of(place, hour=HOUR + 1).unacknowledged, receipt)


def test_the_two_ends_of_one_link_are_not_confused(place: Place) -> None:
    """Two ends of one link id are two rows; an acknowledgement holds for its own."""
    near, far = Link(end=LinkEnd.DIALLER), Link(end=LinkEnd.ACCEPTOR)
    asked = parcel(near, 0)
    write(place, [asked, answer(near, 0, asked), alone := parcel(far, 0.5)])
    assert same(hour_of(place).acknowledged, asked)
    assert hour_of(place).unacknowledged.count(alone.header_hash.hex()) == 1


def test_parcels_are_described_by_their_hashes(place: Place) -> None:
    link = Link()
    asked = parcel(link, 0)
    answered = answer(link, 0.1, asked)
    elsewhere = parcel(link, 2, None)
    write(place, [asked, answered, elsewhere])
    wanted = [asked.header_hash, answered.header_hash, elsewhere.header_hash, bytes(32)]
    with ComparedReader(place) as reader:
        found = reader.describe(SPAN, HOUR, wanted)
    assert list(found) == sorted(
        (
            ParcelPlace(asked.header_hash, link.link_id, True, 0, AT_MS, True, 1),
            ParcelPlace(
                answered.header_hash, link.link_id, False, 0, AT_MS + HOUR_MS // 10, False, 0
            ),
        ),
        key=lambda item: item.header_hash,
    )


def test_a_header_that_does_not_parse_acknowledges_nothing(path: Path) -> None:
    link = Link()
    asked = parcel(link, 0)
    write(path, [asked, answer(link, 0, asked)])
    tamper(path, ("UPDATE parcels SET header = ? WHERE direction = 1", (b"\xff",)))
    assert same(hour_of(path).acknowledged)


def test_an_hour_of_too_many_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Link()
    write(path, [parcel(link, 0), parcel(link, 0)])
    monkeypatch.setattr(compared, "MAX_HOUR_PARCELS", 1)
    with pytest.raises(SimpulError) as caught:
        hour_of(path)
    assert caught.value.code is Code.OVERLOADED


@pytest.mark.parametrize("columns", ["sealed_at_ms / 3600000, count(*)", "header_hash"])
def test_an_index_finds_them(path: Path, columns: str) -> None:
    write(path, unary_call(Link(), 1))
    wanted = "peer = 1 AND sealed_at_ms >= 5 AND sealed_at_ms < 9"
    plan = read(path, f"EXPLAIN QUERY PLAN SELECT {columns} FROM parcels WHERE {wanted}")  # noqa: S608
    assert "parcels_peer" in str(plan)
    assert ("COVERING" in str(plan)) is ("count" in columns)


@pytest.mark.parametrize("dropped", [1, 3, 5, 6])
def test_what_was_dropped_is_compared_as_before(place: Place, dropped: int) -> None:
    link, cut = Link("link"), Link("cut")
    asked = parcel(link, 0.1)
    answered = answer(link, 0.2, asked)
    elsewhere = parcel(Link("other", peer="ID/~wakatobi-1"), 0.3)
    receipt = parcel(link, 0.4, answered)
    lost, late = parcel(cut, 0.5), parcel(link, 1.5)
    records = [asked, answered, elsewhere, receipt, lost, late]
    write(place, records, at_ms=AT_MS)
    half = Span(PEER, AT_MS, AT_MS + HOUR_MS * 3 // 10)
    before = _looked_at(place, records, SPAN), _looked_at(place, records, half)
    assert [len(found) for _, hours, _ in before for found in hours] == [4, 1, 0, 2, 0, 0]
    with closing(Dropper(place)) as dropper:
        while dropper.drop_some(0, dropped, AT_MS + HOUR_MS) > 0:
            pass
    assert (_looked_at(place, records, SPAN), _looked_at(place, records, half)) == before


def _looked_at(
    place: Place, records: list[ParcelRecord], span: Span
) -> tuple[dict[int, int], list[list[bytes]], list[tuple[ParcelPlace, ...]]]:
    """All that a comparison is told."""
    hashes = [record.header_hash for record in records]
    hours = range(HOUR, HOUR + 3)
    with ComparedReader(place) as reader:
        assert reader.held_from_ms() == 0
        sets = [reader.hour(span, hour) for hour in hours]
        return (
            reader.counts(span),
            [[*found.acknowledged.under(""), *found.unacknowledged.under("")] for found in sets],
            [reader.describe(span, hour, hashes) for hour in hours],
        )


def test_what_is_left_of_dropped_parcels_is_of_whole_ones(path: Path) -> None:
    write(path, [parcel(Link(), 0)], at_ms=AT_MS)
    with closing(Dropper(path)) as dropper:
        assert dropper.drop_some(0, 1, AT_MS + HOUR_MS) == 1
    tamper(path, ("UPDATE dropped_parcels SET parcels = substr(parcels, 1, 43)", ()))
    with pytest.raises(SimpulError) as caught:
        hour_of(path)
    assert caught.value.code is Code.JOURNAL_CORRUPT
