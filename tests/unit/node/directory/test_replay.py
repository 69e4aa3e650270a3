"""The public log at a node: it takes the directory that the log says, and no other."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.directory.folder import ReplicaFolder
from node.directory.replay import LEAP
from node.directory.replica import Replica
from node.directory.serving import published
from node.store.engine import Store
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash
from security.public_log import HEAD_FIELD, Head, Kind, Leaf
from security.tiles import TILE_WIDTH, bundles_of, make_bundle
from tests.unit.node.directory.fake_registry import (
    FEDERATION,
    MEMBER,
    NOW_MS,
    OTHER,
    DictFetcher,
    FakeRegistry,
    member_path,
    policy,
    record,
)

PATH = member_path(MEMBER)
NewReplica = Callable[[], Replica]


class LoggedRegistry(FakeRegistry):
    """One that writes the public log, and can be made to lie in it."""

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.listed: dict[str, str] = {}
        self.said = 0
        super().__init__()

    def sign_timestamp(self, issued_at_ms: int | None = None) -> bytes:
        version = self.snapshot.version
        if version != self.said:
            self.leaves += self.changes(version)
            self.said = version
        self.write_log()
        return super().sign_timestamp(issued_at_ms)

    def changes(self, version: int) -> list[bytes]:
        now = {
            path: file.hashes["sha256"]
            for role in self.roles.values()
            for path, file in role.targets.items()
        }
        changed = {path: now[path] for path in sorted(now) if self.listed.get(path) != now[path]}
        self.listed = now
        digest = sha256(self.sign("snapshot", self.snapshot)).hexdigest()
        return [
            *(Leaf(Kind.FILE, version, changed[path], path).to_bytes() for path in changed),
            Leaf(Kind.VERSION, version, digest, at_ms=1).to_bytes(),
        ]

    def write_log(self) -> None:
        tree = Frontier()
        for leaf in self.leaves:
            tree = tree.append(leaf_hash(leaf))
        self.timestamp.unrecognized_fields[HEAD_FIELD] = Head(tree.size, tree.root()).to_field()
        for tile in bundles_of(len(self.leaves)):
            start = tile.index * TILE_WIDTH
            entries = self.leaves[start : start + tile.width]
            self.files[f"log/{tile.path}"] = make_bundle(entries)


@pytest.fixture
def registry() -> LoggedRegistry:
    made = LoggedRegistry()
    made.put(PATH, record(MEMBER))
    made.put(member_path(OTHER), record(OTHER))
    made.publish()
    return made


@pytest.fixture
def new_replica(registry: LoggedRegistry, tmp_path: Path, store: Store) -> NewReplica:
    return lambda: Replica(tmp_path / "directory", FEDERATION, registry.first_root, store)


def change(registry: LoggedRegistry, number: int = 2) -> None:
    registry.put(PATH, record(MEMBER, number, f"name {number}"))
    registry.publish()


def refused(replica: Replica, registry: LoggedRegistry) -> str:
    with pytest.raises(SimpulError) as caught:
        replica.sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_UNLOGGED
    return caught.value.message


def test_what_is_in_the_log_is_taken_and_opened_again(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    replica = new_replica()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    change(registry)
    made = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert new_replica().open_local(NOW_MS) == made
    # A heartbeat costs no look at the log.
    registry.sign_timestamp()
    fetcher = DictFetcher(registry.files)
    replica.sync(fetcher, NOW_MS)
    assert not [name for name in fetcher.asked if name.startswith("log/")]


def test_a_long_log_is_read_by_256_and_what_was_filled_meanwhile_too(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    for number in range(2, 200):
        change(registry, number)
    assert len(registry.leaves) > TILE_WIDTH
    replica = new_replica()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    change(registry, 200)
    files = dict(registry.files)
    start, end = len(registry.leaves) - 2, len(registry.leaves)
    # As it is pushed: the new leaves alone.
    files = {name: data for name, data in files.items() if not name.startswith("log/")}
    files[f"log/{start}-{end}"] = make_bundle(registry.leaves[start:])
    replica.sync(DictFetcher(files), NOW_MS)
    change(registry, 201)
    timestamp = registry.files["metadata/timestamp.json"]
    while len(registry.leaves) < 2 * TILE_WIDTH:
        change(registry, 202 + len(registry.leaves))
    filled = {
        name: data
        for name, data in registry.files.items()
        if not name.startswith("log/tile/entries/001.p/")
    }
    filled["metadata/timestamp.json"] = timestamp
    replica.sync(DictFetcher(filled), NOW_MS)


def test_a_directory_for_one_node_alone_is_refused(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    """The thief of the online keys lists a key for one victim, and not in the log."""
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    honest = list(registry.leaves)
    registry.put(PATH, record(MEMBER, 2, "with a key of the thief's"))
    registry.said = registry.snapshot.version + 1
    registry.publish()
    assert registry.leaves == honest
    assert "isn't in it" in refused(new_replica(), registry)
    assert new_replica().open_local(NOW_MS) == good


def test_a_log_that_says_another_file_is_refused(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    change(registry)
    registry.leaves[-2] = Leaf(Kind.FILE, registry.snapshot.version, "ab" * 32, PATH).to_bytes()
    registry.sign_timestamp()
    assert "is another there" in refused(new_replica(), registry)


def test_a_log_that_was_rewritten_is_refused(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    """What it once said is gone; who has seen it, knows."""
    replica = new_replica()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    registry.leaves[0] = Leaf(Kind.ROOT, 1, "cd" * 32).to_bytes()
    change(registry)
    assert "signed head" in refused(replica, registry)
    again = new_replica()
    again.open_local(NOW_MS)
    assert "signed head" in refused(again, registry)


def test_a_log_that_is_shorter_is_refused(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    replica = new_replica()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    registry.leaves = registry.leaves[:1]
    registry.sign_timestamp()
    assert "shorter" in refused(replica, registry)


@pytest.mark.parametrize("cut", [b"", b"\x00", b"\x00\x01", make_bundle([b"x"])])
def test_leaves_that_are_cut_are_refused(
    registry: LoggedRegistry, new_replica: NewReplica, cut: bytes
) -> None:
    (name,) = (
        name
        for name in registry.files
        if name.startswith("log/") and name.endswith(f".p/{len(registry.leaves)}")
    )
    registry.files[name] = cut
    refused(new_replica(), registry)


def test_leaves_that_can_t_be_had_are_weather(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    files = {name: data for name, data in registry.files.items() if not name.startswith("log/")}
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(files), NOW_MS)
    assert caught.value.code is Code.REGISTRY_UNREACHABLE


@pytest.mark.parametrize(
    "head", [{"size": 0, "root": "ab" * 32}, {"size": 2**62, "root": "ab" * 32}, 1]
)
def test_a_head_that_can_be_none_is_refused(
    registry: LoggedRegistry, new_replica: NewReplica, head: object
) -> None:
    registry.timestamp.version += 1
    registry.timestamp.unrecognized_fields[HEAD_FIELD] = head
    registry.files["metadata/timestamp.json"] = registry.sign("timestamp", registry.timestamp)
    refused(new_replica(), registry)


def test_the_log_can_t_be_left_out_where_the_policy_names_it(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    registry.list_target("targets", "policy", policy(logged=True))
    registry.publish()
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    registry.put(PATH, record(MEMBER, 2))
    registry.publish()
    registry.timestamp.version += 1
    del registry.timestamp.unrecognized_fields[HEAD_FIELD]
    registry.files["metadata/timestamp.json"] = registry.sign("timestamp", registry.timestamp)
    assert "names none" in refused(new_replica(), registry)


def test_a_log_may_begin_anew_when_root_renewed_both_online_keys(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    """After a thief wrote in it, or a backup is all that is left."""
    replica = new_replica()
    replica.sync(DictFetcher(registry.files), NOW_MS)
    registry.rotate_online_keys()
    registry.leaves, registry.listed, registry.said = [], {}, 0
    change(registry, 2)
    made = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert new_replica().open_local(NOW_MS) == made


def test_a_restored_registrys_log_is_taken_and_told(
    registry: LoggedRegistry, new_replica: NewReplica
) -> None:
    """Its newest leaves are lost, and every version leaps."""
    replica = new_replica()
    backup = list(registry.leaves)
    change(registry)
    replica.sync(DictFetcher(registry.files), NOW_MS)
    registry.leaves = backup
    for role in registry.roles.values():
        role.version += LEAP
    registry.snapshot.version += LEAP
    registry.listed = {}
    registry.put(PATH, record(MEMBER, 1 + LEAP))
    registry.changed |= set(registry.roles)
    registry.publish()
    with capture_logs() as logs:
        made = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert ["another one than before" in item["event"] for item in logs] == [True]
    assert new_replica().open_local(NOW_MS) == made


def test_another_node_can_read_the_log_here(
    registry: LoggedRegistry, new_replica: NewReplica, tmp_path: Path
) -> None:
    replica = new_replica()
    for number in range(2, 140):
        change(registry, number)
    replica.sync(DictFetcher(registry.files), NOW_MS)
    change(registry, 140)
    replica.sync(DictFetcher(registry.files), NOW_MS)
    folder = ReplicaFolder(tmp_path / "directory")
    served = {
        name: published(folder, f"/{name}") for name in registry.files if name.startswith("log/")
    }
    whole = {f"log/{tile.path}" for tile in bundles_of(len(registry.leaves))}
    assert {served[name] for name in whole} == {registry.files[name] for name in whole}
    assert published(folder, "/log/tile/0/000") is None
    assert published(folder, "/log/tile/entries/009") is None
    assert published(folder, "/log/3-5") is None
