"""The storage contract. Each kind of place is one parameter of `place`."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from node.journal.leaves import make_leaf
from node.journal.model import Direction, LinkEnd
from node.journal.place import Place
from node.journal.store import Append, JournalStore, Lease
from security.entry import SealedEntry
from security.errors import Code, SimpulError
from security.merkle import Frontier, root
from tests.unit.node.journal.builder import (
    NOW_MS,
    Link,
    close_entry,
    open_entry,
    unary_call,
)
from tests.unit.node.journal.support import open_place

LEASE_MS = 10_000

# Opens the same database once more.
Opener = Callable[[], JournalStore]


@pytest.fixture
def open_store(place: Place) -> Iterator[Opener]:
    stores: list[JournalStore] = []

    def opener() -> JournalStore:
        store = open_place(place)
        stores.append(store)
        return store

    yield opener
    for store in stores:
        store.close()


def take(store: JournalStore, holder: str = "a", now_ms: int = NOW_MS) -> tuple[Lease, Frontier]:
    return store.take(0, holder, now_ms=now_ms, lease_ms=LEASE_MS)


class TestAppend:
    def test_the_tree_grows_in_the_order_given(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        assert head == Frontier()
        groups = [[unary_call(link, 1), unary_call(link, 2)], [unary_call(link, 3)]]
        leaves = []
        for group in groups:
            appends = [Append(tuple(records)) for records in group]
            head = store.append(lease, head, appends, now_ms=NOW_MS).head
            leaves += [make_leaf(record).leaf_hash for records in group for record in records]
        assert (head.size, head.root()) == (6, root(leaves))

    def test_the_next_holder_continues_the_tree(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        head = store.append(lease, head, [Append(tuple(unary_call(link, 1)))], now_ms=NOW_MS).head
        store.release(lease)
        again, found = take(open_store(), "b")
        assert found == head
        assert again.fencing > lease.fencing

    def test_an_empty_parcel_is_a_leaf(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        done = store.append(lease, head, [Append((link.sent(),))], now_ms=NOW_MS)
        assert done.head.size == 1

    def test_slots_have_trees_of_their_own(self, open_store: Opener) -> None:
        store, other = open_store(), open_store()
        lease, head = take(store)
        store.append(lease, head, [Append(tuple(unary_call(Link("x"), 1)))], now_ms=NOW_MS)
        lease, head = other.take(1, "b", now_ms=NOW_MS, lease_ms=LEASE_MS)
        assert head == Frontier()
        done = other.append(lease, head, [Append((Link("y").sent(),))], now_ms=NOW_MS)
        assert done.head.size == 1

    def test_what_is_no_entry_is_refused_alone(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        bad = replace(Link("bad").sent(open_entry(1)), entries=(SealedEntry(b"\xff"),))
        group = [Append((bad,)), Append((link.sent(open_entry(2)),))]
        done = store.append(lease, head, group, now_ms=NOW_MS)
        assert {place: error.code for place, error in done.refused.items()} == {0: Code.INTERNAL}
        assert done.head.size == 1


class TestOnce:
    def test_the_same_parcel_again_is_acknowledged_and_not_written(
        self, open_store: Opener
    ) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        first = Append(tuple(unary_call(link, 1)))
        head = store.append(lease, head, [first], now_ms=NOW_MS).head
        done = store.append(lease, head, [first], now_ms=NOW_MS)
        assert (done.head, done.refused) == (head, {})

    def test_an_append_that_is_half_there_adds_the_other_half(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        one, two = unary_call(link, 1)
        head = store.append(lease, head, [Append((one,))], now_ms=NOW_MS).head
        done = store.append(lease, head, [Append((one, two))], now_ms=NOW_MS)
        assert (done.head.size, done.refused) == (2, {})

    def test_another_parcel_in_its_place_refuses_its_append_and_no_other(
        self, open_store: Opener
    ) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        head = store.append(lease, head, [Append((link.sent(open_entry(1)),))], now_ms=NOW_MS).head
        forged = Link().sent(open_entry(2))
        group = [
            Append((Link("x").sent(open_entry(3)),)),
            Append((Link("y").sent(open_entry(4)), forged)),
            Append((link.received(close_entry(1)),)),
        ]
        done = store.append(lease, head, group, now_ms=NOW_MS)
        assert {place: error.code for place, error in done.refused.items()} == {1: Code.CONFLICT}
        assert done.head.size == 3

    @pytest.mark.parametrize("same", [True, False])
    def test_twice_in_one_group(self, open_store: Opener, *, same: bool) -> None:
        store = open_store()
        lease, head = take(store)
        one = Link().sent(open_entry(1))
        two = one if same else Link().sent(open_entry(2))
        done = store.append(lease, head, [Append((one,)), Append((two,))], now_ms=NOW_MS)
        assert done.head.size == 1
        codes = {place: error.code for place, error in done.refused.items()}
        assert codes == ({} if same else {1: Code.CONFLICT})

    def test_a_link_within_one_node_has_both_ends_in_one_journal(self, open_store: Opener) -> None:
        store = open_store()
        lease, head = take(store)
        ours = Link(end=LinkEnd.DIALLER).sent(open_entry(1))
        theirs = replace(ours, end=LinkEnd.ACCEPTOR, direction=Direction.RECEIVED)
        answer = Link(end=LinkEnd.ACCEPTOR).sent(close_entry(1))
        group = [Append((ours, theirs, answer))]
        done = store.append(lease, head, group, now_ms=NOW_MS)
        assert (done.head.size, done.refused) == (3, {})

    def test_a_refused_group_leaves_nothing_behind_in_memory(self, open_store: Opener) -> None:
        # New names and links of the rolled-back attempt must be written by the second.
        store, link = open_store(), Link()
        lease, head = take(store)
        first = Append((link.sent(open_entry(1)),))
        head = store.append(lease, head, [first], now_ms=NOW_MS).head
        fresh = Append((Link("new", peer="ID/~new-1").sent(open_entry(2, "NewMethod")),))
        head = store.append(lease, head, [first, fresh], now_ms=NOW_MS).head
        done = store.append(lease, head, [fresh], now_ms=NOW_MS)
        assert (done.head.size, done.refused) == (2, {})


class TestLease:
    def test_a_held_slot_is_not_taken_and_names_its_holder(self, open_store: Opener) -> None:
        take(open_store(), "the first worker")
        with pytest.raises(SimpulError, match="the first worker") as caught:
            take(open_store(), "b", NOW_MS + LEASE_MS - 1)
        assert caught.value.code is Code.JOURNAL_LOCKED
        assert caught.value.details["holder"] == "the first worker"

    def test_a_slot_given_back_is_taken_at_once(self, open_store: Opener) -> None:
        store = open_store()
        lease, _ = take(store)
        store.release(lease)
        take(open_store(), "b")

    def test_a_slot_of_a_living_holder_is_taken_when_its_lease_is_over(
        self, open_store: Opener
    ) -> None:
        lease, _ = take(open_store())
        new, _ = take(open_store(), "b", NOW_MS + LEASE_MS)
        assert new.fencing == lease.fencing + 1

    def test_who_was_overtaken_writes_nothing_and_must_stop(self, open_store: Opener) -> None:
        slow, quick, link = open_store(), open_store(), Link()
        lease, head = take(slow, "slow")
        late = NOW_MS + LEASE_MS
        new, found = take(quick, "quick", late)
        with pytest.raises(SimpulError, match="quick") as caught:
            slow.append(lease, head, [Append((link.sent(open_entry(1)),))], now_ms=late)
        assert caught.value.code is Code.JOURNAL_LOCKED
        with pytest.raises(SimpulError, match="quick") as caught:
            slow.renew(lease, now_ms=late)
        assert caught.value.code is Code.JOURNAL_LOCKED
        done = quick.append(new, found, [Append((link.sent(open_entry(1)),))], now_ms=late)
        assert done.head.size == 1

    def test_giving_back_what_was_overtaken_frees_nothing(self, open_store: Opener) -> None:
        slow, quick = open_store(), open_store()
        lease, _ = take(slow)
        late = NOW_MS + LEASE_MS
        take(quick, "quick", late)
        slow.release(lease)
        slow.close()
        with pytest.raises(SimpulError, match="quick"):
            take(open_store(), "third", late)

    def test_renewing_keeps_the_slot(self, open_store: Opener) -> None:
        store = open_store()
        lease, _ = take(store)
        store.renew(lease, now_ms=NOW_MS + LEASE_MS - 1)
        with pytest.raises(SimpulError):
            take(open_store(), "b", NOW_MS + LEASE_MS)
        take(open_store(), "b", NOW_MS + 2 * LEASE_MS)

    def test_appending_keeps_the_slot(self, open_store: Opener) -> None:
        store = open_store()
        lease, head = take(store)
        store.append(lease, head, [Append((Link().sent(),))], now_ms=NOW_MS + LEASE_MS - 1)
        with pytest.raises(SimpulError):
            take(open_store(), "b", NOW_MS + LEASE_MS)

    def test_a_stale_tree_is_refused(self, open_store: Opener) -> None:
        store, link = open_store(), Link()
        lease, head = take(store)
        store.append(lease, head, [Append((link.sent(),))], now_ms=NOW_MS)
        # Without a leaf no key stands in the way: only the size tells.
        for group in ([Append((link.sent(),))], []):
            with pytest.raises(SimpulError) as caught:
                store.append(lease, head, group, now_ms=NOW_MS)
            assert caught.value.code is Code.JOURNAL_CORRUPT
