"""Archiving: what is due, in which pieces, and what a killed run leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.journal.archive.files import read_file, unpacked
from node.journal.archive.places import FolderPlace
from node.journal.archive.run import archive_due
from node.journal.place import Place
from security.archive_check import check_archive
from security.errors import Code, SimpulError
from tests.unit.node.journal.archive.support import (
    DAY_MS,
    TRUST,
    Written,
    archive,
    archived,
    origin,
    run_of,
)
from tests.unit.node.journal.builder import NOW_MS, Link, unary_call
from tests.unit.node.journal.support import tamper


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    return tmp_path / "archives"


@pytest.fixture
def written(place: Place) -> Written:
    """Three days, each cosigned at its end, of 4, 6 and 2 parcels."""
    journal, link = Written(place), Link()
    for day, calls in enumerate(((1, 2), (3, 4, 5), (6,))):
        journal.add(*(unary_call(link, call) for call in calls), at_ms=NOW_MS + day * DAY_MS)
    return journal


def test_what_is_due_becomes_one_archive_that_holds(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    (made,) = archive(written.place, archives, tmp_path, before_ms=NOW_MS + 2 * DAY_MS)
    assert (made.slot, made.first, made.end) == (0, 0, 10)
    assert made.name == "jakarta-1.example/journal/0/000000000000-000000000010.simpul.zst"
    report = check_archive(unpacked(read_file(archives / made.name)), TRUST)
    assert (report.parcels, report.entries, report.checkpoints) == (10, 10, 2)
    assert (report.first_at_ms, report.last_at_ms) == (NOW_MS, NOW_MS + DAY_MS)
    assert report.digest == made.digest
    assert made.size_bytes == (archives / made.name).stat().st_size


def test_the_next_continues_it_and_names_it(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    (first,) = archive(written.place, archives, tmp_path, before_ms=NOW_MS + DAY_MS)
    (second,) = archive(written.place, archives, tmp_path, before_ms=NOW_MS + 9 * DAY_MS)
    report = check_archive(unpacked(read_file(archives / first.name)), TRUST)
    after = check_archive(unpacked(read_file(archives / second.name)), TRUST, report.next)
    assert after.head.previous == first.digest
    assert after.tree == written.head
    assert archive(written.place, archives, tmp_path, before_ms=NOW_MS + 9 * DAY_MS) == ()


def test_an_archive_ends_with_a_checkpoint_and_holds_about_as_many_as_it_may(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    with run_of(written.place, archives, tmp_path, max_parcels=5) as run:
        made = archive_due(run, NOW_MS + 9 * DAY_MS)
    # The second is larger: no checkpoint stands within it.
    assert [(item.first, item.end) for item in made] == [(0, 4), (4, 10), (10, 12)]


def test_what_no_checkpoint_covers_yet_waits(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    written.add(unary_call(Link("other"), 9), at_ms=NOW_MS + 3 * DAY_MS, cosigned=False)
    (made,) = archive(written.place, archives, tmp_path, before_ms=NOW_MS + 9 * DAY_MS)
    assert made.end == 12


def test_a_journal_without_witnesses_is_covered_by_its_newest_checkpoint(
    place: Place, archives: Path, tmp_path: Path
) -> None:
    journal, link = Written(place), Link()
    for day in range(3):
        journal.add(unary_call(link, day), at_ms=NOW_MS + day * DAY_MS, cosigned=False)
    (made,) = archive(place, archives, tmp_path, before_ms=NOW_MS + DAY_MS)
    report = check_archive(unpacked(read_file(archives / made.name)))
    assert (report.head.end, report.covered_by, report.quorum_at_ms) == (2, 6, None)


def test_slots_are_archived_apart(place: Place, archives: Path, tmp_path: Path) -> None:
    for slot in (0, 1):
        Written(place, slot).add(unary_call(Link(f"link {slot}"), slot))
    made = archive(place, archives, tmp_path)
    assert [item.name.rsplit("/", 1)[0] for item in made] == [origin(0), origin(1)]


class Failing(FolderPlace):
    """A place that fails at one step, before or after it took effect."""

    def __init__(self, folder: Path, *, applied: bool) -> None:
        super().__init__(folder)
        self._applied = applied

    def put(self, name: str, staged: Path) -> None:
        if self._applied:
            super().put(name, staged)
        raise SimpulError(Code.ARCHIVE_FAILED, "the place is gone")


@pytest.mark.parametrize("applied", [False, True])
def test_a_run_that_failed_is_gone_on_with(
    written: Written, archives: Path, tmp_path: Path, applied: bool
) -> None:
    with (
        run_of(written.place, Failing(archives, applied=applied), tmp_path) as run,
        pytest.raises(SimpulError) as caught,
    ):
        archive_due(run, NOW_MS + DAY_MS)
    assert caught.value.code is Code.ARCHIVE_FAILED
    assert archived(written.place) == ()
    # More is due by now: what was put is taken as it is all the same.
    made = archive(written.place, archives, tmp_path, before_ms=NOW_MS + 9 * DAY_MS)
    wanted = [(0, 4), (4, 12)] if applied else [(0, 12)]
    assert [(item.first, item.end) for item in made] == wanted
    assert not list(tmp_path.rglob("*.part"))
    assert [item.name for item in made] == list(FolderPlace(archives).names())


def test_an_archive_of_another_journal_is_never_overwritten(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    (made,) = archive(written.place, archives, tmp_path, before_ms=NOW_MS + DAY_MS)
    other = Written(tmp_path / "other.db")
    other.add(unary_call(Link("fork"), 1), unary_call(Link("fork2"), 2))
    before = (archives / made.name).read_bytes()
    with pytest.raises(SimpulError) as caught:
        archive(other.place, archives, tmp_path)
    assert caught.value.code is Code.CONFLICT
    assert (archives / made.name).read_bytes() == before


class Garbling(FolderPlace):
    """A place that gives back another byte."""

    def read(self, name: str) -> Iterator[bytes]:
        data = bytearray(b"".join(super().read(name)))
        data[len(data) // 2] ^= 1
        yield bytes(data)


def test_what_the_place_garbles_is_not_remembered(
    written: Written, archives: Path, tmp_path: Path
) -> None:
    with (
        run_of(written.place, Garbling(archives), tmp_path) as run,
        pytest.raises(SimpulError) as caught,
    ):
        archive_due(run, NOW_MS + 9 * DAY_MS)
    assert caught.value.code is Code.ARCHIVE_FAILED
    assert "gave back another" in caught.value.message
    assert archived(written.place) == ()


def test_a_journal_that_is_damaged_is_told_from_a_place_that_is(
    path: Path, archives: Path, tmp_path: Path
) -> None:
    Written(path).add(unary_call(Link(), 1))
    tamper(path, ("UPDATE parcels SET seal = X'00' WHERE idx = 1", ()))
    with pytest.raises(SimpulError) as caught:
        archive(path, archives, tmp_path)
    assert caught.value.code is Code.JOURNAL_CORRUPT
    assert "slot 0" in caught.value.message
    assert archived(path) == ()
