"""The public log: leaves, and what a directory must be to be the one that they say."""

import json
from collections.abc import Mapping
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash
from security.public_log import Head, Kind, Leaf, Replay, parse_leaf, read_head

A, B, C = (sha256(name).hexdigest() for name in (b"a", b"b", b"c"))
LEAVES = [
    Leaf(Kind.ROOT, 1, C).to_bytes(),
    Leaf(Kind.FILE, 1, A, "policy").to_bytes(),
    Leaf(Kind.VERSION, 1, B, at_ms=5).to_bytes(),
    Leaf(Kind.FILE, 2, B, "members/DAERAH/53.15").to_bytes(),
    Leaf(Kind.VERSION, 2, C, at_ms=6).to_bytes(),
]
FILES = {"policy": A, "members/DAERAH/53.15": B}


def head_of(leaves: list[bytes]) -> Head:
    tree = Frontier()
    for leaf in leaves:
        tree = tree.append(leaf_hash(leaf))
    return Head(tree.size, tree.root())


def refused(
    step: str, found: Replay, head: Head, version: int, snapshot: str, files: Mapping[str, str]
) -> None:
    with pytest.raises(SimpulError, match=step) as caught:
        found.check(head, version, bytes.fromhex(snapshot), files)
    assert caught.value.code is Code.DIRECTORY_UNLOGGED


def test_the_log_says_what_the_directory_is() -> None:
    found = Replay().after(LEAVES)
    found.check(head_of(LEAVES), 2, bytes.fromhex(C), FILES)
    # In two parts as in one.
    assert Replay().after(LEAVES[:3]).after(LEAVES[3:]) == found


def test_step_1_the_leaves_are_those_under_the_head() -> None:
    found = Replay().after(LEAVES)
    refused("signed head", found, head_of(LEAVES[:4]), 2, C, FILES)
    refused("signed head", found, Head(5, bytes(32)), 2, C, FILES)


def test_step_2_the_version_is_the_last() -> None:
    found = Replay().after(LEAVES)
    refused("isn't in it", found, head_of(LEAVES), 3, C, FILES)
    refused("isn't in it", found, head_of(LEAVES), 2, B, FILES)


def test_step_3_every_file_is_there_and_no_other() -> None:
    found = Replay().after(LEAVES)
    key_added = {**FILES, "members/DAERAH/53.15": C}
    hidden = {"policy": A}
    invented = {**FILES, "members/DAERAH/99": A}
    for files in (key_added, hidden, invented):
        refused("is another there", found, head_of(LEAVES), 2, C, files)


@pytest.mark.parametrize(
    "leaves",
    [
        [LEAVES[2], LEAVES[2]],
        [LEAVES[4], LEAVES[3]],
        [LEAVES[4], LEAVES[2]],
    ],
)
def test_versions_only_rise(leaves: list[bytes]) -> None:
    with pytest.raises(SimpulError, match="comes after"):
        Replay().after(leaves)


@given(
    st.sampled_from(Kind),
    st.integers(1, 2**40),
    st.text(max_size=50),
    st.integers(0, 2**53),
)
def test_a_leaf_is_read_as_it_was_written(kind: Kind, version: int, path: str, at_ms: int) -> None:
    leaf = Leaf(
        kind,
        version,
        A,
        path if kind is Kind.FILE else "",
        at_ms if kind is Kind.VERSION else 0,
    )
    assert parse_leaf(leaf.to_bytes()) == leaf


@given(st.binary(max_size=100))
def test_any_bytes_are_refused_by_a_code(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_leaf(data)
    assert caught.value.code is Code.DIRECTORY_UNLOGGED


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"kind": "other"},
        {"kind": "version"},
        {"version": 0},
        {"version": True},
        {"version": "1"},
        {"sha256": A.upper()},
        {"sha256": A[:-2]},
        {"path": 7},
        {"path": "x" * 2000},
    ],
)
def test_what_is_no_leaf_is_refused(change: dict[str, object]) -> None:
    tree = {**json.loads(LEAVES[1]), **change}
    with pytest.raises(SimpulError):
        parse_leaf(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode())
    # Nor the same in another spelling.
    with pytest.raises(SimpulError):
        parse_leaf(json.dumps(json.loads(LEAVES[1])).encode())


def test_a_head_is_read_as_it_was_written() -> None:
    head = head_of(LEAVES)
    assert read_head(head.to_field()) == head


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"size": 1},
        {"size": 0, "root": A},
        {"size": -1, "root": A},
        {"size": "1", "root": A},
        {"size": True, "root": A},
        {"size": 2**64, "root": A},
        {"size": 1, "root": A.upper()},
        {"size": 1, "root": 1},
        {"size": 1, "root": A, "more": 1},
    ],
)
def test_what_is_no_head_is_refused(value: object) -> None:
    with pytest.raises(SimpulError) as caught:
        read_head(value)
    assert caught.value.code is Code.DIRECTORY_UNLOGGED
