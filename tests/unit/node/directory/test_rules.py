import dataclasses

import pytest

from node.directory.floors import Floors
from node.directory.rules import (
    MAX_CLOCK_LAG_MS,
    check_clock,
    check_floors,
    check_record_number,
    check_same,
)
from security.errors import Code, SimpulError

OLD = Floors(
    versions={"root": 2, "timestamp": 9, "snapshot": 3, "targets": 1, "m-00": 2},
    timestamp_keys=frozenset({"t"}),
    snapshot_keys=frozenset({"s"}),
    issued_at_ms=1_000,
    snapshot_hash=b"h" * 32,
)


def version(role: str, number: int) -> Floors:
    return dataclasses.replace(OLD, versions={**OLD.versions, role: number})


def without(role: str) -> Floors:
    left = {name: number for name, number in OLD.versions.items() if name != role}
    return dataclasses.replace(OLD, versions=left)


def test_anything_may_be_the_first() -> None:
    check_floors(None, OLD)


def test_the_same_and_what_is_newer_may_follow() -> None:
    check_floors(OLD, OLD)
    check_floors(OLD, version("timestamp", 10))
    check_floors(OLD, dataclasses.replace(version("snapshot", 4), snapshot_hash=b"x" * 32))
    check_floors(OLD, version("m-1f", 1))


@pytest.mark.parametrize(
    ("step", "new", "code"),
    [
        (1, version("root", 1), Code.DIRECTORY_ROLLBACK),
        (3, version("timestamp", 8), Code.DIRECTORY_ROLLBACK),
        (3, version("m-00", 1), Code.DIRECTORY_ROLLBACK),
        (3, without("m-00"), Code.DIRECTORY_ROLLBACK),
        (4, dataclasses.replace(OLD, issued_at_ms=999), Code.DIRECTORY_ROLLBACK),
        (5, dataclasses.replace(OLD, snapshot_hash=b"x" * 32), Code.DIRECTORY_SPLIT),
    ],
)
def test_each_check_refuses(step: int, new: Floors, code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        check_floors(OLD, new)
    assert caught.value.code is code, step


def test_only_both_online_keys_renewed_begin_anew() -> None:
    low = dataclasses.replace(version("timestamp", 1), issued_at_ms=1)
    one = dataclasses.replace(low, timestamp_keys=frozenset({"t2"}))
    both = dataclasses.replace(one, snapshot_keys=frozenset({"s2"}))
    check_floors(OLD, both)
    for new in (low, one, dataclasses.replace(low, snapshot_keys=frozenset({"s2"}))):
        with pytest.raises(SimpulError) as caught:
            check_floors(OLD, new)
        assert caught.value.code is Code.DIRECTORY_ROLLBACK
    older_root = dataclasses.replace(both, versions={**both.versions, "root": 1})
    with pytest.raises(SimpulError):
        check_floors(OLD, older_root)


def test_the_clock_may_lag_a_little() -> None:
    check_clock(MAX_CLOCK_LAG_MS, 0)
    check_clock(0, 10**12)
    with pytest.raises(SimpulError) as caught:
        check_clock(MAX_CLOCK_LAG_MS + 1, 0)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED


def test_a_changed_record_counts_up() -> None:
    check_record_number("members/A/1", 1, 2)
    for new in (0, 1):
        with pytest.raises(SimpulError) as caught:
            check_record_number("members/A/1", 1, new)
        assert caught.value.code is Code.DIRECTORY_ROLLBACK


def test_one_number_has_one_content() -> None:
    check_same(1, b"a", 2, b"b")
    check_same(1, b"a", 1, b"a")
    with pytest.raises(SimpulError) as caught:
        check_same(1, b"a", 1, b"b")
    assert caught.value.code is Code.DIRECTORY_SPLIT
