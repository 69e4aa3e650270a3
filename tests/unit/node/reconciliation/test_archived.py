"""Two nodes' journals compared when one, or both, have archived and dropped what is compared."""

import sqlite3
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from node.journal.archive.dropping import Dropper
from node.journal.model import Direction, ParcelRecord
from node.journal.sqlite_store import SqliteJournalStore
from node.reconciliation.asking import ComparedHour
from security.reconcile import HOUR_MS, Finding
from tests.unit.node.journal.builder import Link
from tests.unit.node.journal.support import BEFORE_DROPPED_PARCELS, tamper, write
from tests.unit.node.reconciliation.pair import (
    AT_MS,
    LATER_MS,
    Two,
    call,
    differences,
    last_of,
    mirrored,
    summary,
)


def drop(place: Path, upto: int, *, slot: int = 0) -> None:
    """Drop a slot's first parcels, as retention does."""
    with closing(Dropper(place)) as dropper:
        while dropper.drop_some(slot, upto, LATER_MS) > 0:
            pass


def spread(link: Link, hours: int) -> list[list[ParcelRecord]]:
    """Two calls in each hour, and what acknowledges the last."""
    found = [
        [item for n in (0, 1) for item in call(link, 2 * hour + n, AT_MS + hour * HOUR_MS + n)]
        for hour in range(hours)
    ]
    end_ms = AT_MS + hours * HOUR_MS - 1
    found[-1].append(link.sent(sealed_at_ms=end_ms, received=last_of(link, Direction.RECEIVED)))
    return found


def over_hours(two: Two, hours: int = 4) -> list[list[ParcelRecord]]:
    """Calls over some hours, recorded on both sides within moments; two days ago by now."""
    found = spread(Link(), hours)
    for hour, records in enumerate(found):
        at_ms = AT_MS + hour * HOUR_MS + 10
        write(two.here, records, at_ms=at_ms)
        write(two.there, [mirrored(record) for record in records], slot=3, at_ms=at_ms)
    two.now_ms = AT_MS + 48 * HOUR_MS
    return found


BOTH_WAYS = pytest.mark.parametrize("other_way", [False, True], ids=["here asks", "there asks"])


@BOTH_WAYS
@pytest.mark.parametrize("dropped", [1, 5, 16, 17])
async def test_records_that_agree_agree_when_one_side_has_dropped_its_parcels(
    two: Two, dropped: int, other_way: bool
) -> None:
    over_hours(two)
    before = summary(await two.compare(other_way=other_way))
    drop(two.there, dropped, slot=3)
    found = summary(await two.compare(other_way=other_way))
    assert found == before
    assert (found.questions, found.differences, found.parcels) == (1, 0, 17)


@BOTH_WAYS
async def test_a_loss_in_an_hour_that_the_other_side_has_dropped_is_found(
    two: Two, other_way: bool
) -> None:
    hours = over_hours(two)
    drop(two.there, 17, slot=3)
    gone = hours[1][2]
    two.forget(two.here, gone)
    events = await two.compare(other_way=other_way)
    (found,) = differences(events)
    assert found.finding is (Finding.MISSING_THERE if other_way else Finding.MISSING_HERE)
    assert found.place.header_hash == gone.header_hash
    assert (found.place.number, found.place.link_id) == (gone.number, gone.link_id)
    assert (found.place.sealed_at_ms, found.place.acknowledged) == (gone.sealed_at_ms, True)
    assert found.place.sent is not other_way
    assert found.serious
    assert summary(events).archived_hours == 0


async def test_what_was_never_there_is_found_when_both_sides_have_dropped(two: Two) -> None:
    """One side's record was shorter by a call before either dropped anything."""
    hours = over_hours(two)
    asked, answered = call(other := Link("other"), 50, AT_MS + 50)
    receipt = other.sent(sealed_at_ms=AT_MS + 60, received=last_of(other, Direction.RECEIVED))
    write(two.here, [asked, answered, receipt], at_ms=AT_MS + 70)
    drop(two.here, 20)
    drop(two.there, 17, slot=3)
    events = await two.compare()
    found = differences(events)
    assert {item.place.header_hash for item in found} == {
        item.header_hash for item in (asked, answered, receipt)
    }
    # The question was acknowledged; so was nothing that could have been under way.
    assert [item.serious for item in found if item.place.header_hash == asked.header_hash] == [True]
    assert all(item.finding is Finding.MISSING_THERE for item in found)
    assert len(hours) == 4


async def test_the_newest_of_a_dropped_link_is_still_known(two: Two) -> None:
    """What a sender that was killed never recorded is no loss, also of a link that's gone."""
    hours = over_hours(two)
    last = hours[-1][-1]
    two.forget(two.here, last)
    drop(two.there, 17, slot=3)
    (found,) = differences(await two.compare())
    assert (found.finding, found.serious) == (Finding.MISSING_HERE, False)
    assert found.there is not None
    assert found.there.last_number == last.number


async def test_another_parcel_in_the_place_of_a_dropped_one_is_different(two: Two) -> None:
    hours = over_hours(two)
    drop(two.there, 17, slot=3)
    other = sha256(b"another header").digest()
    where = "UPDATE parcels SET header_hash = ? WHERE header_hash = ?"
    tamper(two.here, (where, (other, hours[0][0].header_hash)))
    (found,) = differences(await two.compare())
    assert (found.finding, found.serious) == (Finding.DIFFERENT, True)


@BOTH_WAYS
@pytest.mark.parametrize("unarchived", [False, True])
async def test_what_an_older_version_dropped_is_archived_and_not_missing(
    two: Two, other_way: bool, unarchived: bool
) -> None:
    over_hours(two)
    # Of the first hour all, and of the second one parcel.
    drop(two.there, 17 if unarchived else 5, slot=3)
    as_dropped_before(two.there)
    events = await two.compare(other_way=other_way)
    found = summary(events)
    assert (found.differences, found.serious, found.more) == (0, 0, False)
    hours = [event for event in events if isinstance(event, ComparedHour)]
    archived = [item.archived_here if other_way else item.archived_there for item in hours]
    assert archived == ([True] * 4 if unarchived else [True, True, False, False])
    assert not any(item.archived_there if other_way else item.archived_here for item in hours)
    assert found.archived_hours == sum(archived)
    held_ms = found.held_from_here_ms if other_way else found.held_from_there_ms
    assert held_ms == AT_MS + (26 if unarchived else 2) * HOUR_MS
    # One question, however many are gone: nothing is gone down into.
    assert found.questions == 1


def as_dropped_before(place: Path) -> None:
    """As a version left it that kept nothing to compare, and brought up to date."""
    connection = sqlite3.connect(place)
    connection.executescript(BEFORE_DROPPED_PARCELS)
    connection.execute("UPDATE alembic_version SET version_num = '0010'")
    connection.commit()
    connection.close()
    SqliteJournalStore.open(place).close()


async def test_what_was_lost_after_an_older_version_dropped_some_is_found(two: Two) -> None:
    hours = over_hours(two)
    drop(two.there, 5, slot=3)
    as_dropped_before(two.there)
    # What is dropped from now on is compared again.
    drop(two.there, 9, slot=3)
    two.forget(two.there, hours[2][1])
    events = await two.compare()
    (found,) = differences(events)
    assert (found.finding, found.serious) == (Finding.MISSING_THERE, True)
    assert summary(events).archived_hours == 2
