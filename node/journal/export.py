"""Writes a journal's trees as C2SP's tiles, so that tools of others can read and check them.

    DIR/slot-N/tile/…          hashes
    DIR/slot-N/tile/entries/…  what the leaves are hashes of: node.journal.leaves, 32 bytes each
    DIR/slot-N/checkpoint      the newest signed checkpoint, written last

Any web server over DIR/slot-N then serves the log. What is there already stays: a later export adds
what is new. Nothing of a call's content is in it.

Source: c2sp.org/tlog-tiles.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.journal.checkpoints import CheckpointStore, KeptCheckpoint
from runtime.files import write_durably
from security.checkpoint import parse_checkpoint
from security.errors import Code, SimpulError
from security.tiles import TILE_WIDTH, Tile, bundles_of, make_bundle, root_of, tiles_of

# Told how many files are done, of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Exported:
    """One slot's log as it was written: `files` are those that were new."""

    slot: int
    origin: str
    size: int
    folder: Path
    files: int


def export_tiles(
    store: CheckpointStore, folder: Path, progress: Progress | None = None
) -> tuple[Exported, ...]:
    """Writes every slot that has a checkpoint, up to its newest one.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where the hashes don't make the checkpoint's root; that slot
            gets no new checkpoint.
        OSError: as it comes.
    """
    newest = [store.newest(head.slot) for head in store.heads()]
    return tuple(_export(store, kept, folder, progress) for kept in newest if kept is not None)


def _export(
    store: CheckpointStore, kept: KeptCheckpoint, folder: Path, progress: Progress | None
) -> Exported:
    checkpoint = parse_checkpoint(kept.note).checkpoint
    with store.tree(kept.slot) as tree:
        if root_of(tree, kept.size) != checkpoint.root:
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"slot {kept.slot} isn't what its checkpoint says: run simpul journal verify",
            )
    place = folder / f"slot-{kept.slot}"
    wanted = [*tiles_of(kept.size), *bundles_of(kept.size)]
    written = 0
    for done, tile in enumerate(wanted):
        path = place / tile.path
        if not path.is_file():
            _write(path, _content(store, kept.slot, tile))
            written += 1
        if progress is not None:
            progress(done + 1, len(wanted))
    place.mkdir(parents=True, exist_ok=True)
    write_durably(place / "checkpoint", kept.note)
    return Exported(kept.slot, checkpoint.origin, kept.size, place, written)


def _content(store: CheckpointStore, slot: int, tile: Tile) -> bytes:
    start = tile.index * TILE_WIDTH
    if tile.level is None:
        return make_bundle(store.leaf_data(slot, start, tile.width))
    # A short transaction for each, so that the journal's writer is never held up.
    with store.tree(slot) as tree:
        return b"".join(tree.hashes(tile.level, start, tile.width))


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all, as far as a reader sees; a power cut may take it, an export mends it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
