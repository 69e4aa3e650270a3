"""What the journal tells of links that broke, and how a greeting settles calls by it."""

from collections.abc import Sequence
from pathlib import Path

from node.journal.broken import BrokenLinks, RecordedLink
from node.journal.model import CallFilter, LinkEnd, Outcome, SettledNote, Settlement
from node.journal.reader import JournalReader
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append
from node.link.unsettled import Broken, Settled, Unsettled
from security.greeting import Unsettled as Named
from security.identifiers import NodeId
from security.parcel import Received
from tests.unit.node.journal.builder import (
    NOW_MS,
    PEER,
    Link,
    call_id,
    close_entry,
    open_entry,
)
from tests.unit.node.journal.support import write


def found(path: Path, link: Link, peer: str = PEER) -> list[RecordedLink]:
    with BrokenLinks(path) as reader:
        return reader.find(peer, link.link_id)


def killed(path: Path, link: Link) -> None:
    """Calls 1 and 2 asked in parcels 0 and 1, 1 answered; whoever takes the slot ends call 2."""
    asked = [link.sent(open_entry(1)), link.sent(open_entry(2))]
    receipt = Received(0, asked[0].header_hash)
    write(path, [*asked, link.received(close_entry(1), received=receipt)])


def test_what_was_asked_and_has_no_answer_is_found_before_and_after_its_slot_is_taken(
    path: Path,
) -> None:
    link = Link()
    killed(path, link)
    before = found(path, link)
    write(path)
    (after,) = found(path, link)
    assert [after] == before
    assert (after.sealed, after.end, after.asked) == (2, LinkEnd.DIALLER, {call_id(2): 1})
    assert after.received is not None
    assert after.received.number == 0
    assert set(after.sent) == {0, 1}
    assert after.answered == {}
    with BrokenLinks(path) as reader:
        assert reader.with_lost_calls(since_ms=NOW_MS, limit=5) == [(PEER, link.link_id)]
        assert reader.with_lost_calls(since_ms=NOW_MS + 1, limit=5) == []


def test_an_answer_is_found_until_a_receipt_covers_it(path: Path) -> None:
    link = Link("theirs")
    first = [link.received(open_entry(1)), link.sent(close_entry(1))]
    second = link.received(open_entry(2), received=Received(0, first[1].header_hash))
    write(path, [*first, second, link.sent(close_entry(2))])
    (end,) = found(path, link)
    assert end.answered == {call_id(2): 1}
    assert end.asked == {}


def test_a_link_with_another_peer_is_none_of_this_ones(path: Path) -> None:
    link = Link()
    killed(path, link)
    assert found(path, link, "ID/~wakatobi-1") == []
    assert found(path, Link("another")) == []


class TestSettling:
    def unsettled(self, path: Path, told: list[Settled]) -> Unsettled:
        async def recall(peer: NodeId, links: Sequence[bytes]) -> list[Broken]:
            with BrokenLinks(path) as reader:
                return [
                    Broken(
                        peer, each.link_id, each.end, each.sealed, each.received,
                        each.sent.get, each.asked, each.answered, each.heard,
                    )
                    for link in links
                    for each in reader.find(str(peer), link)
                ]  # fmt: skip

        return Unsettled(told.append, recall)

    async def test_another_workers_link_is_settled_by_the_journal_and_named(
        self, path: Path
    ) -> None:
        link, told = Link(), list[Settled]()
        killed(path, link)
        here, peer = self.unsettled(path, told), NodeId.parse(PEER)
        (end,) = found(path, link)
        named = [Named(link.link_id, 1, Received(0, end.sent[0]))]
        await here.learn(peer, named)
        here.hear(peer, named)
        await here.learn(peer, named)
        here.hear(peer, named)
        assert [each.calls[Settlement.NOT_STARTED] for each in told] == [(call_id(2),)]
        # The peer hears of it too, unasked, for as long as it may not have.
        assert [each.link_id for each in here.name(peer)] == [link.link_id]
        for _ in range(3):
            here.name(peer)
        assert here.name(peer) == ()
        assert len(here.name(peer, named)) == 1
        store = SqliteJournalStore.open(path)
        lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=1)
        store.append(lease, head, [Append(notes=(told[0].note(),))], now_ms=NOW_MS)
        store.close()
        with JournalReader(path) as reader:
            calls = {row.call_id: row for row in reader.list_calls(CallFilter())}
        assert calls[call_id(2)].settled is Settlement.NOT_STARTED
        assert calls[call_id(2)].outcome is Outcome.LOST
        assert calls[call_id(1)].settled is None
        # What was said once stays.
        store = SqliteJournalStore.open(path)
        lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=1)
        other = SettledNote(link.link_id, end.end, ((call_id(2), Settlement.ARRIVED),))
        store.append(lease, head, [Append(notes=(other,))], now_ms=NOW_MS)
        store.close()
        with JournalReader(path) as reader:
            calls = {row.call_id: row for row in reader.list_calls(CallFilter())}
        assert calls[call_id(2)].settled is Settlement.NOT_STARTED
        with BrokenLinks(path) as again:
            assert again.with_lost_calls(since_ms=0, limit=5) == []

    async def test_what_names_a_parcel_that_is_not_here_settles_nothing(self, path: Path) -> None:
        link, told = Link(), list[Settled]()
        killed(path, link)
        here, peer = self.unsettled(path, told), NodeId.parse(PEER)
        named = [Named(link.link_id, 1, Received(1, bytes(32)))]
        await here.learn(peer, named)
        here.hear(peer, named)
        assert told == []

    async def test_links_that_an_earlier_process_left_are_named_at_once(self, path: Path) -> None:
        link, told = Link(), list[Settled]()
        killed(path, link)
        here, peer = self.unsettled(path, told), NodeId.parse(PEER)
        (end,) = found(path, link)
        here.resume(
            [Broken(peer, link.link_id, end.end, end.sealed, end.received, end.sent.get,
                    end.asked, end.answered)]
        )  # fmt: skip
        assert here.name(peer) == (Named(link.link_id, 2, end.received),)
        here.hear(peer, [Named(link.link_id, 1, Received(1, end.sent[1]))])
        assert [each.calls[Settlement.ARRIVED] for each in told] == [(call_id(2),)]

    async def test_a_peer_that_takes_its_receipt_back_settles_nothing(self, path: Path) -> None:
        """Its journal was restored from a backup, or it lies."""
        link, told = Link(), list[Settled]()
        first = [link.sent(open_entry(1)), link.sent(open_entry(2))]
        answer = link.received(close_entry(1), received=Received(1, first[1].header_hash))
        write(path, [*first, answer])
        (end,) = found(path, link)
        assert end.heard == 1
        here, peer = self.unsettled(path, told), NodeId.parse(PEER)
        for received in (None, Received(0, first[0].header_hash)):
            named = [Named(link.link_id, 1, received)]
            await here.learn(peer, named)
            here.hear(peer, named)
        assert told == []
