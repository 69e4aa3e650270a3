"""Archives that show the directory, so that whoever has the root metadata can judge them."""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from node.evidence.directories import directories_of_log
from node.journal.archive.files import unpacked
from node.journal.archive.places import ArchivePlace, parse_archive_place
from node.journal.archive.run import Run, archive_due
from node.journal.archive.store import ArchiveStore
from security.archive import Checkpoint, Directories, read_archive
from security.archive_check import ArchiveError, ArchiveReport, Step, Trust, check_archive
from tests.conformance import fixed
from tests.support import directories
from tests.support.evidence import MINISTRY, WITNESSED_S, Scene, policy, unary_parcels
from tests.support.published import Registry
from tests.unit.node.evidence.support import Home, make
from tests.unit.node.evidence.test_archived import LATER_MS

Show = Callable[[Iterable[Checkpoint]], Directories | None]


@pytest.fixture
def place(tmp_path: Path) -> ArchivePlace:
    return parse_archive_place(str(tmp_path / "archives"), {})


def archived(home: Home, place: ArchivePlace, show: Show | None = None) -> list[bytes]:
    """The pieces of the archive of all that is in the journal, decompressed."""
    with closing(ArchiveStore.open(home.home.journal)) as store:
        run = Run(
            store, place, home.home.path / "staging", lambda: LATER_MS,
            directories=show or (lambda items: directories_of_log(home.home, items)),
        )  # fmt: skip
        archive_due(run, LATER_MS)
        (item,) = store.archived()
    return list(unpacked(place.read(item.name)))


def judged(data: list[bytes], scene: Scene, root: bytes | None = None) -> ArchiveReport:
    return check_archive(data, Trust(root=root or scene.registry.roots[0]))


def failing(data: list[bytes], root: bytes) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        check_archive(data, Trust(root=root))
    return caught.value


def test_an_archive_is_judged_from_the_root_alone(
    scene: Scene, tmp_path: Path, place: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))
    data = archived(home, place)
    report = judged(data, scene)
    assert report.signatures_judged
    assert report.cosignatures_judged
    assert report.quorum_at_ms == WITNESSED_S * 1000 + 999
    assert not report.seals_judged


def test_another_federations_root_fails_it(
    scene: Scene, tmp_path: Path, place: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))
    other = Registry("another").roots[0]
    assert failing(archived(home, place), other).step is Step.DIRECTORIES


def test_an_archive_that_shows_no_directory_can_not_be_judged_so(
    scene: Scene, tmp_path: Path, place: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.journal(unary_parcels(scene.link))
    data = archived(home, place)
    assert check_archive(data).parcels == 3
    error = failing(data, scene.registry.roots[0])
    assert error.step is Step.DIRECTORIES
    assert "shows no directory" in error.what


def test_a_key_that_no_directory_lists_signs_nothing(
    scene: Scene, tmp_path: Path, place: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link), watched=False)
    home.watch(fixed.key("a thief's"))
    assert failing(archived(home, place), scene.registry.roots[0]).step is Step.SIGNATURE


def test_a_file_that_no_directory_names_is_refused(
    scene: Scene, tmp_path: Path, place: ArchivePlace
) -> None:
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))

    def show(items: Iterable[Checkpoint]) -> Directories:
        shown = directories_of_log(home.home, items)
        assert shown is not None
        return replace(shown, files=(*shown.files, b"more"))

    assert failing(archived(home, place, show), scene.registry.roots[0]).step is Step.DIRECTORIES


@pytest.mark.parametrize(
    ("watched", "step"),
    [
        (policy(quorum=3, names=("a/1", "b/1", "c/1")), Step.COSIGNATURE),
        (policy(quorum=0, names=()), Step.COSIGNATURE),
    ],
    ids=["others", "none"],
)
def test_without_the_policys_quorum_nothing_is_witnessed(
    watched: object, step: Step, tmp_path: Path, place: ArchivePlace
) -> None:
    scene = Scene(watched=watched)  # type: ignore[arg-type]
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))
    assert failing(archived(home, place), scene.registry.roots[0]).step is step


def test_where_witnesses_changed_the_version_of_the_time_is_shown_too(
    tmp_path: Path, place: ArchivePlace
) -> None:
    scene = Scene()
    scene.watched = policy(quorum=1, names=("later.example/w",))
    scene.later()
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))
    shown: list[Directories | None] = []

    def show(items: Iterable[Checkpoint]) -> Directories | None:
        shown.append(directories_of_log(home.home, items))
        return shown[-1]

    assert judged(archived(home, place, show), scene).cosignatures_judged
    assert shown[0] is not None
    assert [item.snapshot for item in shown[0].directories] == [
        scene.published[1].hash, scene.published[0].hash,
    ]  # fmt: skip


def test_a_node_that_the_directory_does_not_list_shows_none(
    tmp_path: Path, place: ArchivePlace
) -> None:
    # Only the other side's record: this log is nobody's.
    scene = Scene(records=(directories.regency_record(),))
    home = make(tmp_path / "home", MINISTRY, scene)
    home.use_newest()
    home.journal(unary_parcels(scene.link))
    assert not any(isinstance(item, Directories) for item in read_archive(archived(home, place)))
