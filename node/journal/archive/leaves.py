"""What stays of dropped parcels: their leaves' data, by which the tree is whole all the same."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, insert, select, update

from node.journal.archive.tables import DROPPED, LEAF_TILES
from security.hashing import HASH_BYTES
from security.tiles import TILE_WIDTH

_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES


def first_kept(connection: Connection, slot: int) -> int:
    """Returns the index of a slot's first parcel that wasn't dropped; 0 where none was."""
    found = connection.execute(select(DROPPED.c.first).where(DROPPED.c.slot == slot)).scalar()
    return 0 if found is None else int(found)


def dropped_leaves(connection: Connection, slot: int, start: int, count: int) -> list[bytes]:
    """Returns the data of dropped leaves from `start` on, at most `count`: those that there are."""
    if count <= 0:
        return []
    low, high = start // TILE_WIDTH, (start + count - 1) // TILE_WIDTH
    rows = connection.execute(
        select(LEAF_TILES.c.idx, LEAF_TILES.c.data)
        .where(LEAF_TILES.c.slot == slot, LEAF_TILES.c.idx.between(low, high))
        .order_by(LEAF_TILES.c.idx)
    )
    found: list[bytes] = []
    for row in rows:
        at, data = int(row.idx) * TILE_WIDTH, bytes(row.data)
        if at + len(data) // HASH_BYTES <= start or at > start + len(found):
            # Before what is asked for, or behind a hole.
            continue
        leaves = [data[part : part + HASH_BYTES] for part in range(0, len(data), HASH_BYTES)]
        found += leaves[max(0, start - at) :]
    return found[:count]


def keep_leaves(connection: Connection, slot: int, start: int, leaves: Sequence[bytes]) -> None:
    """Keeps the data of leaves that follow on those kept before."""
    for tile in range(start // TILE_WIDTH, (start + len(leaves) - 1) // TILE_WIDTH + 1):
        low, high = tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH
        data = b"".join(leaves[max(0, low - start) : max(0, high - start)])
        where = (LEAF_TILES.c.slot == slot, LEAF_TILES.c.idx == tile)
        there = connection.execute(select(LEAF_TILES.c.data).where(*where)).scalar()
        if there is None:
            connection.execute(insert(LEAF_TILES), {"slot": slot, "idx": tile, "data": data})
        else:
            connection.execute(update(LEAF_TILES).where(*where).values(data=bytes(there) + data))
