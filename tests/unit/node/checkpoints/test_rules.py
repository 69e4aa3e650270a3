import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.checkpoints.rules import (
    LONGEST_REST_MS,
    answers_needed,
    check_continues,
    check_whole,
    overdue,
    rest_ms,
)
from security import merkle
from security.checkpoint import Checkpoint
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash
from security.oversight import TimePolicyView
from tests.unit.security.test_tiles import Stored

LEAVES = [leaf_hash(bytes([number])) for number in range(40)]
FORK = [leaf_hash(b"x"), *LEAVES[1:]]
POLICY = TimePolicyView((), 60_000, 100_000, refuses=True)


def frontier(leaves: list[bytes]) -> Frontier:
    tree = Frontier()
    for leaf in leaves:
        tree = tree.append(leaf)
    return tree


def checkpoint(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint("log", size, merkle.root(leaves[:size]))


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_tree_continues_its_own_prefixes_and_no_longer_tree(older: int, size: int) -> None:
    tree, head = Stored(LEAVES[:size]), frontier(LEAVES[:size])
    check_whole(tree, head)
    if older <= size:
        check_continues(tree, head, checkpoint(older), "it")
        return
    with pytest.raises(SimpulError) as caught:
        check_continues(tree, head, checkpoint(older), "it")
    assert caught.value.code is Code.JOURNAL_RESTORED_OR_FORKED
    assert "enrol the node anew" in caught.value.message


@pytest.mark.parametrize("size", [1, 7, 8, 40])
def test_a_fork_is_told(size: int) -> None:
    with pytest.raises(SimpulError) as caught:
        check_continues(Stored(LEAVES), frontier(LEAVES), checkpoint(size, FORK), "it")
    assert caught.value.code is Code.JOURNAL_RESTORED_OR_FORKED


def test_hashes_that_make_another_tree_are_told() -> None:
    with pytest.raises(SimpulError) as caught:
        check_whole(Stored(FORK), frontier(LEAVES))
    assert caught.value.code is Code.JOURNAL_CORRUPT


@given(st.integers(1, 20), st.data())
def test_those_who_must_answer_meet_every_quorum(witnesses: int, data: st.DataObject) -> None:
    quorum = data.draw(st.integers(1, witnesses))
    needed = answers_needed(witnesses, quorum)
    assert quorum + needed > witnesses
    assert quorum + needed - 1 == witnesses
    assert answers_needed(0, 0) == 0


def test_who_fails_is_left_alone_longer_and_longer() -> None:
    rests = [rest_ms(failures) for failures in range(12)]
    assert rests[:4] == [0, 1000, 2000, 4000]
    assert rests[-1] == rest_ms(10**9) == LONGEST_REST_MS


def test_time_is_overdue_past_the_limit_and_never_by_a_clock_put_back() -> None:
    assert overdue(None, 0, 10**9) is None
    assert overdue(POLICY, None, 10**9) is None
    assert overdue(POLICY, 1000, 101_000) is None
    assert overdue(POLICY, 10**9, 0) is None
    error = overdue(POLICY, 1000, 101_001)
    assert error is not None
    assert error.code is Code.TIMESTAMP_OVERDUE
