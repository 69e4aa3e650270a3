from pathlib import Path

import pytest

from node.journal.slots import SlotLock, require_free
from security.errors import Code, SimpulError


@pytest.mark.parametrize("until_ms", [0, 999, 1000])
def test_a_lease_that_is_over_is_free(until_ms: int) -> None:
    require_free(3, "a", until_ms, 1000)


def test_a_lease_that_runs_names_its_holder() -> None:
    with pytest.raises(SimpulError, match=r"slot 3 .* held by worker 7") as caught:
        require_free(3, "worker 7", 1001, 1000)
    assert caught.value.code is Code.JOURNAL_LOCKED
    assert caught.value.details == {"slot": "3", "holder": "worker 7"}


def test_a_lock_that_nobody_ever_held_is_free(path: Path) -> None:
    assert SlotLock(path, 0, 1).is_free()
    assert list(path.parent.iterdir()) == []


def test_a_held_lock_is_not_free_until_it_is_let_go(path: Path) -> None:
    lock = SlotLock(path, 0, 1)
    lock.hold()
    assert not SlotLock(path, 0, 1).is_free()
    assert SlotLock(path, 0, 2).is_free()
    assert SlotLock(path, 1, 1).is_free()
    lock.let_go()
    assert SlotLock(path, 0, 1).is_free()
    assert list(path.parent.iterdir()) == []


def test_a_held_lock_is_not_held_twice(path: Path) -> None:
    lock = SlotLock(path, 0, 1)
    lock.hold()
    with pytest.raises(BlockingIOError):
        SlotLock(path, 0, 1).hold()
    lock.let_go()
