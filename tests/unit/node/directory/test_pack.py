"""A new node's first fetch by a pack: as good as file by file, and no worse where it is bad."""

import json
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from node.directory.pack import MAX_NEWEST_BYTES, NEWEST_NAME, sync_replica
from node.directory.replica import Replica
from security.errors import Code, SimpulError
from security.pack import MAGIC, make_pack
from tests.unit.node.directory.fake_registry import (
    MEMBER,
    NOW_MS,
    DictFetcher,
    FakeRegistry,
    member_path,
    record,
)

TIMESTAMP = "metadata/timestamp.json"


def pack_of(files: dict[str, bytes]) -> bytes:
    return b"".join(make_pack((n, data) for n, data in files.items() if n != TIMESTAMP))


def publish(registry: FakeRegistry, pack: bytes) -> str:
    """Serves these bytes as the newest pack; returns its name."""
    name = sha256(pack).hexdigest()
    registry.files[NEWEST_NAME] = json.dumps({"log_size": 0, "pack": name}).encode()
    registry.files[f"pack/{name}"] = pack
    return f"pack/{name}"


@pytest.fixture
def packed(registry: FakeRegistry) -> FakeRegistry:
    publish(registry, pack_of(registry.files))
    return registry


def test_a_new_node_asks_for_little_else(packed: FakeRegistry, replica: Replica) -> None:
    fetcher = DictFetcher(packed.files)
    made = sync_replica(replica, fetcher, NOW_MS)
    assert made.version == packed.snapshot.version
    single = [name for name in fetcher.asked if not name.startswith("pack/")]
    # The root that would come next isn't there; the timestamp is in no pack.
    assert single == ["metadata/2.root.json", TIMESTAMP]


def test_what_changed_since_is_fetched_singly(packed: FakeRegistry, replica: Replica) -> None:
    packed.put(member_path(MEMBER), record(MEMBER, 2, "Kabupaten Karo"))
    packed.publish()
    fetcher = DictFetcher(packed.files)
    sync_replica(replica, fetcher, NOW_MS)
    assert replica.view is not None
    assert replica.view.member(MEMBER).legal_name == "Kabupaten Karo"
    singly = [name for name in fetcher.asked if name.startswith("targets/")]
    assert len(singly) == 1


def test_a_newer_root_than_the_packs_is_found(packed: FakeRegistry, replica: Replica) -> None:
    packed.root.version += 1
    packed.sign_root()
    packed.publish()
    sync_replica(replica, DictFetcher(packed.files), NOW_MS)
    assert (replica_root(replica))["signed"]["version"] == 2


def replica_root(replica: Replica) -> dict[str, dict[str, int]]:
    assert replica.current is not None
    found: dict[str, dict[str, int]] = json.loads(
        (replica.current.path / "metadata" / "root.json").read_bytes()
    )
    return found


def test_a_node_with_a_copy_asks_for_no_pack(packed: FakeRegistry, replica: Replica) -> None:
    sync_replica(replica, DictFetcher(packed.files), NOW_MS)
    packed.put(member_path(MEMBER), record(MEMBER, 2))
    packed.publish()
    fetcher = DictFetcher(packed.files)
    sync_replica(replica, fetcher, NOW_MS)
    assert not [name for name in fetcher.asked if name.startswith("pack/")]


def cut(pack: bytes) -> bytes:
    return pack[:-10]


def longer(pack: bytes) -> bytes:
    return pack + b"more"


def flipped(pack: bytes) -> bytes:
    return pack[:40] + bytes((pack[40] ^ 1,)) + pack[41:]


def portal(_: bytes) -> bytes:
    return b"<html>Sign in</html>"


def bomb(_: bytes) -> bytes:
    name = b"targets/members/DAERAH/00.12.71"
    length = 2**31
    head = len(name).to_bytes(2, "big") + name + length.to_bytes(4, "big")
    return MAGIC + zlib.compress(head + bytes(10_000_000))


@pytest.mark.parametrize("damage", [cut, longer, flipped, portal, bomb])
def test_a_bad_pack_costs_one_download(
    registry: FakeRegistry, replica: Replica, damage: Callable[[bytes], bytes]
) -> None:
    name = publish(registry, damage(pack_of(registry.files)))
    fetcher = DictFetcher(registry.files)
    made = sync_replica(replica, fetcher, NOW_MS)
    assert made.version == registry.snapshot.version
    assert fetcher.asked.count(name) == 1
    assert any(name.startswith("targets/") for name in fetcher.asked)


@pytest.mark.parametrize("path", ["targets/", "metadata/"])
def test_a_file_in_it_that_is_another_is_not_taken(
    registry: FakeRegistry, replica: Replica, path: str
) -> None:
    """Each file is verified as if it had come alone."""
    files = {
        name: data[:-1] + b"?" if name.startswith(path) else data
        for name, data in registry.files.items()
    }
    publish(registry, pack_of(files))
    sync_replica(replica, DictFetcher(registry.files), NOW_MS)
    assert replica.view is not None
    assert replica.view.member(MEMBER).legal_name == "Kabupaten"


def test_what_is_refused_file_by_file_is_refused_in_a_pack(
    packed: FakeRegistry, new_replica: Callable[[], Replica]
) -> None:
    other = FakeRegistry()
    publish(other, pack_of(other.files))
    with pytest.raises(SimpulError) as refused:
        sync_replica(new_replica(), DictFetcher(other.files), NOW_MS)
    assert refused.value.code is Code.DIRECTORY_UNTRUSTED


@pytest.mark.parametrize(
    "newest",
    [
        b"",
        b"{}",
        b"[]",
        b'{"pack":7}',
        b'{"pack":"../../metadata/timestamp.json"}',
        b" " * (MAX_NEWEST_BYTES + 1),
        b"[" * 1000,
    ],
)
def test_a_pointer_to_nowhere_is_passed_over(
    packed: FakeRegistry, replica: Replica, newest: bytes
) -> None:
    packed.files[NEWEST_NAME] = newest
    made = sync_replica(replica, DictFetcher(packed.files), NOW_MS)
    assert made.version == packed.snapshot.version


class Failing(DictFetcher):
    """A server that breaks off in the middle of a pack."""

    def open(self, name: str) -> Iterator[bytes]:
        chunks = super().open(name)
        return chunks if not name.startswith("pack/") or name == NEWEST_NAME else self._cut(chunks)

    @staticmethod
    def _cut(chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)[:100]
        raise ConnectionResetError


def test_a_server_that_breaks_off_is_asked_for_the_files(
    packed: FakeRegistry, replica: Replica
) -> None:
    made = sync_replica(replica, Failing(packed.files), NOW_MS)
    assert made.version == packed.snapshot.version


def test_nothing_of_the_pack_is_left(
    packed: FakeRegistry, replica: Replica, tmp_path: Path
) -> None:
    sync_replica(replica, DictFetcher(packed.files), NOW_MS)
    assert sorted(path.name for path in (tmp_path / "directory").iterdir()) == [
        "00000001",
        "archive",
        "blobs",
        "current",
    ]
