"""Tiles as a reader of others' would check them: from the files alone."""

from pathlib import Path

import pytest

from node.journal.checkpoints import KeptCheckpoint
from node.journal.export import export_tiles
from node.journal.sql_checkpoints import SqlCheckpointStore
from security import merkle
from security.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from security.errors import Code, SimpulError
from security.merkle import leaf_hash
from security.tiles import Tile
from tests.conformance import fixed
from tests.unit.node.journal.builder import Link
from tests.unit.node.journal.support import write


def grow(path: Path, link: Link, count: int, *, root: bytes | None = None) -> SqlCheckpointStore:
    """Appends parcels, and keeps a checkpoint of what is there then."""
    head = write(path, [link.sent() for _ in range(count)])
    store = SqlCheckpointStore.open(path)
    checkpoint = Checkpoint("log", head.size, root or head.root())
    note = sign_checkpoint(checkpoint, fixed.key("a node")).note.to_bytes()
    store.save(KeptCheckpoint(0, head.size, note, 1))
    return store


def leaves_of(folder: Path, size: int) -> list[bytes]:
    """The leaf hashes, from the entry bundles."""
    hashes: list[bytes] = []
    for index in range(-(-size // 256)):
        width = min(256, size - 256 * index)
        data = (folder / Tile(None, index, width).path).read_bytes()
        while data:
            length = int.from_bytes(data[:2], "big")
            hashes.append(leaf_hash(data[2 : 2 + length]))
            data = data[2 + length :]
    return hashes


def test_a_reader_finds_the_tree_in_the_files(path: Path, tmp_path: Path) -> None:
    link, out = Link(), tmp_path / "out"
    first = export_tiles(grow(path, link, 300), out)
    (second,) = export_tiles(grow(path, link, 400), out)
    assert [(item.slot, item.size, item.files) for item in first] == [(0, 300, 5)]
    # A full second tile and its bundle, partial third ones, and a wider first of level 1.
    assert (second.size, second.files) == (700, 5)
    folder = out / "slot-0"
    checkpoint = parse_checkpoint((folder / "checkpoint").read_bytes()).checkpoint
    leaves = leaves_of(folder, 700)
    assert (checkpoint.size, checkpoint.root) == (700, merkle.root(leaves))
    tile = (folder / "tile/0/001").read_bytes()
    assert tile == b"".join(leaves[256:512])
    upper = (folder / "tile/1/000.p/2").read_bytes()
    assert upper == merkle.root(leaves[:256]) + merkle.root(leaves[256:512])
    assert not list(folder.rglob("*.tmp"))


def test_a_slot_without_a_checkpoint_is_left_out(path: Path, tmp_path: Path) -> None:
    write(path, [Link().sent()])
    assert export_tiles(SqlCheckpointStore.open(path), tmp_path / "out") == ()


def test_a_tree_that_isnt_the_checkpoints_is_not_published(path: Path, tmp_path: Path) -> None:
    store = grow(path, Link(), 3, root=bytes(32))
    with pytest.raises(SimpulError) as caught:
        export_tiles(store, tmp_path / "out")
    assert caught.value.code is Code.JOURNAL_CORRUPT
    assert not (tmp_path / "out" / "slot-0" / "checkpoint").exists()


def test_progress_is_told(path: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_tiles(grow(path, Link(), 3), tmp_path / "out", lambda *done: seen.append(done))
    assert seen == [(1, 2), (2, 2)]
