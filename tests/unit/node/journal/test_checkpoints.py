"""The contract of node.journal.checkpoints, and the tree that proofs are read from."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from node.journal.checkpoints import CheckpointStore, KeptCheckpoint, KeptTimestamp
from node.journal.model import ParcelRecord
from node.journal.place import Place
from node.journal.schema import migrate
from node.journal.sql_checkpoints import SqlCheckpointStore
from security import merkle
from security.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from security.cosignature import cosign
from security.errors import Code, SimpulError
from security.merkle import leaf_hash
from security.tiles import consistency_path, inclusion_path, root_of
from tests.conformance import fixed
from tests.unit.node.journal.builder import Link
from tests.unit.node.journal.support import (
    BEFORE_DROPPED_PARCELS,
    BEFORE_SIDES,
    read,
    tamper,
    write,
)

KEY = fixed.key("a node")


def parcels(count: int) -> list[ParcelRecord]:
    link = Link()
    return [link.sent() for _ in range(count)]


STAMP = KeptTimestamp("TSA", b"response", 7)


def kept(
    size: int, quorum_at_ms: int | None = None, *, slot: int = 0, root: int = 0
) -> KeptCheckpoint:
    checkpoint = Checkpoint(f"log/{slot}", size, bytes([root]) * 32)
    note = sign_checkpoint(checkpoint, KEY).note.to_bytes()
    return KeptCheckpoint(slot, size, note, 1000 + size, quorum_at_ms)


@pytest.fixture
def store(place: Place) -> CheckpointStore:
    return SqlCheckpointStore.open(place)


def sizes(store: CheckpointStore, slot: int = 0) -> list[int]:
    return [item.size for item in store.listed(slot, limit=100)]


def refused(store: CheckpointStore, item: KeptCheckpoint) -> Code:
    with pytest.raises(SimpulError) as caught:
        store.save(item)
    return caught.value.code


def test_of_checkpoints_without_a_quorum_only_the_newest_is_kept(store: CheckpointStore) -> None:
    for size in (1, 5, 9):
        store.save(kept(size))
    assert sizes(store) == [9]
    assert store.newest(0) == kept(9)
    assert store.newest(1) is None


def test_cosigned_checkpoints_are_kept_for_good(store: CheckpointStore) -> None:
    for size, quorum in ((1, 10), (5, None), (9, 90), (12, None)):
        store.save(kept(size, quorum))
    assert sizes(store) == [12, 9, 1]


def test_the_first_cosigned_checkpoint_that_covers_a_parcel_is_found(
    store: CheckpointStore,
) -> None:
    for size, quorum in ((3, 30), (9, 90), (12, None)):
        store.save(kept(size, quorum))
    found = [store.first_covering(0, idx) for idx in (0, 2, 3, 8, 9)]
    assert [None if item is None else item.size for item in found] == [3, 3, 9, 9, None]
    assert store.first_covering(1, 0) is None


def test_a_slot_never_goes_back(store: CheckpointStore) -> None:
    store.save(kept(9))
    assert refused(store, kept(8)) is Code.CONFLICT
    assert refused(store, kept(9, root=1)) is Code.CONFLICT
    store.save(kept(1, slot=1))
    assert sizes(store) == [9]


def test_a_late_quorum_of_a_superseded_checkpoint_counts(store: CheckpointStore) -> None:
    store.save(kept(9))
    store.save(kept(8, 80))
    assert sizes(store) == [9, 8]
    assert store.first_covering(0, 7) == kept(8, 80)


def test_cosignatures_are_added_and_a_quorums_time_stays(store: CheckpointStore) -> None:
    first = kept(3)
    signed = parse_checkpoint(first.note).note
    lines = [cosign(signed.text, f"w{number}", fixed.key(f"w{number}"), 5) for number in range(3)]
    store.save(first)
    for number, quorum in ((0, None), (1, 50), (2, 60)):
        note = signed.with_signatures([lines[number]]).to_bytes()
        store.save(KeptCheckpoint(0, 3, note, 9999, quorum))
    newest = store.newest(0)
    assert newest is not None
    assert parse_checkpoint(newest.note).note.signatures == (*signed.signatures, *lines)
    assert (newest.quorum_at_ms, newest.signed_at_ms) == (50, 1003)


def test_a_stamped_checkpoint_is_kept_for_good(store: CheckpointStore) -> None:
    store.save(kept(3))
    store.save_timestamp(0, 3, STAMP)
    store.save_timestamp(0, 3, STAMP)
    store.save(kept(9))
    found = store.first_stamped(0, 2)
    assert found is not None
    assert (found.size, found.timestamps) == (3, (STAMP,))
    assert store.first_stamped(0, 3) is None
    assert store.newest_stamped(0) == found
    assert store.newest_stamped(1) is None
    with pytest.raises(SimpulError) as caught:
        store.save_timestamp(0, 4, STAMP)
    assert caught.value.code is Code.NOT_FOUND


def test_proofs_are_read_from_the_tree(path: Path) -> None:
    records = parcels(700)
    head = write(path, records[:300], records[300:])
    assert read(path, "SELECT level, idx FROM tree_nodes ORDER BY 1, 2") == [
        (1, 0),
        (1, 1),
    ]
    store = SqlCheckpointStore.open(path)
    assert [(item.slot, item.tree) for item in store.heads()] == [(0, head)]
    leaves = [leaf_hash(data) for data in store.leaf_data(0, 0, 700)]
    with store.tree(0) as tree:
        assert root_of(tree, 700) == head.root()
        path_ = inclusion_path(tree, 511, 700)
        merkle.verify_inclusion(leaves[511], 511, 700, path_, head.root())
        proof = consistency_path(tree, 300, 700)
    merkle.verify_consistency(300, merkle.root(leaves[:300]), 700, head.root(), proof)


def test_a_hole_in_the_tree_is_told(path: Path) -> None:
    write(path, parcels(300))
    tamper(path, ("DELETE FROM tree_nodes", ()), ("DELETE FROM parcels WHERE idx = 7", ()))
    store = SqlCheckpointStore.open(path)
    for size in (300, 100):
        with store.tree(0) as tree, pytest.raises(SimpulError) as caught:
            root_of(tree, size)
        assert caught.value.code is Code.JOURNAL_CORRUPT
    with pytest.raises(SimpulError):
        store.leaf_data(0, 0, 300)


def test_a_tree_that_isnt_of_its_size_is_told(path: Path) -> None:
    write(path, parcels(3))
    tamper(path, ("UPDATE slots SET size = 4", ()))
    with pytest.raises(SimpulError) as caught:
        SqlCheckpointStore.open(path).heads()
    assert caught.value.code is Code.JOURNAL_CORRUPT


def test_reading_alone_makes_nothing(path: Path) -> None:
    with pytest.raises(SimpulError):
        SqlCheckpointStore.read(path)
    assert not path.exists()


def test_a_journal_of_the_first_version_gets_its_nodes(path: Path) -> None:
    write(path, parcels(600))
    wanted = read(path, "SELECT * FROM tree_nodes")
    salts = read(path, "SELECT * FROM salts ORDER BY slot, idx")
    connection = sqlite3.connect(path)
    connection.executescript(BEFORE_DROPPED_PARCELS)
    connection.executescript(BEFORE_SIDES)
    connection.executescript(
        "DROP TABLE tree_nodes; DROP TABLE checkpoints; DROP TABLE timestamps;"
        "DROP INDEX calls_open; DROP INDEX calls_outcome;"
        "ALTER TABLE salts RENAME TO old; CREATE TABLE salts (slot SMALLINT NOT NULL,"
        "idx BIGINT NOT NULL, salts BLOB NOT NULL, PRIMARY KEY (slot, idx)) WITHOUT ROWID;"
        "INSERT INTO salts SELECT slot, idx, salts FROM old; DROP TABLE old;"
        "DROP TABLE kept_keys; DROP TABLE kept_parts; DROP TABLE call_persons;"
        "DROP TABLE erasures; DROP TABLE erasure_tellings; DROP TABLE erasure_notices;"
        "DROP TABLE dropped; DROP TABLE leaf_tiles; DROP TABLE link_tails; DROP TABLE cut_calls;"
        "DROP TABLE archives; DROP INDEX parcels_peer; ALTER TABLE parcels DROP COLUMN peer;"
        "ALTER TABLE calls DROP COLUMN settled; DROP INDEX calls_gather;"
        "ALTER TABLE calls DROP COLUMN gather; ALTER TABLE calls DROP COLUMN region;"
        "UPDATE alembic_version SET version_num = '0001';"
    )
    connection.close()
    engine = create_engine(f"sqlite:///{path}", poolclass=StaticPool)
    migrate(engine, "journal")
    engine.dispose()
    assert read(path, "SELECT * FROM tree_nodes") == wanted
    assert read(path, "SELECT * FROM salts ORDER BY slot, idx") == salts
    assert len(wanted) == 2
