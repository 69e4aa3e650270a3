"""The copy's life: first fetch, change, heartbeat, cuts, damage, a new start."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from node.directory.load import load_view
from node.directory.replica import Replica
from node.store.engine import Store
from security.errors import Code, SimpulError
from security.hashing import sha256
from tests.unit.node.directory.fake_registry import (
    FEDERATION,
    MEMBER,
    NOW,
    NOW_MS,
    OTHER,
    REAL_BITS,
    DictFetcher,
    FakeRegistry,
    member_path,
    record,
)

NewReplica = Callable[[], Replica]


def change(registry: FakeRegistry, number: int = 2) -> dict[str, bytes]:
    registry.put(member_path(MEMBER), record(MEMBER, number, f"name {number}"))
    return registry.publish()


def name_of(replica: Replica) -> str:
    assert replica.view is not None
    return replica.view.member(MEMBER).legal_name


def test_the_first_fetch_gives_what_was_published(registry: FakeRegistry, replica: Replica) -> None:
    assert replica.open_local(NOW_MS) is None
    made = replica.sync(DictFetcher(registry.files), NOW_MS)
    snapshot = registry.files[f"metadata/{registry.snapshot.version}.snapshot.json"]
    assert (made.version, made.hash) == (registry.snapshot.version, sha256(snapshot))
    assert made.issued_at_ms == registry.issued_at_ms
    assert made.usable_until_ms == int(registry.expires.timestamp() * 1000)
    assert load_view(made.path).members.keys() == {MEMBER, OTHER}


def test_the_real_number_of_bins_is_read_from_the_files(tmp_path: Path, store: Store) -> None:
    registry = FakeRegistry(bits=REAL_BITS)
    registry.put(member_path(MEMBER), record(MEMBER))
    registry.publish()
    replica = Replica(tmp_path / "directory", FEDERATION, registry.first_root, store)
    replica.sync(DictFetcher(registry.files), NOW_MS)
    assert name_of(replica) == "Kabupaten"


def test_a_change_fetches_only_what_changed(registry: FakeRegistry, replica: Replica) -> None:
    first = replica.sync(DictFetcher(registry.files), NOW_MS)
    change(registry)
    fetcher = DictFetcher(registry.files)
    second = replica.sync(fetcher, NOW_MS)
    assert second.version == first.version + 1
    assert name_of(replica) == "name 2"
    # The next root (not there), timestamp, snapshot, one bin, one target.
    assert len(fetcher.asked) == 5
    # A worker that still reads the one before finds it whole.
    assert load_view(first.path).member(MEMBER).legal_name == "Kabupaten"


def test_nothing_new_makes_no_new_generation(registry: FakeRegistry, replica: Replica) -> None:
    first = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert replica.sync(DictFetcher(registry.files), NOW_MS) is first


def test_a_heartbeat_moves_the_time_and_nothing_else(
    registry: FakeRegistry, replica: Replica
) -> None:
    first = replica.sync(DictFetcher(registry.files), NOW_MS)
    before = load_view(first.path)
    registry.sign_timestamp()
    second = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert (second.version, second.hash) == (first.version, first.hash)
    assert second.issued_at_ms > first.issued_at_ms
    after = load_view(second.path, before)
    assert after.issued_at_ms == second.issued_at_ms
    assert after.members is before.members


def test_a_target_that_is_listed_no_more_is_gone(registry: FakeRegistry, replica: Replica) -> None:
    replica.sync(DictFetcher(registry.files), NOW_MS)
    path = member_path(OTHER)
    del registry.roles[registry.bin_of(path)].targets[path]
    registry.touch(registry.bin_of(path))
    registry.publish()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    assert replica.view is not None
    assert replica.view.members.keys() == {MEMBER}


def test_a_new_start_needs_no_registry(registry: FakeRegistry, new_replica: NewReplica) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    again = new_replica()
    assert again.open_local(NOW_MS) == made
    assert name_of(again) == "Kabupaten"


def test_every_cut_leaves_the_last_good_copy(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    change(registry)
    for cut_at in range(5):
        with pytest.raises(SimpulError) as caught:
            new_replica().sync(DictFetcher(registry.files, cut_at), NOW_MS)
        assert caught.value.code is Code.REGISTRY_UNREACHABLE
        assert new_replica().open_local(NOW_MS) == good
    mended = new_replica()
    mended.sync(DictFetcher(registry.files), NOW_MS)
    assert name_of(mended) == "name 2"


def test_every_cut_of_the_first_fetch_leaves_none(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    whole = DictFetcher(registry.files)
    probe = new_replica()
    for cut_at in range(0, 17, 2):
        with pytest.raises(SimpulError):
            probe.sync(DictFetcher(registry.files, cut_at), NOW_MS)
        assert new_replica().open_local(NOW_MS) is None
    probe.sync(whole, NOW_MS)
    assert new_replica().open_local(NOW_MS) is not None


@pytest.mark.parametrize(
    "step",
    [
        "pathlib.Path.rename",
        "node.directory.folder.ReplicaFolder._swap",
        "node.directory.replica.save_floors",
    ],
)
def test_a_crash_at_a_late_step_leaves_a_whole_copy(
    registry: FakeRegistry, new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    change(registry)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    crashing = new_replica()
    with monkeypatch.context() as patch:
        patch.setattr(step, crash)
        with pytest.raises(KeyboardInterrupt):
            crashing.sync(DictFetcher(registry.files), NOW_MS)
    opened = new_replica().open_local(NOW_MS)
    assert opened is not None
    assert (opened == good) is ("floors" not in step)
    assert new_replica().sync(DictFetcher(registry.files), NOW_MS).version == good.version + 1


def test_two_generations_are_kept_and_no_more_blobs_than_they_name(
    registry: FakeRegistry, replica: Replica, tmp_path: Path
) -> None:
    for number in range(2, 7):
        change(registry, number)
        replica.sync(DictFetcher(registry.files), NOW_MS)
    folder = tmp_path / "directory"
    assert len([path for path in folder.iterdir() if path.name.isdecimal()]) == 2
    # Policy, the other member, and two records of this one.
    assert len(list((folder / "blobs").iterdir())) == 4
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize(
    "damage",
    [
        "metadata/timestamp.json",
        "metadata/snapshot.json",
        "metadata/targets.json",
        "metadata/members.json",
        "metadata/m-0.json",
        "index.json",
        "blob",
    ],
)
@pytest.mark.parametrize("how", ["zeroed", "missing"])
def test_a_damaged_copy_is_refused_and_mended(
    registry: FakeRegistry, new_replica: NewReplica, damage: str, how: str
) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    blob = made.path.parent / "blobs" / sha256(record(MEMBER)).hex()
    path = blob if damage == "blob" else made.path / damage
    # Not in place: a file may be linked to another generation's.
    path.unlink()
    if how == "zeroed":
        path.write_bytes(b"")
    with pytest.raises(SimpulError) as caught:
        new_replica().open_local(NOW_MS)
    assert caught.value.code in {Code.DIRECTORY_ABSENT, Code.DIRECTORY_UNTRUSTED}
    mended = new_replica()
    mended.sync(DictFetcher(registry.files), NOW_MS)
    assert new_replica().open_local(NOW_MS) == mended.current
    assert name_of(mended) == "Kabupaten"


def test_an_index_that_says_other_than_the_metadata_is_refused(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    index = made.path / "index.json"
    index.write_bytes(index.read_bytes().replace(b'"version":', b'"version":1'))
    with pytest.raises(SimpulError) as caught:
        new_replica().open_local(NOW_MS)
    assert caught.value.code is Code.DIRECTORY_ABSENT


def test_an_expired_copy_is_dead_until_it_is_renewed(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    registry.expires = NOW - timedelta(seconds=1)
    timestamp = made.path / "metadata/timestamp.json"
    timestamp.unlink()
    timestamp.write_bytes(registry.sign_timestamp())
    with pytest.raises(SimpulError) as caught:
        new_replica().open_local(NOW_MS)
    assert caught.value.code is Code.DIRECTORY_DEAD
    # A server that still gives the expired one is no better.
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_DEAD
    registry.expires = NOW + timedelta(days=7)
    registry.sign_timestamp()
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert new_replica().open_local(NOW_MS) is not None


def test_a_full_disk_leaves_the_last_good_copy(
    registry: FakeRegistry, new_replica: NewReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    change(registry)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    failing = new_replica()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            failing.sync(DictFetcher(registry.files), NOW_MS)
    assert new_replica().open_local(NOW_MS) == good
