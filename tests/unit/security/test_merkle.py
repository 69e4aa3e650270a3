"""Merkle trees, against RFC 6962's own examples and every small tree."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import merkle
from security.errors import Code, SimpulError
from security.merkle import Frontier

# The eight leaves and the roots of RFC 6962's reference tree, as certificate transparency's own
# tests have them.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
HASHES = [merkle.leaf_hash(leaf) for leaf in LEAVES]
SIZES = st.integers(min_value=1, max_value=70)


def leaf_hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(str(number).encode()) for number in range(size)]


def recursive_root(hashes: list[bytes]) -> bytes:
    """The RFC's own definition, which the code doesn't follow literally."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256().digest()
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = recursive_root(hashes[:split]), recursive_root(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_rfcs(size: int) -> None:
    assert merkle.root(HASHES[:size]).hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_paths_are_the_rfcs(index: int, size: int) -> None:
    path = merkle.inclusion_path(HASHES[:size], index)
    assert [item.hex() for item in path] == PATHS[index, size]


@pytest.mark.parametrize(("old", "new"), CONSISTENCY)
def test_consistency_paths_are_the_rfcs(old: int, new: int) -> None:
    path = merkle.consistency_path(HASHES[:new], old)
    assert [item.hex() for item in path] == CONSISTENCY[old, new]


@given(st.integers(min_value=0, max_value=130))
def test_a_root_is_the_rfcs_definition(size: int) -> None:
    hashes = leaf_hashes(size)
    assert merkle.root(hashes) == recursive_root(hashes)


@given(SIZES, st.data())
def test_a_path_leads_to_the_root_from_its_leaf_alone(size: int, data: st.DataObject) -> None:
    hashes = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    path = merkle.inclusion_path(hashes, index)
    root = merkle.root(hashes)
    merkle.verify_inclusion(hashes[index], index, size, path, root)
    for other in {0, size - 1, (index + 1) % size} - {index}:
        with pytest.raises(SimpulError):
            merkle.verify_inclusion(hashes[index], other, size, path, root)


@given(SIZES, st.data())
def test_a_path_too_long_or_too_short_is_refused(size: int, data: st.DataObject) -> None:
    hashes = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    path = merkle.inclusion_path(hashes, index)
    with pytest.raises(SimpulError, match="too long"):
        merkle.root_from_path(hashes[index], index, size, (*path, hashes[0]))
    if path:
        with pytest.raises(SimpulError, match="too short"):
            merkle.root_from_path(hashes[index], index, size, path[:-1])


@given(SIZES, st.data())
def test_one_changed_bit_of_a_path_is_refused(size: int, data: st.DataObject) -> None:
    hashes = leaf_hashes(size)
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    path = list(merkle.inclusion_path(hashes, index))
    if not path:
        return
    at = data.draw(st.integers(min_value=0, max_value=len(path) - 1))
    path[at] = bytes([path[at][0] ^ 1]) + path[at][1:]
    with pytest.raises(SimpulError, match="another root") as caught:
        merkle.verify_inclusion(hashes[index], index, size, path, merkle.root(hashes))
    assert caught.value.code is Code.PROOF_INVALID


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 3), (3, 3), (0, 2**63)])
def test_there_is_no_path_for_no_leaf(index: int, size: int) -> None:
    with pytest.raises(SimpulError, match="has no leaf"):
        merkle.root_from_path(HASHES[0], index, size, ())


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(SimpulError, match="32 bytes"):
        merkle.root_from_path(HASHES[0], 0, 2, (b"short",))
    with pytest.raises(SimpulError, match="32 bytes"):
        merkle.root_from_path(b"short", 0, 1, ())


@given(st.integers(min_value=0, max_value=40), st.integers(min_value=0, max_value=40))
def test_a_tree_is_consistent_with_its_prefix_alone(one: int, other: int) -> None:
    old, new = sorted((one, other))
    hashes = leaf_hashes(new)
    path = merkle.consistency_path(hashes, old)
    old_root, new_root = merkle.root(hashes[:old]), merkle.root(hashes)
    merkle.verify_consistency(old, old_root, new, new_root, path)
    with pytest.raises(SimpulError):
        merkle.verify_consistency(old, HASHES[7], new, new_root, path)
    with pytest.raises(SimpulError):
        merkle.verify_consistency(old, old_root, new, new_root, (*path, HASHES[7]))
    if path:
        with pytest.raises(SimpulError):
            merkle.verify_consistency(old, old_root, new, HASHES[7], path)
        with pytest.raises(SimpulError):
            merkle.verify_consistency(old, old_root, new, new_root, path[:-1])


def test_a_consistency_path_may_not_be_left_out() -> None:
    for old, new in ((3, 5), (4, 5), (1, 8)):
        with pytest.raises(SimpulError):
            merkle.verify_consistency(
                old, merkle.root(HASHES[:old]), new, merkle.root(HASHES[:new]), ()
            )


def test_an_empty_tree_has_one_root() -> None:
    merkle.verify_consistency(0, merkle.EMPTY_ROOT, 0, merkle.EMPTY_ROOT, ())
    with pytest.raises(SimpulError, match="two roots"):
        merkle.verify_consistency(0, merkle.EMPTY_ROOT, 0, HASHES[0], ())


@pytest.mark.parametrize(("old", "new"), [(3, 2), (-1, 2)])
def test_a_tree_never_shrinks(old: int, new: int) -> None:
    with pytest.raises(SimpulError, match="never had"):
        merkle.verify_consistency(old, HASHES[0], new, HASHES[1], ())
    with pytest.raises(SimpulError, match="never had"):
        merkle.consistency_path(HASHES[:new], old)


@given(st.integers(min_value=0, max_value=130))
def test_a_frontier_has_the_trees_root_and_survives_its_bytes(size: int) -> None:
    frontier = Frontier()
    for item in leaf_hashes(size):
        frontier = frontier.append(item)
    assert frontier.size == size
    assert frontier.root() == merkle.root(leaf_hashes(size))
    assert Frontier.from_bytes(frontier.to_bytes()) == frontier


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\x00" * 9,
        b"\x00" * 7 + b"\x01",
        b"\x00" * 40,
        b"\x00" * 7 + b"\x01" + b"h" * 33,
        b"\x00" * 7 + b"\x02" + b"h" * 64,
        b"\x80" + b"\x00" * 7 + b"h" * 32,
    ],
)
def test_bytes_that_are_no_frontier_are_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        Frontier.from_bytes(data)
    assert caught.value.code is Code.PROOF_INVALID
