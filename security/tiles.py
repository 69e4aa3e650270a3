"""C2SP's tiles: where a tree's hashes stand, and proofs made from them, however large the tree is.

A tree of hashes is kept at every eighth level only: level L holds the roots of the full subtrees of
256^L leaves. 256 of these make a tile; what lies between is hashed when it is needed. A proof in a
tree of ten million leaves reads less than a thousand hashes.

    tile/<level>/<index>             a full tile: 256 hashes, 8,192 bytes
    tile/<level>/<index>.p/<width>   the last one of its level, where it isn't full
    tile/entries/<index>[.p/<width>] the leaves' content: u16 length | bytes, for each

    an index is written in threes: 1234067 is x001/x234/067

It stores nothing: a `Hashes` gives what is stored. The hashing is that of `merkle`.

Source: c2sp.org/tlog-tiles; RFC 6962, section 2.1.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from security.errors import Code, SimpulError
from security.merkle import EMPTY_ROOT, MAX_SIZE, Frontier, node_hash
from security.merkle import root as merkle_root

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 256
MAX_LEVEL: Final = 63
ENTRIES: Final = "entries"
MAX_ENTRY_BYTES: Final = 2**16 - 1

_THREE: Final = 1000
_LENGTH_BYTES: Final = 2
_PATH: Final = re.compile(
    r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*)([0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?"
)


class Hashes(Protocol):
    """What is stored of one tree."""

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """Return the roots of full subtrees of 256^level leaves, from number `start` on.

        Raises:
            SimpulError: They aren't all there.
        """


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile's place. `level` is None for a bundle of entries; `width` is 1 to 256."""

    level: int | None
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if self.level is not None and not 0 <= self.level <= MAX_LEVEL:
            raise _invalid(f"a tile's level is 0 to {MAX_LEVEL}")
        if not 0 <= self.index <= MAX_SIZE or not 0 < self.width <= TILE_WIDTH:
            raise _invalid(f"a tile holds 1 to {TILE_WIDTH} hashes, and is numbered from 0")

    @property
    def path(self) -> str:
        """Where it's served, below the log's prefix."""
        parts = [f"{self.index % _THREE:03}"]
        rest = self.index // _THREE
        while rest > 0:
            parts.append(f"x{rest % _THREE:03}")
            rest //= _THREE
        level = ENTRIES if self.level is None else str(self.level)
        partial = "" if self.width == TILE_WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(reversed(parts))}{partial}"

    @classmethod
    def parse(cls, path: str) -> Self:
        """Read a path, strictly; raises SimpulError REQUEST_MALFORMED."""
        found = _PATH.fullmatch(path)
        if found is None:
            raise _invalid(f"{path[:100]!a} is no tile's path")
        level = None if found[1] == ENTRIES else int(found[1])
        index = int((found[2] + found[3]).replace("x", "").replace("/", ""))
        tile = cls(level, index, TILE_WIDTH if found[4] is None else int(found[4]))
        if tile.path != path:
            raise _invalid(f"{path[:100]!a} is spelt in an odd way")
        return tile


@dataclass(frozen=True, slots=True)
class TreeNode:
    """The root of a full subtree of 256^level leaves; `level` is 1 or more."""

    level: int
    index: int
    hash: bytes


def tiles_of(size: int) -> Iterator[Tile]:
    """Yield the tiles of hashes of a tree of this size: level by level, full ones and partial."""
    level, count = 0, size
    while count > 0:
        full, width = divmod(count, TILE_WIDTH)
        yield from (Tile(level, index) for index in range(full))
        if width > 0:
            yield Tile(level, full, width)
        level, count = level + 1, full


def bundles_of(size: int) -> Iterator[Tile]:
    """Yield the bundles of entries of a tree of this size."""
    full, width = divmod(size, TILE_WIDTH)
    yield from (Tile(None, index) for index in range(full))
    if width > 0:
        yield Tile(None, full, width)


def make_bundle(entries: Iterable[bytes]) -> bytes:
    """Return a bundle of entries; raises SimpulError REQUEST_MALFORMED for one that's too long."""
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise _invalid(f"an entry has at most {MAX_ENTRY_BYTES} bytes")
        parts += (len(entry).to_bytes(_LENGTH_BYTES, "big"), entry)
    return b"".join(parts)


def parse_bundle(data: bytes) -> tuple[bytes, ...]:
    """Read a bundle of entries; raises SimpulError REQUEST_MALFORMED for one that is cut."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        end = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or end > len(data):
            raise _invalid("a bundle of entries is cut")
        entries.append(data[start:end])
        at = end
    return tuple(entries)


def completed_nodes(frontier: Frontier, leaf: bytes) -> tuple[TreeNode, ...]:
    """Return the nodes that appending `leaf` to this tree makes full: mostly none.

    One for each level that the new size is a multiple of 256^level at.
    """
    size = frontier.size + 1
    if size % TILE_WIDTH != 0:
        return ()
    nodes: list[TreeNode] = []
    hashed, height = leaf, 0
    # One carry for each trailing 1 bit of the old size, as in Frontier.append.
    for subtree in reversed(frontier.subtrees):
        if size % (2 << height) != 0:
            break
        hashed, height = node_hash(subtree, hashed), height + 1
        if height % TILE_HEIGHT == 0:
            nodes.append(TreeNode(height // TILE_HEIGHT, (size >> height) - 1, hashed))
    return tuple(nodes)


def root_of(tree: Hashes, size: int) -> bytes:
    """Return the root of the tree's first `size` leaves."""
    return EMPTY_ROOT if size == 0 else _subtree(tree, 0, size)


def frontier_of(tree: Hashes, size: int) -> Frontier:
    """Return what is needed to append to the tree's first `size` leaves."""
    subtrees: list[bytes] = []
    low = 0
    while low < size:
        width = 1 << ((size - low).bit_length() - 1)
        subtrees.append(_full(tree, low, width))
        low += width
    return Frontier(size, tuple(subtrees))


def inclusion_path(tree: Hashes, index: int, size: int) -> tuple[bytes, ...]:
    """Return the path from leaf `index` to the root of the first `size` leaves, nearest first.

    Raises:
        SimpulError: PROOF_INVALID, if there is no such leaf; what `tree` raises.
    """
    if not 0 <= index < size <= MAX_SIZE:
        raise _no_proof(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_subtree(tree, middle, high))
            high = middle
        else:
            path.append(_subtree(tree, low, middle))
            low = middle
    return tuple(reversed(path))


def consistency_path(tree: Hashes, old_size: int, size: int) -> tuple[bytes, ...]:
    """Return the proof that the first `old_size` leaves are a prefix of the first `size`.

    Empty where the sizes are equal or `old_size` is 0.

    Raises:
        SimpulError: PROOF_INVALID if the tree never had `old_size` leaves; what `tree` raises.
    """
    if not 0 <= old_size <= size <= MAX_SIZE:
        raise _no_proof(f"a tree of {size} leaves never had {old_size}")
    if old_size in {0, size}:
        return ()
    path: list[bytes] = []
    low, high, whole = 0, size, True
    # RFC 6962's SUBPROOF, from the root down; the hashes come out in the opposite order.
    while old_size != high:
        middle = low + _split(high - low)
        if old_size <= middle:
            path.append(_subtree(tree, middle, high))
            high = middle
        else:
            path.append(_subtree(tree, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_subtree(tree, low, high))
    return tuple(reversed(path))


def _subtree(tree: Hashes, low: int, high: int) -> bytes:
    """The root of the leaves from `low` to before `high`, which is a node of the tree."""
    parts: list[bytes] = []
    while high - low > 0:
        # Of a ragged subtree: the full ones that it's made of, the largest first.
        width = 1 << ((high - low).bit_length() - 1)
        parts.append(_full(tree, low, width))
        low += width
    hashed = parts.pop()
    for part in reversed(parts):
        hashed = node_hash(part, hashed)
    return hashed


def _full(tree: Hashes, low: int, width: int) -> bytes:
    """The root of a full subtree, from the highest level that is stored."""
    level, left = divmod(width.bit_length() - 1, TILE_HEIGHT)
    return merkle_root(tree.hashes(level, low >> (TILE_HEIGHT * level), 1 << left))


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.REQUEST_MALFORMED, f"{what}; see c2sp.org/tlog-tiles")


def _no_proof(what: str) -> SimpulError:
    return SimpulError(Code.PROOF_INVALID, f"{what}; get the proof again from its source")
