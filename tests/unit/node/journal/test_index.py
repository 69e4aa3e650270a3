from dataclasses import replace
from pathlib import Path

import pytest

from node.journal.index import CallIndex
from node.journal.model import (
    CallFilter,
    CallNote,
    LinkEnd,
    LinkNote,
    Outcome,
    SettledNote,
    Settlement,
)
from node.journal.reader import JournalReader
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append, Appended
from node.journal.verify import verify
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    NOW_MS,
    PROVIDER,
    SERVICE,
    Link,
    call_id,
    close_entry,
    message_entry,
    open_entry,
    refuse_entry,
)
from tests.unit.node.journal.support import tamper


def append(path: Path, *appends: Append) -> Appended:
    """Each append in a group of its own, at its own time."""
    store = SqliteJournalStore.open(path)
    try:
        lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
        done = Appended(head)
        for time_ms, item in enumerate(appends, NOW_MS):
            done = store.append(lease, done.head, [item], now_ms=time_ms)
        store.release(lease)
        return done
    finally:
        store.close()


def refused(call: int) -> CallNote:
    return CallNote(
        call_id(call),
        CONSUMER,
        PROVIDER,
        SERVICE,
        "Get",
        AGREEMENT,
        "tourism",
        7,
        "ACCESS_NO_AGREEMENT",
        NOW_MS + 500,
    )


def ended(link: Link, end: LinkEnd = LinkEnd.DIALLER) -> Append:
    return Append(notes=(LinkNote(link.link_id, end, 14, "OUTCOME_UNKNOWN", NOW_MS + 500),))


def outcome(path: Path, call: int) -> tuple[Outcome, int | None, str | None, int | None]:
    with JournalReader(path) as reader:
        (found,) = reader.list_calls(CallFilter(call_id=call_id(call)))
    return found.outcome, found.status, found.code, found.closed_at_ms


@pytest.mark.parametrize("together", [True, False])
def test_a_close_ends_its_call(path: Path, *, together: bool) -> None:
    link = Link()
    records = (link.sent(open_entry(1)), link.received(close_entry(1, 5)))
    appends = [Append(records)] if together else [Append((record,)) for record in records]
    append(path, *appends)
    assert outcome(path, 1) == (Outcome.CLOSED, 5, None, NOW_MS + len(appends) - 1)


def test_a_refusal_ends_its_call_with_its_code(path: Path) -> None:
    link = Link()
    append(path, Append((link.received(open_entry(1)),)), Append((link.sent(refuse_entry(1)),)))
    assert outcome(path, 1) == (Outcome.REFUSED, 7, "ACCESS_NO_AGREEMENT", NOW_MS + 1)


def test_an_entry_of_a_call_never_opened_is_recorded_under_no_call(path: Path) -> None:
    append(path, Append((Link().received(message_entry(1, 1)),)))
    report = verify(path)
    assert [problem.step for problem in report.problems] == [8]


def test_entries_after_a_restart_find_their_call(path: Path) -> None:
    link = Link()
    append(path, Append((link.sent(open_entry(1)),)))
    append(path, Append((link.received(message_entry(1, 0), close_entry(1, index=1)),)))
    assert outcome(path, 1)[0] is Outcome.CLOSED
    assert verify(path).ok


def test_a_peer_that_uses_a_call_id_again_makes_a_second_call(path: Path) -> None:
    link = Link()
    one = (link.received(open_entry(1)), link.sent(close_entry(1, 0)))
    append(path, Append(one), Append((link.received(open_entry(1)),)))
    append(path, Append((link.sent(close_entry(1, 9)),)))
    with JournalReader(path) as reader:
        calls = reader.show_call(call_id(1))
    assert [detail.call.status for detail in calls] == [0, 9]
    assert [len(detail.entries) for detail in calls] == [2, 2]
    assert verify(path).ok


@pytest.mark.parametrize("together", [True, False])
def test_what_a_greeting_tells_of_a_broken_links_calls_stands_beside_how_they_ended(
    path: Path, *, together: bool
) -> None:
    link, other = Link(), Link("other")
    opened = (link.sent(open_entry(1), open_entry(2), open_entry(3)), other.sent(open_entry(1)))
    told = SettledNote(
        link.link_id,
        LinkEnd.DIALLER,
        ((call_id(1), Settlement.NOT_STARTED), (call_id(2), Settlement.ARRIVED)),
    )
    notes = (*ended(link).notes, told)
    append(path, *([Append(opened, notes)] if together else [Append(opened), Append(notes=notes)]))
    with JournalReader(path) as reader:
        rows = reader.list_calls(CallFilter())
    assert {(row.link_id, row.call_id): (row.outcome, row.settled) for row in rows} == {
        (link.link_id, call_id(1)): (Outcome.LOST, Settlement.NOT_STARTED),
        (link.link_id, call_id(2)): (Outcome.LOST, Settlement.ARRIVED),
        (link.link_id, call_id(3)): (Outcome.LOST, None),
        (other.link_id, call_id(1)): (Outcome.OPEN, None),
    }


def test_a_link_that_is_not_recorded_settles_no_call_that_was_refused_here(path: Path) -> None:
    told = SettledNote(Link().link_id, LinkEnd.DIALLER, ((call_id(1), Settlement.NOT_STARTED),))
    append(path, Append(notes=(refused(1), told)))
    with JournalReader(path) as reader:
        (row,) = reader.list_calls(CallFilter())
    assert (row.outcome, row.settled) == (Outcome.REFUSED, None)


LOST = (Outcome.LOST, 14, "OUTCOME_UNKNOWN", NOW_MS + 500)


@pytest.mark.parametrize("together", [True, False])
def test_the_calls_that_a_link_leaves_open_are_lost(path: Path, *, together: bool) -> None:
    link, other = Link(), Link("other")
    opens = (link.sent(open_entry(1), open_entry(2)), link.received(close_entry(2, 5)))
    here = [Append(opens), ended(link)]
    if together:
        here = [Append(opens, ended(link).notes)]
    append(path, Append((other.sent(open_entry(3)), other.received(close_entry(3)))), *here)
    assert outcome(path, 1) == LOST
    assert outcome(path, 2)[:2] == (Outcome.CLOSED, 5)
    assert outcome(path, 3)[0] is Outcome.CLOSED
    assert verify(path).ok


def test_calls_on_other_links_and_at_the_other_end_stay_open(path: Path) -> None:
    store, link, other = SqliteJournalStore.open(path), Link(), Link("other")
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
    opens = Append((link.sent(open_entry(1)), other.sent(open_entry(2))))
    head = store.append(lease, head, [opens], now_ms=NOW_MS).head
    for item in (ended(link, LinkEnd.ACCEPTOR), ended(Link("unheard")), ended(link)):
        head = store.append(lease, head, [item], now_ms=NOW_MS).head
    store.close()
    assert outcome(path, 1) == LOST
    assert outcome(path, 2)[0] is Outcome.OPEN


def test_what_came_after_all_says_more_than_a_note(path: Path) -> None:
    link = Link()
    late = Append((link.received(close_entry(1, 0)),))
    append(path, Append((link.sent(open_entry(1)),)), ended(link), late)
    assert outcome(path, 1)[:3] == (Outcome.CLOSED, 0, None)
    append(path, ended(link))
    assert outcome(path, 1)[:3] == (Outcome.CLOSED, 0, None)
    assert verify(path).ok


def test_a_call_refused_by_our_own_node_is_listed_and_is_no_leaf(path: Path) -> None:
    assert append(path, Append(notes=(refused(1),))).head.size == 0
    assert outcome(path, 1) == (Outcome.REFUSED, 7, "ACCESS_NO_AGREEMENT", NOW_MS + 500)
    assert verify(path).ok


def test_the_next_holder_of_a_slot_settles_what_the_last_one_left_open(path: Path) -> None:
    store, here, there = SqliteJournalStore.open(path), Link("here"), Link("there")
    for slot, link in enumerate((here, there)):
        lease, head = store.take(slot, "killed", now_ms=NOW_MS, lease_ms=10_000)
        records = (link.sent(open_entry(slot)), link.sent(open_entry(slot + 2)))
        closed = link.received(close_entry(slot + 2))
        store.append(lease, head, [Append((*records, closed))], now_ms=NOW_MS)
    store.close()
    store = SqliteJournalStore.open(path)
    store.take(0, "next", now_ms=NOW_MS + 20_000, lease_ms=10_000)
    assert outcome(path, 0) == (Outcome.LOST, 14, "OUTCOME_UNKNOWN", NOW_MS + 20_000)
    # Another's: it lives, or its own next holder will say.
    assert outcome(path, 1)[0] is Outcome.OPEN
    assert {outcome(path, call)[0] for call in (2, 3)} == {Outcome.CLOSED}
    store.close()
    assert verify(path).ok


def test_a_call_is_remembered_from_its_open_to_its_end(path: Path) -> None:
    store, link = SqliteJournalStore.open(path), Link()
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
    remembered = []
    for record in (link.sent(open_entry(1)), link.received(close_entry(1))):
        head = store.append(lease, head, [Append((record,))], now_ms=NOW_MS).head
        remembered.append([call for _link, call in store._index.open_calls])
    assert remembered == [[call_id(1)], []]
    store.close()


def test_what_is_remembered_has_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.journal.index.MAX_OPEN_CALLS", 2)
    monkeypatch.setattr("node.journal.index.MAX_NAMES", 3)
    monkeypatch.setattr("node.journal.index.MAX_LINKS", 1)
    store, links = SqliteJournalStore.open(path), [Link(f"{n}") for n in range(4)]
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
    for entry in (open_entry, close_entry):
        for call, link in enumerate(links):
            record = link.sent(entry(call)) if entry is open_entry else link.received(entry(call))
            head = store.append(lease, head, [Append((record,))], now_ms=NOW_MS).head
    index: CallIndex = store._index
    assert len(index.open_calls) <= 2
    assert len(index.names) <= 3
    assert len(index.links) <= 1
    store.close()
    report = verify(path)
    assert (report.ok, report.calls, report.unfinished) == (True, 4, 0)


GATHER = bytes(range(16))


def gathered(path: Path) -> Link:
    """Two parts that went out and one that was refused here; one call that is of no gather."""
    link = Link()
    streamed = (
        link.sent(open_entry(1, "List", unary=False, gather=GATHER)),
        link.received(message_entry(1, 0), message_entry(1, 1), close_entry(1, index=2, said=None)),
    )
    single = (link.sent(open_entry(2, gather=GATHER)), link.received(close_entry(2)))
    note = replace(refused(3), provider="", gather_id=GATHER, region="53.99")
    append(
        path, Append(streamed), Append(single, notes=(note,)), Append((link.sent(open_entry(4)),))
    )
    return link


def test_the_calls_of_a_gather_are_found_with_how_much_each_was_answered(path: Path) -> None:
    gathered(path)
    with JournalReader(path) as reader:
        found = reader.gathered(GATHER)
        assert reader.gathered(bytes(16)) == []
        listed = reader.list_calls(CallFilter(gather_id=GATHER))
        (other,) = reader.list_calls(CallFilter(call_id=call_id(4)))
    assert [(each.call.call_id, each.messages) for each in found] == [
        (call_id(1), 2),
        (call_id(2), 1),
        (call_id(3), 0),
    ]
    assert [each.call.region for each in found] == [None, None, "53.99"]
    assert {row.call_id for row in listed} == {call_id(n) for n in (1, 2, 3)}
    assert {row.gather_id for row in listed} == {GATHER}
    assert other.gather_id is None
    assert verify(path).ok


def test_a_providers_part_is_no_gather_of_its_own(path: Path) -> None:
    append(path, Append((Link().received(open_entry(1, gather=GATHER)),)))
    with JournalReader(path) as reader:
        assert reader.gathered(GATHER) == []
        assert len(reader.list_calls(CallFilter(gather_id=GATHER))) == 1


@pytest.mark.parametrize("call", [1, 4])
def test_the_index_s_word_on_a_gather_is_checked_against_the_open(path: Path, call: int) -> None:
    gathered(path)
    tamper(path, ("UPDATE calls SET gather = ? WHERE call_id = ?", (b"x" * 16, call_id(call))))
    assert [problem.step for problem in verify(path).problems] == [8]
