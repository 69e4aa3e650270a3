import asyncio
import time
from pathlib import Path

import pytest

from node.journal.journal import Journal
from node.journal.leaves import make_leaf
from node.journal.model import CallFilter, CallNote, Outcome
from node.journal.reader import JournalReader
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.merkle import root
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, open_entry, unary_call
from tests.unit.node.journal.support import open_journal, write


async def test_what_is_appended_is_there_and_in_the_order_of_the_calls(path: Path) -> None:
    journal, link = await open_journal(path), Link()
    calls = [unary_call(link, number) for number in range(50)]
    await asyncio.gather(*[journal.append_nowait(records) for records in calls])
    leaves = [make_leaf(record).leaf_hash for records in calls for record in records]
    assert (journal.size, journal.root()) == (100, root(leaves))
    await journal.close()
    report = verify(path)
    assert report.ok
    assert [(slot.size, slot.root) for slot in report.slots] == [(100, root(leaves))]


async def test_it_is_readable_while_it_is_open(path: Path) -> None:
    journal = await open_journal(path)
    await journal.append(unary_call(Link(), 1))
    with JournalReader(path) as reader:
        assert len(reader.list_calls(CallFilter())) == 1
        await journal.append(unary_call(Link("2"), 2))
        assert len(reader.list_calls(CallFilter())) == 2
    assert verify(path).ok
    await journal.close()


async def test_the_event_loop_is_never_held(path: Path) -> None:
    journal, link = await open_journal(path), Link()
    calls = [unary_call(link, number) for number in range(20)]
    # Another program keeps the database locked: every commit waits.
    other = SqliteJournalStore.open(path)
    with other._connection.begin():
        waiting = [journal.append_nowait(records) for records in calls]
        longest = 0.0
        for _ in range(20):
            begin = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - begin)
        assert not any(future.done() for future in waiting)
        assert longest < 0.1
    await asyncio.gather(*waiting)
    other.close()
    await journal.close()


async def test_a_second_holder_is_told_who_has_the_slot(path: Path) -> None:
    journal = await open_journal(path, holder="worker 3, process 17")
    with pytest.raises(SimpulError, match="worker 3, process 17") as caught:
        await open_journal(path)
    assert caught.value.code is Code.JOURNAL_LOCKED
    other = await open_journal(path, slot=1)
    await other.close()
    await journal.close()
    await (await open_journal(path)).close()


async def test_who_was_overtaken_fails_for_good(path: Path) -> None:
    journal = await open_journal(path)
    usurper = SqliteJournalStore.open(path)
    usurper.take(0, "usurper", now_ms=NOW_MS + 10_000, lease_ms=10_000)
    for number in range(2):
        with pytest.raises(SimpulError, match="usurper") as caught:
            await journal.append(unary_call(Link(f"{number}"), number))
        assert caught.value.code is Code.JOURNAL_LOCKED
    assert (await journal.failed()).code is Code.JOURNAL_LOCKED
    assert journal.failure is not None
    usurper.close()
    await journal.close()
    assert verify(path).parcels == 0


async def test_it_opens_where_it_was_left(path: Path) -> None:
    head = write(path, unary_call(Link(), 1))
    journal = await open_journal(path)
    assert (journal.size, journal.root()) == (head.size, head.root())
    await journal.close()


async def test_a_conflict_fails_its_append(path: Path) -> None:
    journal = await open_journal(path)
    await journal.append([Link().sent(open_entry(1))])
    await journal.append([Link().sent(open_entry(1))])
    with pytest.raises(SimpulError) as caught:
        await journal.append([Link().sent(open_entry(2))])
    assert caught.value.code is Code.CONFLICT
    assert journal.size == 1
    await journal.close()


async def test_being_cancelled_undoes_nothing(path: Path) -> None:
    journal = await open_journal(path)
    task = asyncio.create_task(journal.append(unary_call(Link(), 1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await journal.append(unary_call(Link("2"), 2))
    assert journal.size == 4
    await journal.close()


async def test_a_cancelled_opening_gives_the_slot_back(path: Path) -> None:
    task = asyncio.create_task(open_journal(path))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await (await open_journal(path)).close()


async def test_a_note_goes_in_by_itself(path: Path) -> None:
    journal = await open_journal(path)
    note = CallNote(
        call_id=call_id(1),
        consumer="ID/A/B/c",
        provider="ID/D/E/f",
        service="a.v1.B",
        method="Get",
        agreement=None,
        purpose=None,
        status=7,
        code="ACCESS_NO_AGREEMENT",
        at_ms=NOW_MS,
    )
    await journal.append([], [note])
    await journal.close()
    with JournalReader(path) as reader:
        (found,) = reader.list_calls(CallFilter(outcome=Outcome.REFUSED))
    assert (found.code, found.peer, found.agreement) == ("ACCESS_NO_AGREEMENT", None, None)


async def test_a_journal_that_cannot_be_opened_says_why(path: Path) -> None:
    await asyncio.to_thread(path.write_bytes, b"not a database" * 100)
    with pytest.raises(SimpulError) as caught:
        await Journal.open(path, slot=0, holder="a", clock=lambda: NOW_MS)
    assert caught.value.code is Code.JOURNAL_CORRUPT
