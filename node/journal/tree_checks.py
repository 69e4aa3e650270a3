"""Follows a slot's tree from its first leaf, and judges what the journal keeps of it.

    5 tree         size and root of all leaves are those that the slot states
    10 node        each stored node of the tree is the one that the leaves make, and none is missing
    11 checkpoint  each kept checkpoint parses, is of its size, and has the tree's root at that size

The leaves that were dropped come from what stayed of them; the rest from the parcels themselves.

Source: docs/spec, "Journal: verification".
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, select, tuple_

from node.journal.archive.leaves import dropped_leaves
from node.journal.readonly import ReadOnly
from node.journal.tables import CHECKPOINTS, SLOTS, TREE_NODES
from security.checkpoint import parse_checkpoint
from security.errors import SimpulError
from security.merkle import Frontier, leaf_hash
from security.tiles import TILE_HEIGHT, TILE_WIDTH, TreeNode, completed_nodes

PAGE_LEAVES: Final = 16 * TILE_WIDTH
PAGE_CHECKPOINTS: Final = 256
# A tree of more levels has more leaves than an index can count.
MAX_LEVEL: Final = 7
MAX_EXTRA: Final = 1000

# Told what is wrong of a node, or of a checkpoint: where, and what.
Report = Callable[[str, str], None]


class TreeCheck:
    """One slot's tree as it grows, leaf by leaf."""

    def __init__(
        self, journal: ReadOnly, slot: int, on_node: Report, on_checkpoint: Report
    ) -> None:
        self._journal = journal
        self._slot = slot
        self._on_node = on_node
        self._on_checkpoint = on_checkpoint
        self._expected: list[TreeNode] = []
        self._checkpoints: deque[tuple[int, bytes]] = deque()
        self._read_upto = -1
        self._all_read = False
        self.tree = Frontier()

    def take_dropped(self, first: int) -> int:
        """Takes the leaves that were dropped, and returns how many there are of `first`."""
        while self.tree.size < first:
            with self._journal.snapshot() as connection:
                count = min(PAGE_LEAVES, first - self.tree.size)
                data = dropped_leaves(connection, self._slot, self.tree.size, count)
            if len(data) == 0:
                break
            self.take(list(map(leaf_hash, data)))
        return self.tree.size

    def take(self, leaves: Sequence[bytes]) -> None:
        """Takes the next leaves' hashes."""
        for leaf in leaves:
            self._expected += completed_nodes(self.tree, leaf)
            self.tree = self.tree.append(leaf)
            self._judge_checkpoints()
        self._judge_nodes()

    def finish(self) -> None:
        """Judges what stands behind the last leaf: nothing may, but what came meanwhile."""
        with self._journal.snapshot() as connection:
            size = connection.execute(
                select(SLOTS.c.size).where(SLOTS.c.number == self._slot)
            ).scalar()
            now = max(self.tree.size, 0 if size is None else int(size))
            extra = list(_nodes_past(connection, self._slot, now))
            larger = connection.execute(
                select(CHECKPOINTS.c.size)
                .where(CHECKPOINTS.c.slot == self._slot, CHECKPOINTS.c.size > now)
                .limit(MAX_EXTRA)
            ).scalars()
            sizes = [int(found) for found in larger]
        for level, idx in extra:
            self._on_node(_node_name(level, idx), "the tree has no such node")
        for found in sizes:
            self._on_checkpoint(
                f"checkpoint of size {found}", f"the slot has {now} parcels, which it doesn't fit"
            )

    def _judge_nodes(self) -> None:
        """Step 10, of the nodes that became full."""
        if len(self._expected) == 0:
            return
        wanted = [(node.level, node.index) for node in self._expected]
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(TREE_NODES.c.level, TREE_NODES.c.idx, TREE_NODES.c.hash).where(
                    TREE_NODES.c.slot == self._slot,
                    tuple_(TREE_NODES.c.level, TREE_NODES.c.idx).in_(wanted),
                )
            )
            stored = {(int(row.level), int(row.idx)): bytes(row.hash) for row in rows}
        for node in self._expected:
            found = stored.get((node.level, node.index))
            if found is None:
                self._on_node(_node_name(node.level, node.index), "it's missing")
            elif found != node.hash:
                self._on_node(
                    _node_name(node.level, node.index), "it isn't the one that the leaves make"
                )
        self._expected.clear()

    def _judge_checkpoints(self) -> None:
        """Step 11, of what is kept of the tree's present size."""
        while True:
            if len(self._checkpoints) == 0 and not self._read_more():
                return
            size, note = self._checkpoints[0]
            if size > self.tree.size:
                return
            self._checkpoints.popleft()
            problem = _checkpoint_problem(size, note, self.tree)
            if problem is not None:
                self._on_checkpoint(f"checkpoint of size {size}", problem)

    def _read_more(self) -> bool:
        if self._all_read:
            return False
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(CHECKPOINTS.c.size, CHECKPOINTS.c.note)
                .where(CHECKPOINTS.c.slot == self._slot, CHECKPOINTS.c.size > self._read_upto)
                .order_by(CHECKPOINTS.c.size)
                .limit(PAGE_CHECKPOINTS)
            ).all()
        self._checkpoints += [(int(row.size), bytes(row.note)) for row in rows]
        self._all_read = len(rows) < PAGE_CHECKPOINTS
        if len(rows) > 0:
            self._read_upto = int(rows[-1].size)
        return len(rows) > 0


def _checkpoint_problem(size: int, note: bytes, tree: Frontier) -> str | None:
    try:
        said = parse_checkpoint(note).checkpoint
    except SimpulError as error:
        return f"it doesn't parse: {error.message}"
    if said.size != size:
        return f"it says {said.size}"
    if size != tree.size:
        # Of no leaf at all.
        return None if size == 0 else "no leaf makes that size"
    return None if said.root == tree.root() else "its root isn't that of the slot's leaves"


def _nodes_past(connection: Connection, slot: int, size: int) -> Iterator[tuple[int, int]]:
    """Stored nodes that a tree of this size doesn't have."""
    for level in range(MAX_LEVEL + 1):
        count = 0 if level == 0 else size >> (TILE_HEIGHT * level)
        rows = connection.execute(
            select(TREE_NODES.c.idx)
            .where(
                TREE_NODES.c.slot == slot, TREE_NODES.c.level == level, TREE_NODES.c.idx >= count
            )
            .order_by(TREE_NODES.c.idx)
            .limit(MAX_EXTRA)
        ).scalars()
        yield from ((level, int(idx)) for idx in rows)


def _node_name(level: int, idx: int) -> str:
    return f"node {idx} of level {level}"
