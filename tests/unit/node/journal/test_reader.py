import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from node.journal.model import CallFilter, CallRow, Direction, Outcome, Role
from node.journal.reader import JournalReader
from node.journal.readonly import ReadOnly
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append
from security.errors import Code, SimpulError
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    MY_MEMBER,
    NOW_MS,
    PEER,
    PEER_MEMBER,
    PROVIDER,
    SERVICE,
    Link,
    call_id,
    close_entry,
    half_close_entry,
    message_entry,
    open_entry,
    refuse_entry,
    unary_call,
)
from tests.unit.node.journal.support import read, tamper, write


def listed(path: Path, wanted: CallFilter) -> list[bytes]:
    with JournalReader(path) as reader:
        return [row.call_id for row in reader.list_calls(wanted)]


@pytest.fixture
def many(path: Path) -> Path:
    """Call 1: closed; 2: refused here, as provider; 3: open; 4: failed, of another peer."""
    ours, theirs, other = Link("ours"), Link("theirs"), Link("other", peer="ID/~wakatobi-1")
    write(
        path,
        unary_call(ours, 1),
        [theirs.received(open_entry(2)), theirs.sent(refuse_entry(2))],
        [ours.sent(open_entry(3, "List"))],
        unary_call(other, 4, status=5),
    )
    tamper(path, ("UPDATE calls SET opened_at_ms = ? + id", (NOW_MS,)))
    return path


@pytest.mark.parametrize(
    ("wanted", "calls"),
    [
        (CallFilter(), [4, 3, 2, 1]),
        (CallFilter(limit=2), [4, 3]),
        (CallFilter(below=(NOW_MS + 3, 3)), [2, 1]),
        (CallFilter(since_ms=NOW_MS + 2), [4, 3, 2]),
        (CallFilter(until_ms=NOW_MS + 2), [1]),
        (CallFilter(call_id=call_id(3)), [3]),
        (CallFilter(role=Role.PROVIDER), [2]),
        (CallFilter(outcome=Outcome.OPEN), [3]),
        (CallFilter(outcome=Outcome.CLOSED, status=0), [1]),
        (CallFilter(status=5), [4]),
        (CallFilter(code="ACCESS_NO_AGREEMENT"), [2]),
        (CallFilter(peer=PEER), [3, 2, 1]),
        (CallFilter(peer="ID/~wakatobi-1"), [4]),
        (CallFilter(consumer=CONSUMER, provider=PROVIDER, service=SERVICE), [4, 3, 2, 1]),
        (CallFilter(method="List"), [3]),
        (CallFilter(agreement=AGREEMENT, purpose="tourism", role=Role.CONSUMER), [4, 3, 1]),
        (CallFilter(agreement=bytes(32)), []),
        (CallFilter(consumer="ID/NOBODY/1/x"), []),
        (CallFilter(peer="ID/~nobody-1"), []),
        (CallFilter(peer=PEER, role=Role.CONSUMER), [3, 1]),
        (CallFilter(peer=PEER, status=5), []),
        (CallFilter(peer="ID/~wakatobi-1", status=5), [4]),
        (CallFilter(role=Role.PROVIDER, outcome=Outcome.REFUSED), [2]),
        (CallFilter(consumer=CONSUMER, outcome=Outcome.OPEN, role=Role.CONSUMER), [3]),
        (CallFilter(consumer=PROVIDER), []),
    ],
)
def test_a_filter_finds_what_it_names(many: Path, wanted: CallFilter, calls: list[int]) -> None:
    assert listed(many, wanted) == [call_id(number) for number in calls]


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_has_bounds(many: Path, limit: int) -> None:
    with pytest.raises(SimpulError) as caught:
        listed(many, CallFilter(limit=limit))
    assert caught.value.code is Code.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("call_id = x'00'", "calls_call_id"),
        ("terms = 5", "calls_terms"),
        ("status = 5 AND status <> 0", "calls_status"),
        ("code = 5 AND code <> 0", "calls_code"),
        ("opened_at_ms > 5", "calls_opened"),
    ],
)
def test_what_is_searched_for_has_an_index_in_the_order_of_time(
    many: Path, wanted: str, index: str
) -> None:
    order = "ORDER BY opened_at_ms DESC, id DESC LIMIT 10"
    plan = read(many, f"EXPLAIN QUERY PLAN SELECT * FROM calls WHERE {wanted} {order}")  # noqa: S608
    assert index in str(plan)
    if index != "calls_call_id":
        assert "TEMP B-TREE" not in str(plan)


@pytest.mark.parametrize("limit", [1, 2, 7, 19, 100])
def test_the_newest_under_many_terms_are_the_newest_of_all(path: Path, limit: int) -> None:
    chance = random.Random(limit)
    store, link = SqliteJournalStore.open(path), Link()
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10**9)
    opened: list[tuple[int, int]] = []
    for number in range(60):
        # Some methods are called often and lately, some long ago; some at the same moment.
        method = f"Method{min(chance.randrange(12), chance.randrange(12))}"
        at_ms = NOW_MS + chance.randrange(30)
        record = link.sent(open_entry(number, method))
        head = store.append(lease, head, [Append((record,))], now_ms=at_ms).head
        opened.append((at_ms, number + 1))
    store.close()
    rows = listed_rows(path, CallFilter(consumer=CONSUMER, limit=limit))
    assert [row.key for row in rows] == sorted(opened, reverse=True)[:limit]
    older = listed_rows(path, CallFilter(consumer=CONSUMER, limit=limit, below=rows[-1].key))
    assert [row.key for row in older] == sorted(opened, reverse=True)[limit : 2 * limit]


def listed_rows(path: Path, wanted: CallFilter) -> list[CallRow]:
    with JournalReader(path) as reader:
        return reader.list_calls(wanted)


def test_a_call_is_shown_with_its_entries(path: Path) -> None:
    link = Link()
    asked = [open_entry(1, "Chat", unary=False), message_entry(1, 1, b"x" * 300)]
    answered = [message_entry(1, 0), close_entry(1, index=1)]
    records = [link.sent(*asked), link.received(*answered), link.sent(half_close_entry(1, 2))]
    write(path, records)
    with JournalReader(path) as reader:
        (detail,) = reader.show_call(call_id(1))
        assert reader.show_call(call_id(2)) == []
    call, entries = detail.call, detail.entries
    assert (call.consumer, call.provider, call.method) == (CONSUMER, PROVIDER, "Chat")
    assert (call.agreement, call.purpose, call.peer) == (AGREEMENT, "tourism", PEER)
    assert (call.link_id, call.status, call.outcome) == (link.link_id, 0, Outcome.CLOSED)
    assert (call.request_bytes, call.response_bytes) == (512, 512)
    kinds = ["open", "message", "message", "close", "half_close"]
    assert [entry.kind for entry in entries] == kinds
    assert [entry.idx for entry in entries] == [0, 0, 1, 1, 2]
    assert [entry.number for entry in entries] == [0, 0, 0, 0, 1]
    assert entries[2].direction is Direction.RECEIVED
    assert (entries[0].member, entries[2].member) == (MY_MEMBER, PEER_MEMBER)
    assert entries[1].entry == asked[1].entry
    assert entries[1].header_hash == records[0].header_hash


def test_the_sizes_of_a_providers_call_are_the_right_way_round(path: Path) -> None:
    link = Link()
    asked = open_entry(1)
    write(path, [link.received(asked), link.sent(message_entry(1, 0, b"x" * 1000))])
    with JournalReader(path) as reader:
        (call,) = reader.list_calls(CallFilter())
    assert (call.role, call.request_bytes, call.response_bytes) == (Role.PROVIDER, 256, 1024)


def test_a_journal_that_is_not_there_is_said_and_not_made(path: Path) -> None:
    with pytest.raises(SimpulError) as caught:
        JournalReader(path)
    assert caught.value.code is Code.NOT_FOUND
    assert not path.exists()


def test_a_journal_of_another_version_is_refused(many: Path) -> None:
    tamper(many, ("UPDATE alembic_version SET version_num = ?", ("0000",)))
    with pytest.raises(SimpulError) as caught:
        JournalReader(many)
    assert caught.value.code is Code.CONFIG_INVALID


def test_nothing_can_be_written_through_it(many: Path) -> None:
    journal = ReadOnly(many)
    with pytest.raises(SimpulError, match="read-only"), journal.snapshot() as connection:
        connection.exec_driver_sql("DELETE FROM calls")
    journal.close()


def test_a_path_with_odd_characters_opens(path: Path) -> None:
    odd = path.with_name("jurnal #1 100%?.db")
    write(odd, unary_call(Link(), 1))
    assert len(listed(odd, CallFilter())) == 1


def test_a_killed_nodes_journal_is_readable(path: Path) -> None:
    store = SqliteJournalStore.open(path)
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=1)
    # As kill -9 leaves it: the log is there, and nothing was written back.
    store.append(lease, head, [Append(tuple(unary_call(Link(), 1)))], now_ms=NOW_MS)
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    assert len(listed(copy, CallFilter())) == 1
    store.close()


def test_a_value_of_a_wrong_kind_is_corruption_and_no_traceback(many: Path) -> None:
    tamper(many, ("UPDATE names SET text = ? WHERE text = ?", ("zz", AGREEMENT.hex())))
    with pytest.raises(SimpulError) as caught:
        listed(many, replace(CallFilter(), limit=5))
    assert caught.value.code is Code.JOURNAL_CORRUPT


def test_the_calls_that_were_answered_here_are_told_the_oldest_first(path: Path) -> None:
    ours, theirs = Link("ours"), Link("theirs")
    write(path, unary_call(ours, 1))
    answered = [[theirs.received(open_entry(call))] for call in (2, 3, 4)]
    write(path, *answered, [theirs.sent(refuse_entry(3))])
    with JournalReader(path) as reader:
        found = reader.answered(since_ms=NOW_MS, limit=10)
        assert found == [(CONSUMER, call_id(call), NOW_MS) for call in (2, 4)]
        assert reader.answered(since_ms=NOW_MS, limit=1) == found[1:]
        assert reader.answered(since_ms=NOW_MS + 1, limit=10) == []


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (CallFilter(status=7), "calls_status"),
        (CallFilter(code="ACCESS_NO_AGREEMENT"), "calls_code"),
        (CallFilter(outcome=Outcome.REFUSED), "calls_outcome"),
        (CallFilter(outcome=Outcome.LOST), "calls_outcome"),
        (CallFilter(outcome=Outcome.OPEN), "calls_open"),
        (CallFilter(call_id=call_id(1)), "calls_call_id"),
        (CallFilter(gather_id=bytes(16)), "calls_gather"),
        (CallFilter(since_ms=NOW_MS), "calls_opened"),
        (CallFilter(consumer=CONSUMER, status=7), "calls_status"),
        (CallFilter(peer=PEER, call_id=call_id(1)), "calls_call_id"),
        (CallFilter(role=Role.PROVIDER, outcome=Outcome.LOST), "calls_outcome"),
    ],
)
def test_a_filter_is_served_by_its_index(many: Path, wanted: CallFilter, index: str) -> None:
    first = planned(many, wanted)[0].split(" / ")[0]
    assert f"USING INDEX {index} " in f"{first} "


@pytest.mark.parametrize(
    "wanted",
    [
        CallFilter(peer=PEER),
        CallFilter(role=Role.PROVIDER),
        CallFilter(consumer=CONSUMER, status=0),
        CallFilter(peer=PEER, outcome=Outcome.CLOSED, since_ms=NOW_MS),
        CallFilter(method="Get", status=5),
        CallFilter(role=Role.CONSUMER, outcome=Outcome.OPEN),
    ],
)
def test_what_few_calls_have_is_not_looked_for_in_all(many: Path, wanted: CallFilter) -> None:
    plans = planned(many, wanted)
    assert len(plans) > 0
    for plan in plans:
        steps = plan.split(" / ")
        assert "SCAN calls" not in steps
        assert "USING INDEX calls_opened" not in plan


def planned(path: Path, wanted: CallFilter) -> list[str]:
    """How SQLite goes about each query for calls that a list makes."""
    asked: list[tuple[str, Any]] = []
    with JournalReader(path) as reader:
        engine = reader._journal._engine
        event.listen(
            engine, "before_cursor_execute", lambda *said: asked.append((said[2], said[3]))
        )
        reader.list_calls(wanted)
        with reader._journal.snapshot() as connection:
            return [
                " / ".join(
                    row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)
                )
                for sql, given in list(asked)
                if "FROM calls " in " ".join(sql.split())
            ]
