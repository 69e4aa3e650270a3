"""What stays of the directory when the copy has moved on: enough to verify it, and once each."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.directory.archive import DirectoryArchive
from node.directory.replica import Replica
from node.evidence.directories import ShownDirectories, show_directories
from node.store.engine import Store
from security.errors import Code, SimpulError
from security.evidence_directory import DirectoryVerifier, read_records, verify_roots
from security.identifiers import MemberId
from tests.unit.node.directory.fake_registry import (
    FEDERATION,
    MEMBER,
    NOW_MS,
    OTHER,
    REAL_BITS,
    DictFetcher,
    FakeRegistry,
    member_path,
    record,
)

FAR_MS = NOW_MS + 10**9


@pytest.fixture
def archive(tmp_path: Path) -> DirectoryArchive:
    return DirectoryArchive(tmp_path / "directory")


def change(registry: FakeRegistry, replica: Replica, number: int) -> bytes:
    """A new version, taken by the node; its hash."""
    registry.put(member_path(MEMBER), record(MEMBER, number, f"name {number}"))
    registry.snapshot.unrecognized_fields["x-issued-at"] = NOW_MS
    registry.publish()
    return replica.sync(DictFetcher(registry.files), NOW_MS).hash


def names(registry: FakeRegistry, shown: ShownDirectories) -> list[str]:
    """The member's name in each version shown, verified from the first root."""
    verifier = DirectoryVerifier(verify_roots(registry.first_root, shown.roots), shown.files)
    found = [read_records(verifier.verify(item), FEDERATION) for item in shown.directories]
    return [item.members[MEMBER].legal_name for item in found]


def blobs(archive: DirectoryArchive) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in (archive.path / "blobs").iterdir()}


def test_every_version_stays_and_verifies_when_the_copy_has_moved_on(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    hashes = [change(registry, replica, number) for number in range(2, 7)]
    shown = show_directories(archive, hashes, {MEMBER, OTHER})
    assert shown.missing == ()
    assert names(registry, shown) == [f"name {number}" for number in range(2, 7)]


def test_a_version_that_was_never_here_is_missing(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    known = change(registry, replica, 2)
    shown = show_directories(archive, [known, bytes(32)], {MEMBER})
    assert shown.missing == (bytes(32),)
    assert len(shown.directories) == 1


def test_a_change_costs_a_snapshot_a_bin_and_a_record(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    change(registry, replica, 2)
    before = blobs(archive)
    change(registry, replica, 3)
    assert len(blobs(archive).keys() - before.keys()) == 3


def test_contracts_are_not_kept(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    change(registry, replica, 2)
    lines = {name: meta for name, meta in registry.snapshot.meta.items() if name.startswith("c")}
    assert lines
    for meta in lines.values():
        assert meta.hashes is not None
        assert not archive.has(bytes.fromhex(meta.hashes["sha256"]))


def test_of_heartbeats_the_first_and_the_last_stay(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    hashed = change(registry, replica, 2)
    first = registry.files["metadata/timestamp.json"]
    for _ in range(3):
        registry.sign_timestamp()
        replica.sync(DictFetcher(registry.files), NOW_MS)
    kept = archive.find(hashed)
    assert kept is not None
    assert kept.timestamps == (first, registry.files["metadata/timestamp.json"])


def test_roots_stay_one_after_the_other(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    old = change(registry, replica, 2)
    registry.rotate_online_keys()
    new = change(registry, replica, 3)
    shown = show_directories(archive, [old, new], {MEMBER})
    assert [item.root for item in shown.directories] == [1, 2]
    assert len(shown.roots) == 2
    assert names(registry, shown) == ["name 2", "name 3"]
    assert len(show_directories(archive, [old], {MEMBER}).roots) == 1


def test_a_start_keeps_what_an_earlier_version_of_the_program_did_not(
    registry: FakeRegistry,
    replica: Replica,
    new_replica: Callable[[], Replica],
    archive: DirectoryArchive,
) -> None:
    hashed = change(registry, replica, 2)
    shutil.rmtree(archive.path)
    new_replica().open_local(NOW_MS)
    assert names(registry, show_directories(archive, [hashed], {MEMBER})) == ["name 2"]


def test_what_nothing_names_goes_when_it_is_old_enough(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    hashes = [change(registry, replica, number) for number in range(2, 6)]
    size = len(blobs(archive))
    assert replica.prune_archive(set(), NOW_MS - 1) == 0
    assert len(blobs(archive)) == size
    assert replica.prune_archive({hashes[1], hashes[3]}, FAR_MS) >= 2
    assert archive.hashes() == {hashes[1], hashes[3]}
    assert names(registry, show_directories(archive, [hashes[1], hashes[3]], {MEMBER, OTHER})) == [
        "name 3",
        "name 5",
    ]
    assert len(blobs(archive)) < size
    # What goes on grows again.
    later = change(registry, replica, 9)
    assert names(registry, show_directories(archive, [later], {MEMBER, OTHER})) == ["name 9"]


def test_a_damaged_file_is_told(
    registry: FakeRegistry, replica: Replica, archive: DirectoryArchive
) -> None:
    hashed = change(registry, replica, 2)
    (archive.path / "versions" / f"{hashed.hex()}.json").write_text("{")
    with pytest.raises(SimpulError) as caught:
        archive.find(hashed)
    assert caught.value.code is Code.DIRECTORY_ABSENT
    (archive.path / "blobs" / hashed.hex()).unlink()
    with pytest.raises(SimpulError) as caught:
        archive.read(hashed)
    assert caught.value.code is Code.DIRECTORY_ABSENT


def test_the_size_of_a_change_in_a_larger_federation(tmp_path: Path, store: Store) -> None:
    """32 bins, 300 members: what one change adds, which the documentation states."""
    registry = FakeRegistry(bits=REAL_BITS)
    for number in range(300):
        member = MemberId.parse(f"ID/DAERAH/{10 + number}")
        registry.put(member_path(member), record(member))
    registry.put(member_path(MEMBER), record(MEMBER))
    registry.publish()
    replica = Replica(tmp_path / "directory", FEDERATION, registry.first_root, store)
    archive = DirectoryArchive(tmp_path / "directory")
    change(registry, replica, 2)
    before = sum(blobs(archive).values())
    change(registry, replica, 3)
    added = sum(blobs(archive).values()) - before
    assert 8_000 < added < 16_000
