"""Dropping: what goes, what stays, and that what stays is still provable. On both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, Table, select

from node.journal.archive.dropping import FIRST_ENTRIES, MAX_ENTRIES, MAX_PARCELS, Dropper
from node.journal.archive.tables import CUT_CALLS, LINK_TAILS
from node.journal.model import CallFilter
from node.journal.place import Place
from node.journal.reader import JournalReader
from node.journal.readonly import ReadOnly
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.tables import CALL_ENTRIES, CALLS, CHECKPOINTS, PARCELS, SALTS
from node.journal.verify import verify
from security import merkle
from security.errors import Code, SimpulError
from security.merkle import leaf_hash
from security.tiles import consistency_path, inclusion_path, root_of
from tests.unit.node.journal.archive.support import DAY_MS, Written, archive
from tests.unit.node.journal.builder import (
    NOW_MS,
    Link,
    call_id,
    close_entry,
    message_entry,
    open_entry,
    unary_call,
)
from tests.unit.node.journal.support import tamper

LATER_MS = NOW_MS + 500 * DAY_MS


@contextmanager
def dropper(place: Place) -> Iterator[Dropper]:
    opened = Dropper(place)
    try:
        yield opened
    finally:
        opened.close()


def drop(place: Place, upto: int, before_ms: int = LATER_MS, *, salts: bool = False) -> int:
    done = 0
    with dropper(place) as opened:
        while count := opened.drop_some(0, upto, before_ms, salts=salts):
            done += count
    return done


def count(place: Place, table: Table) -> int:
    journal = ReadOnly(place)
    try:
        with journal.snapshot() as connection:
            return len(connection.execute(select(table)).all())
    finally:
        journal.close()


def many(place: Place, calls: int) -> Written:
    journal, link = Written(place), Link()
    journal.add(*(unary_call(link, number) for number in range(calls // 2)))
    journal.add(*(unary_call(link, number) for number in range(calls // 2, calls)))
    return journal


def test_what_is_left_is_whole_and_can_be_appended_to(place: Place) -> None:
    journal = Written(place)
    link = Link()
    journal.add(*(unary_call(link, number) for number in range(10)))
    assert drop(place, 13) == 13
    report = verify(place)
    assert report.problems == ()
    assert (report.parcels, report.dropped, report.slots[0].size) == (7, 13, 20)
    journal.add(unary_call(link, 10), unary_call(link, 11))
    assert journal.head.size == 24
    assert verify(place).ok


def test_all_of_it_can_go_and_the_tree_goes_on(place: Place) -> None:
    journal = Written(place)
    link = Link()
    journal.add(unary_call(link, 1))
    assert drop(place, 99) == 2
    assert (count(place, PARCELS), count(place, CALLS), count(place, CALL_ENTRIES)) == (0, 0, 0)
    assert verify(place).ok
    journal.add(unary_call(link, 2))
    assert journal.head.size == 4
    report = verify(place)
    assert report.problems == ()
    assert (report.parcels, report.dropped) == (2, 2)


def test_proofs_of_any_size_can_still_be_made(place: Place) -> None:
    journal = many(place, 300)
    before = SqlCheckpointStore.open(place)
    data = before.leaf_data(0, 0, 600)
    leaves = list(map(leaf_hash, data))
    assert drop(place, 517) == 517
    store = SqlCheckpointStore.open(place)
    assert store.leaf_data(0, 0, 600) == data
    assert store.leaf_data(0, 500, 30) == data[500:530]
    with store.tree(0) as tree:
        assert tree.hashes(0, 510, 10) == leaves[510:520]
        for size in (1, 255, 256, 300, 517, 518, 600):
            assert root_of(tree, size) == merkle.root(leaves[:size])
            proof = consistency_path(tree, size, 600)
            merkle.verify_consistency(
                size, merkle.root(leaves[:size]), 600, journal.head.root(), proof
            )
        for index in (3, 516, 517, 599):
            path = inclusion_path(tree, index, 600)
            merkle.verify_inclusion(leaves[index], index, 600, path, journal.head.root())


def test_one_step_takes_a_bounded_number(place: Place) -> None:
    many(place, 100)
    with dropper(place) as opened:
        # An entry in each parcel.
        opened._max_entries = 10
        assert opened.drop_some(0, 200, LATER_MS) == 10
        opened._max_entries = 10 * MAX_PARCELS
        assert opened.drop_some(0, 200, LATER_MS) == MAX_PARCELS
        for took_s in (10.0, 0.001, 0.0):
            opened._pace(64, took_s)
            assert FIRST_ENTRIES <= opened._max_entries <= MAX_ENTRIES


def test_what_is_younger_stays_and_all_behind_it(place: Place) -> None:
    journal, link = Written(place), Link()
    for number, at_ms in enumerate((NOW_MS, NOW_MS + DAY_MS, NOW_MS - DAY_MS)):
        journal.add(unary_call(link, number), at_ms=at_ms)
    assert drop(place, 6, NOW_MS + DAY_MS) == 2
    assert verify(place).ok


def test_salts_stay_unless_they_are_to_go(place: Place) -> None:
    journal, link = Written(place), Link()
    journal.add(unary_call(link, 1), unary_call(link, 2))
    drop(place, 2)
    assert count(place, SALTS) == 4
    drop(place, 4, salts=True)
    assert count(place, SALTS) == 2


def test_a_call_goes_with_its_last_parcel(place: Place) -> None:
    journal, link = Written(place), Link()
    journal.add([link.sent(open_entry(1, "Chat", unary=False))])
    journal.add([link.sent(message_entry(1, 1)), link.received(close_entry(1))])
    drop(place, 1)
    with JournalReader(place) as reader:
        (call,) = reader.list_calls(CallFilter())
        (detail,) = reader.show_call(call_id(1))
    assert call.call_id == call_id(1)
    assert [entry.kind for entry in detail.entries] == ["message", "close"]
    assert count(place, CUT_CALLS) == 1
    assert verify(place).ok
    drop(place, 3)
    assert (count(place, CALLS), count(place, CUT_CALLS)) == (0, 0)


def test_a_call_that_may_go_on_stays_until_it_is_old(place: Place) -> None:
    journal, link = Written(place), Link()
    journal.add([link.sent(open_entry(1))])
    with dropper(place) as opened:
        assert opened.drop_some(0, 1, NOW_MS + 1) == 1
    assert count(place, CALLS) == 0
    journal.add([link.sent(open_entry(2))], at_ms=NOW_MS + DAY_MS)
    with dropper(place) as opened:
        assert opened.drop_some(0, 2, NOW_MS + DAY_MS) == 0
        assert opened.drop_notes(LATER_MS) == 0
    assert count(place, CALLS) == 1


def test_checkpoints_that_cover_nothing_left_go_but_those_at_archives_ends(
    place: Place, tmp_path: Path
) -> None:
    journal, link = Written(place), Link()
    for number in range(4):
        journal.add(unary_call(link, number), at_ms=NOW_MS + number * DAY_MS)
    archive(place, tmp_path / "archives", tmp_path, before_ms=NOW_MS + 2 * DAY_MS)
    drop(place, 4)
    store = SqlCheckpointStore.open(place)
    assert [item.size for item in store.listed(0, limit=9)] == [8, 6, 4]
    drop(place, 6)
    assert [item.size for item in store.listed(0, limit=9)] == [8, 6, 4]
    drop(place, 8)
    assert [item.size for item in store.listed(0, limit=9)] == [8, 4]
    assert count(place, CHECKPOINTS) == 2
    assert verify(place).ok


def test_a_chain_is_judged_across_what_was_dropped(path: Path) -> None:
    journal, link = Written(path), Link()
    journal.add(unary_call(link, 1), unary_call(link, 2))
    drop(path, 2)
    tamper(path, ("UPDATE link_tails SET header_hash = X'00'", ()))
    report = verify(path)
    assert {problem.step for problem in report.problems} == {6}
    tamper(path, ("DELETE FROM link_tails", ()))
    assert {problem.step for problem in verify(path).problems} == {6}
    assert count(path, LINK_TAILS) == 0


def test_a_changed_leaf_of_what_was_dropped_is_seen(path: Path) -> None:
    many(path, 300)
    drop(path, 300)
    tamper(
        path,
        ("UPDATE leaf_tiles SET data = CAST(X'00' || substr(data, 2) AS BLOB) WHERE idx = 1", ()),
    )
    # The tree, the node above it, and the checkpoints that cover it.
    assert {problem.step for problem in verify(path).problems} == {5, 10, 11}
    tamper(path, ("DELETE FROM leaf_tiles WHERE idx = 1", ()))
    report = verify(path)
    assert 5 in {problem.step for problem in report.problems}
    assert any("the leaves of 256 stayed" in problem.message for problem in report.problems)


def test_two_that_drop_at_once_are_told(path: Path) -> None:
    journal = Written(path)
    journal.add(unary_call(Link(), 1))
    drop(path, 1)

    class Late(Dropper):
        """Another drops between its look and its step."""

        @contextmanager
        def _transaction(self, *, overwrite: bool = False) -> Iterator[Connection]:
            tamper(path, ("UPDATE dropped SET first = 2", ()))
            with super()._transaction(overwrite=overwrite) as connection:
                yield connection

    late = Late(path)
    try:
        with pytest.raises(SimpulError) as caught:
            late.drop_some(0, 2, LATER_MS)
    finally:
        late.close()
    assert caught.value.code is Code.CONFLICT
    assert count(path, PARCELS) == 1


def test_the_disk_is_given_back(path: Path) -> None:
    many(path, 2000)
    with dropper(path) as opened:
        opened.write_back()
        before = path.stat().st_size
        while opened.drop_some(0, 4000, LATER_MS, salts=True):
            pass
        while opened.free_some():
            pass
        opened.write_back()
    assert path.stat().st_size < before / 4
    assert verify(path).ok
