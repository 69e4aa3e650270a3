"""Merkle trees of RFC 6962: roots, inclusion paths, consistency paths, and a tree's frontier.

A tree is given by its leaf hashes in order. Verification takes the size and index from the caller,
never from the proof, and a path of the wrong length is refused before anything is hashed.

It doesn't store trees, and it doesn't know what a leaf means.

Source: RFC 6962, section 2.1; RFC 9162, sections 2.1.3 and 2.1.4 (the verifying algorithms).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
# Sizes travel as 8 bytes.
MAX_SIZE: Final = 2**63 - 1

_SIZE_BYTES: Final = 8


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf with this content."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node over two hashes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over the leaf hashes; of no leaves, the hash of nothing."""
    if len(leaf_hashes) == 0:
        return EMPTY_ROOT
    # Level by level; an odd last hash rises as it is, which gives the RFC's left-full shape.
    level = list(leaf_hashes)
    while len(level) > 1:
        pairs = [
            node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = [*pairs, level[-1]] if len(level) % 2 == 1 else pairs
    return level[0]


def inclusion_path(leaf_hashes: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path from leaf `index` to the root, nearest hash first.

    Raises:
        SimpulError: PROOF_INVALID if there is no such leaf.
    """
    _require_leaf(index, len(leaf_hashes))
    path = []
    level = list(leaf_hashes)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        pairs = [
            node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = [*pairs, level[-1]] if len(level) % 2 == 1 else pairs
        index //= 2
    return tuple(path)


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root that `path` leads to from the leaf hash `leaf` at `index` of `size` leaves.

    Raises:
        SimpulError: PROOF_INVALID if there is no such leaf, or the path is too short, too long, or
            holds what is no hash.
    """
    _require_leaf(index, size)
    _require_hashes((leaf, *path))
    node, last = index, size - 1
    hashed = leaf
    for sibling in path:
        if last == 0:
            raise _invalid("the path is too long for the tree")
        if node % 2 == 1 or node == last:
            hashed = node_hash(sibling, hashed)
            # A left-most node of its subtree that is also the last: it rose without siblings.
            while node % 2 == 0 and node != 0:
                node //= 2
                last //= 2
        else:
            hashed = node_hash(hashed, sibling)
        node //= 2
        last //= 2
    if last != 0:
        raise _invalid("the path is too short for the tree")
    return hashed


def verify_inclusion(
    leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes
) -> None:
    """Check that the leaf hash stands at `index` in the tree of this size and root.

    Raises:
        SimpulError: PROOF_INVALID if it doesn't.
    """
    if root_from_path(leaf, index, size, path) != expected_root:
        raise _invalid("the path leads to another root")


def consistency_path(leaf_hashes: Sequence[bytes], old_size: int) -> tuple[bytes, ...]:
    """Return the proof that the tree of the first `old_size` leaves is a prefix of this tree.

    Empty where the sizes are equal or `old_size` is 0.

    Raises:
        SimpulError: PROOF_INVALID if the tree never had `old_size` leaves.
    """
    size = len(leaf_hashes)
    if not 0 <= old_size <= size:
        raise _invalid(f"a tree of {size} leaves never had {old_size}")
    if old_size in {0, size}:
        return ()
    return _subproof(leaf_hashes, old_size, whole=True)


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the tree of `old_size` and `old_root` is a prefix of the new one.

    Raises:
        SimpulError: PROOF_INVALID if that isn't proven.
    """
    if not 0 <= old_size <= new_size <= MAX_SIZE:
        raise _invalid(f"a tree of {new_size} leaves never had {old_size}")
    _require_hashes((old_root, new_root, *path))
    if old_size in {0, new_size}:
        expected = EMPTY_ROOT if old_size == 0 else new_root
        if len(path) != 0:
            raise _invalid("the path is too long for the tree")
        if old_root != expected or (new_size == 0 and new_root != EMPTY_ROOT):
            raise _invalid("trees of one size have two roots")
        return
    if _roots_from_consistency(old_size, old_root, new_size, path) != (old_root, new_root):
        raise _invalid("the path leads to another root")


@dataclass(frozen=True, slots=True)
class Frontier:
    """What is needed of a tree to append to it: the roots of its full subtrees, largest first."""

    size: int = 0
    subtrees: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_SIZE or len(self.subtrees) != self.size.bit_count():
            raise _invalid("a frontier's hashes don't fit its size")
        _require_hashes(self.subtrees)

    def append(self, leaf: bytes) -> Self:
        """Return the frontier of the tree with one leaf hash more."""
        subtrees = list(self.subtrees)
        hashed = leaf
        # One carry for each trailing 1 bit of the size, as in binary addition.
        size = self.size
        while size % 2 == 1:
            hashed = node_hash(subtrees.pop(), hashed)
            size //= 2
        return type(self)(self.size + 1, (*subtrees, hashed))

    def root(self) -> bytes:
        """Return the tree's root."""
        if self.size == 0:
            return EMPTY_ROOT
        hashed = self.subtrees[-1]
        for subtree in reversed(self.subtrees[:-1]):
            hashed = node_hash(subtree, hashed)
        return hashed

    def to_bytes(self) -> bytes:
        """Return the size as 8 bytes, big-endian, and then the hashes."""
        return self.size.to_bytes(_SIZE_BYTES, "big") + b"".join(self.subtrees)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote; raises SimpulError PROOF_INVALID for anything else."""
        hashes = data[_SIZE_BYTES:]
        if len(data) < _SIZE_BYTES or len(hashes) % HASH_BYTES != 0:
            raise _invalid("a frontier's hashes don't fit its size")
        return cls(
            int.from_bytes(data[:_SIZE_BYTES], "big"),
            tuple(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)),
        )


def _subproof(leaf_hashes: Sequence[bytes], old_size: int, *, whole: bool) -> tuple[bytes, ...]:
    """RFC 6962's SUBPROOF; `whole` where the verifier knows this subtree's root already."""
    size = len(leaf_hashes)
    if old_size == size:
        return () if whole else (root(leaf_hashes),)
    # The largest power of two below the size.
    split = 1 << ((size - 1).bit_length() - 1)
    left, right = leaf_hashes[:split], leaf_hashes[split:]
    if old_size <= split:
        return (*_subproof(left, old_size, whole=whole), root(right))
    return (*_subproof(right, old_size - split, whole=False), root(left))


def _roots_from_consistency(
    old_size: int, old_root: bytes, new_size: int, path: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """RFC 9162, section 2.1.4.2: the two roots that the path leads to; 0 < old < new."""
    # A whole old tree is a subtree of the new one: its root is known, so the path leaves it out.
    hashes = (old_root, *path) if old_size.bit_count() == 1 else tuple(path)
    if len(hashes) == 0:
        raise _invalid("the path is too short for the tree")
    node, last = old_size - 1, new_size - 1
    while node % 2 == 1:
        node //= 2
        last //= 2
    old_hashed = new_hashed = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            raise _invalid("the path is too long for the tree")
        if node % 2 == 1 or node == last:
            old_hashed = node_hash(sibling, old_hashed)
            new_hashed = node_hash(sibling, new_hashed)
            while node % 2 == 0 and node != 0:
                node //= 2
                last //= 2
        else:
            new_hashed = node_hash(new_hashed, sibling)
        node //= 2
        last //= 2
    if last != 0:
        raise _invalid("the path is too short for the tree")
    return old_hashed, new_hashed


def _require_leaf(index: int, size: int) -> None:
    if not 0 <= index < size <= MAX_SIZE:
        raise _invalid(f"a tree of {size} leaves has no leaf {index}")


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise _invalid(f"a hash has {HASH_BYTES} bytes")


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.PROOF_INVALID, f"{what}; get the proof again from its source")
