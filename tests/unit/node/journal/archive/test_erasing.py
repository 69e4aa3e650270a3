"""Erasing a call after its parcels were dropped: that call and no other, archives included."""

from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from node.journal.archive.erasing import erase_archived, erase_everywhere
from node.journal.archive.places import FolderPlace
from node.journal.archive.reader import FoundCall, candidates, detail_of, find_in_place
from node.journal.blobs import unpack_salts
from node.journal.kept.model import Erased, ErasureOrder, Reason
from node.journal.kept.sql_store import SqlKeptStore
from node.journal.model import Outcome, Role
from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.tables import SALTS
from node.journal.verify import verify
from security.errors import Code, SimpulError
from tests.unit.node.journal.archive.support import DAY_MS, Written, archive, archived
from tests.unit.node.journal.archive.test_dropping import drop
from tests.unit.node.journal.builder import NOW_MS, PEER, Link, call_id, close_entry, open_entry


def found_in(place: Place, archives: Path, call: int) -> list[FoundCall]:
    return find_in_place(FolderPlace(archives), archived(place), call_id(call))


def salts_of(place: Place) -> list[tuple[object, ...]]:
    with closing(ReadOnly(place)) as journal, journal.snapshot() as connection:
        rows = connection.execute(select(SALTS.c.salts).order_by(SALTS.c.idx)).scalars()
        return [unpack_salts(bytes(row)) for row in rows]


def test_the_salts_of_that_call_and_no_other_go(place: Place, tmp_path: Path) -> None:
    archives, link = tmp_path / "archives", Link()
    # Two calls in each parcel.
    Written(place).add(
        [link.sent(open_entry(1), open_entry(2)), link.received(close_entry(1), close_entry(2))]
    )
    archive(place, archives, tmp_path)
    drop(place, 2)
    before = salts_of(place)
    files = [path.read_bytes() for path in archives.rglob("*.zst")]
    order = ErasureOrder(call_id(2), "operator", Reason.SUBJECT_REQUEST)

    erased = erase_archived(place, found_in(place, archives, 2), order, now_ms=NOW_MS + DAY_MS)
    assert (erased.entries, erased.again, erased.tells) == (2, False, (PEER,))
    assert salts_of(place) == [(before[0][0], None), (before[1][0], None)]
    # What could be found of it in the archives was never a salt.
    assert [path.read_bytes() for path in archives.rglob("*.zst")] == files
    assert verify(place).ok
    again = erase_archived(place, found_in(place, archives, 2), order, now_ms=NOW_MS + 2 * DAY_MS)
    assert (again.again, again.at_ms) == (True, NOW_MS + DAY_MS)

    (kept,) = SqlKeptStore.open(place).erasures(limit=9)
    assert (kept.call_id, kept.entries, kept.by) == (call_id(2), 2, "operator")
    (telling,) = kept.tellings
    assert telling.peer == PEER


def test_a_call_that_the_index_no_longer_knows_is_erased_by_its_archive(
    place: Place, tmp_path: Path
) -> None:
    archives, link = tmp_path / "archives", Link()
    Written(place).add([link.sent(open_entry(1)), link.received(close_entry(1))])
    archive(place, archives, tmp_path)
    drop(place, 2)
    kept, opened = SqlKeptStore.open(place), lambda where: FolderPlace(Path(where))
    order = ErasureOrder(call_id(1), "operator", Reason.OTHER)
    erased = erase_everywhere(kept, place, opened, order, now_ms=NOW_MS + DAY_MS)
    assert (erased.entries, erased.again, erased.tells) == (2, False, (PEER,))
    assert salts_of(place) == [(None,), (None,)]
    with pytest.raises(SimpulError) as caught:
        erase_everywhere(
            kept, place, opened, ErasureOrder(call_id(9), "x", Reason.OTHER), now_ms=NOW_MS
        )
    assert caught.value.code is Code.NOT_FOUND


def test_a_call_that_was_dropped_in_part_is_erased_in_both_parts(
    place: Place, tmp_path: Path
) -> None:
    archives, link = tmp_path / "archives", Link()
    journal = Written(place)
    journal.add([link.sent(open_entry(1))])
    archive(place, archives, tmp_path)
    journal.add([link.received(close_entry(1))], at_ms=NOW_MS + DAY_MS)
    drop(place, 1)
    order = ErasureOrder(call_id(1), "operator", Reason.SUBJECT_REQUEST)
    kept = SqlKeptStore.open(place)

    def erase(from_: Path) -> Erased:
        return erase_everywhere(
            kept, place, lambda _: FolderPlace(from_), order, now_ms=NOW_MS + 9 * DAY_MS
        )

    # The archive's disk isn't there at first: it says so, and what is here is gone all the same.
    with pytest.raises(SimpulError) as caught:
        erase(tmp_path / "elsewhere")
    assert caught.value.code is Code.NOT_FOUND
    assert "no such archive" in caught.value.message
    erased = erase(archives)
    assert (erased.entries, erased.again) == (2, True)
    assert salts_of(place) == [(None,), (None,)]
    assert verify(place).ok


def test_an_archive_holds_no_salt_at_all(path: Path, tmp_path: Path) -> None:
    archives, link = tmp_path / "archives", Link()
    entries = (open_entry(1), close_entry(1))
    Written(path).add([link.sent(entries[0]), link.received(entries[1])])
    archive(path, archives, tmp_path)
    from node.journal.archive.files import read_file, unpacked  # noqa: PLC0415

    (file,) = archives.rglob("*.zst")
    whole = b"".join(unpacked(read_file(file)))
    for sealed in entries:
        assert sealed.entry in whole
        assert sealed.payload_salt not in whole
        assert sealed.private_salt not in whole
        for content in (sealed.payload, sealed.private):
            assert content is not None
            assert content not in whole


def test_a_call_is_shown_as_the_index_would(path: Path, tmp_path: Path) -> None:
    archives, link = tmp_path / "archives", Link()
    journal = Written(path)
    journal.add([link.sent(open_entry(1))])
    archive(path, archives, tmp_path)
    journal.add([link.received(close_entry(1, status=5))], at_ms=NOW_MS + DAY_MS)
    archive(path, archives, tmp_path, before_ms=NOW_MS + 9 * DAY_MS)
    # It stands in two archives, one after the other.
    found = found_in(path, archives, 1)
    assert [item.head.first for item in found] == [0, 1]
    detail = detail_of(found, call_id(1))
    assert (detail.call.role, detail.call.outcome) == (Role.CONSUMER, Outcome.CLOSED)
    assert (detail.call.status, detail.call.peer) == (5, PEER)
    assert detail.call.closed_at_ms == NOW_MS + DAY_MS
    assert [entry.idx for entry in detail.entries] == [0, 1]
    cosigned = found[0].first_cosigned(0)
    assert cosigned is not None
    assert cosigned.quorum_at_ms == NOW_MS
    assert found_in(path, archives, 7) == []


def test_only_archives_of_about_its_time_are_read(path: Path, tmp_path: Path) -> None:
    archives, link = tmp_path / "archives", Link()
    journal = Written(path)
    for day in (0, 10, 20):
        journal.add([link.sent(open_entry(day * DAY_MS))], at_ms=NOW_MS + day * DAY_MS)
        archive(path, archives, tmp_path, before_ms=NOW_MS + (day + 1) * DAY_MS)
    (one,) = candidates(archived(path), call_id(10 * DAY_MS))
    assert one.first == 1
