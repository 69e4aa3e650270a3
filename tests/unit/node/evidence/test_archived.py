"""Evidence of calls whose parcels are in archives: of a folder, and of a store that speaks S3."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.evidence.archived import ArchivedParcels
from node.evidence.export import Exported, export_evidence
from node.journal.archive.dropping import Dropper
from node.journal.archive.places import ArchivePlace, parse_archive_place
from node.journal.archive.run import archive_due
from node.journal.archive.store import ArchiveStore
from security.errors import Code, SimpulError
from security.evidence import Result, print_evidence, verify
from tests.conformance import fixed
from tests.support.evidence import (
    CALL_ID,
    DECIDE_CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    REGENCY,
    Scene,
    Side,
    unary_parcels,
)
from tests.support.evidence_judge import streamed
from tests.support.evidence_making import decide, offer
from tests.support.s3 import BUCKET, s3_store
from tests.unit.node.evidence.support import Home, make
from tests.unit.node.evidence.test_export import late_receipt
from tests.unit.node.journal.archive.support import DAY_MS, run_of

LATER_MS = fixed.NOW_MS + 2 * DAY_MS


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_store() as env:
        yield env


@pytest.fixture
def folder(tmp_path: Path) -> ArchivePlace:
    return parse_archive_place(str(tmp_path / "archives"), {})


def archive(home: Home, place: ArchivePlace, *, drop: int | None = None) -> None:
    """Archive all that is there, and drop it, or the first `drop` parcels of it."""
    journal = home.home.journal
    with run_of(journal, place, home.home.path / "staging") as run:
        archive_due(run, LATER_MS)
        (slot,) = run.store.slots()
        assert slot.archived == slot.size
    with closing(Dropper(journal)) as dropper:
        upto = slot.size if drop is None else drop
        while dropper.drop_some(0, upto, LATER_MS) > 0:
            pass


def export(home: Home, *places: ArchivePlace) -> Exported:
    archives = None
    if places:
        with closing(ArchiveStore.open(home.home.journal)) as store:
            archives = ArchivedParcels(store.archived(), places)
    return export_evidence(home.home, home.home.journal, CALL_ID, archives=archives)


@pytest.mark.parametrize("kind", ["folder", "s3"])
@pytest.mark.parametrize("side", [MINISTRY, REGENCY], ids=["consumer", "provider"])
def test_what_was_dropped_is_proven_as_before(
    kind: str, side: Side, scene: Scene, tmp_path: Path, s3: dict[str, str]
) -> None:
    where = str(tmp_path / "a") if kind == "folder" else f"s3://{BUCKET}/{tmp_path.name}"
    place = parse_archive_place(where, s3)
    home = make(tmp_path / "home", side, scene)
    making = [*offer(scene, MINISTRY), *decide(scene, REGENCY)]
    home.journal([*making, *unary_parcels(scene.link)])
    before = export(home)
    archive(home, place)
    with pytest.raises(SimpulError) as caught:
        export(home)
    assert caught.value.code is Code.NOT_FOUND
    after = export(home, place)
    # Byte for byte: the salts stayed in the journal, and the rest is in the archive.
    assert print_evidence(after.evidence) == print_evidence(before.evidence)
    report = verify(print_evidence(after.evidence), scene.registry.roots[0])
    assert report.failed is None
    assert after.evidence.offer_call_id == OFFER_CALL_ID
    assert after.evidence.decide_call_id == DECIDE_CALL_ID


@pytest.mark.parametrize("dropped", [1, 2, 3, 8, 10])
def test_a_call_that_was_dropped_in_part_is_whole(
    dropped: int, scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.journal(late_receipt(scene, 7))
    before = export(home)
    archive(home, folder, drop=dropped)
    assert print_evidence(export(home, folder).evidence) == print_evidence(before.evidence)


@pytest.mark.parametrize("dropped", [2, 3, 9, 10])
def test_a_call_that_lies_in_an_archive_and_in_the_journal_is_whole(
    dropped: int, scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    parcels = late_receipt(scene, 7)
    home.journal(parcels[:dropped])
    archive(home, folder)
    home.journal(parcels[dropped:])
    done = export(home, folder)
    assert len(done.evidence.chain) == 7
    report = verify(print_evidence(done.evidence), scene.registry.roots[0])
    found = {step.name: step.result for step in report.steps}
    assert found["receipts"] is found["cosignatures"] is found["order"] is Result.PROVEN


def test_without_archives_it_says_what_is_missing(
    scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.journal(unary_parcels(scene.link))
    archive(home, folder, drop=1)
    assert "give --archive" in export(home).notes[0]


def test_a_receipt_may_be_in_the_archive_that_follows(
    scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    parcels = late_receipt(scene, 7)
    for start in range(0, len(parcels), 4):
        home.journal(parcels[start : start + 4])
        archive(home, folder)
    with closing(ArchiveStore.open(home.home.journal)) as store:
        assert len(store.archived()) == 3
    done = export(home, folder)
    assert len(done.evidence.chain) == 7
    report = verify(print_evidence(done.evidence), scene.registry.roots[0])
    found = {step.name: step.result for step in report.steps}
    assert found["receipts"] is found["cosignatures"] is Result.PROVEN


def test_a_stream_in_archives_is_whole(scene: Scene, tmp_path: Path, folder: ArchivePlace) -> None:
    home = make(tmp_path / "home", REGENCY, scene)
    home.journal(streamed(scene))
    before = export(home)
    archive(home, folder)
    assert print_evidence(export(home, folder).evidence) == print_evidence(before.evidence)


def test_an_archive_that_was_not_the_one_is_refused(
    scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    ours, theirs = make(tmp_path / "a", MINISTRY, scene), make(tmp_path / "b", REGENCY, scene)
    for home in (ours, theirs):
        home.journal(unary_parcels(scene.link))
    archive(ours, folder)
    other = parse_archive_place(str(tmp_path / "other"), {})
    archive(theirs, other)
    (name,) = folder.names()
    (wrong,) = other.names()
    (tmp_path / "archives" / name).write_bytes((tmp_path / "other" / wrong).read_bytes())
    with pytest.raises(SimpulError, match="isn't the archive that the journal remembers") as caught:
        export(ours, folder)
    assert caught.value.code is Code.ARCHIVE_INVALID


def test_an_archive_that_was_moved_is_found_where_it_is(
    scene: Scene, tmp_path: Path, folder: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.journal(unary_parcels(scene.link))
    archive(home, folder)
    empty = parse_archive_place(str(tmp_path / "empty"), {})
    with pytest.raises(SimpulError, match=r"it was put in .*archives") as caught:
        export(home, empty)
    assert caught.value.code is Code.NOT_FOUND
    assert export(home, empty, folder).evidence.parcels
