"""Tiles and the proofs made from them, against the specification's numbers and `merkle`."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import merkle
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash
from security.tiles import (
    Tile,
    bundles_of,
    completed_nodes,
    consistency_path,
    inclusion_path,
    make_bundle,
    root_of,
    tiles_of,
)

LEAVES = [leaf_hash(str(number).encode()) for number in range(1200)]


class Stored:
    """Leaves and the nodes that `completed_nodes` gave; counts what is read."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.levels: dict[int, list[bytes]] = {0: list(leaves)}
        self.read = 0
        frontier = Frontier()
        for leaf in leaves:
            for node in completed_nodes(frontier, leaf):
                row = self.levels.setdefault(node.level, [])
                assert node.index == len(row)
                row.append(node.hash)
            frontier = frontier.append(leaf)

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        found = self.levels[level][start : start + count]
        assert len(found) == count
        self.read += count
        return found


class Uniform:
    """A tree whose leaves are all alike, so that ten million of them cost nothing to keep."""

    def __init__(self) -> None:
        self.roots = [leaf_hash(b"")]
        for _ in range(64):
            self.roots.append(merkle.node_hash(self.roots[-1], self.roots[-1]))
        self.read = 0

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        self.read += count
        return [self.roots[8 * level]] * count


STORED = Stored(LEAVES)
SIZES = st.integers(1, len(LEAVES))


def test_the_specifications_tree_of_70000() -> None:
    tiles = list(tiles_of(70_000))
    assert [tile.width for tile in tiles if tile.level == 0] == [256] * 273 + [112]
    assert [tile.width for tile in tiles if tile.level == 1] == [256, 17]
    assert [tile.width for tile in tiles if tile.level == 2] == [1]
    assert len(tiles) == 274 + 2 + 1


def test_the_specifications_tree_of_256() -> None:
    assert [tile.path for tile in tiles_of(256)] == ["tile/0/000", "tile/1/000.p/1"]


def test_an_empty_tree_has_no_tiles() -> None:
    assert list(tiles_of(0)) == []
    assert list(bundles_of(0)) == []


def test_the_specifications_path() -> None:
    assert Tile(3, 1234067).path == "tile/3/x001/x234/067"
    assert Tile(0, 0, 1).path == "tile/0/000.p/1"
    assert [tile.path for tile in bundles_of(257)] == [
        "tile/entries/000",
        "tile/entries/001.p/1",
    ]


@given(
    st.builds(Tile, st.none() | st.integers(0, 63), st.integers(0, 2**63 - 1), st.integers(1, 256))
)
def test_a_path_is_read_as_it_was_written(tile: Tile) -> None:
    assert Tile.parse(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "/tile/0/000",
        "tile/data/000",
        "tile/0/" + "x999/" * 9 + "999",
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(SimpulError) as caught:
        Tile.parse(path)
    assert caught.value.code is Code.REQUEST_MALFORMED


def test_a_bundle_gives_each_entry_its_length() -> None:
    assert make_bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"
    with pytest.raises(SimpulError):
        make_bundle([bytes(65536)])


@given(SIZES)
def test_roots_are_those_of_the_whole_tree(size: int) -> None:
    assert root_of(STORED, size) == merkle.root(LEAVES[:size])


def test_the_empty_trees_root() -> None:
    assert root_of(STORED, 0) == merkle.EMPTY_ROOT


@given(SIZES, st.data())
def test_inclusion_paths_are_those_of_the_whole_tree(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_path(STORED, index, size) == merkle.inclusion_path(LEAVES[:size], index)


@given(SIZES, st.data())
def test_consistency_paths_are_those_of_the_whole_tree(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    assert consistency_path(STORED, old, size) == merkle.consistency_path(LEAVES[:size], old)


def test_there_is_no_proof_of_what_never_was() -> None:
    for prove, at in ((inclusion_path, 3), (consistency_path, 4)):
        with pytest.raises(SimpulError) as caught:
            prove(STORED, at, 3)
        assert caught.value.code is Code.PROOF_INVALID


def test_nodes_of_the_second_level_come_with_the_first() -> None:
    tree, frontier = Uniform(), Frontier(65_535, tuple(Uniform().roots[15::-1]))
    nodes = completed_nodes(frontier, tree.roots[0])
    assert [(node.level, node.index, node.hash) for node in nodes] == [
        (1, 255, tree.roots[8]),
        (2, 0, tree.roots[16]),
    ]


def test_ten_million_leaves_cost_less_than_a_thousand_hashes() -> None:
    size, old = 10_000_019, 9_876_543
    tree = Uniform()
    root, old_root = root_of(tree, size), root_of(tree, old)
    tree.read = 0
    path = inclusion_path(tree, 4_567_890, size)
    assert tree.read < 1000
    merkle.verify_inclusion(tree.roots[0], 4_567_890, size, path, root)
    tree.read = 0
    proof = consistency_path(tree, old, size)
    assert tree.read < 1000
    merkle.verify_consistency(old, old_root, size, root, proof)
