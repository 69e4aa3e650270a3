"""The contract of node.journal.kept.store, on SQLite and on PostgreSQL."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import ErasureOrder, Notice, Reason, Settled, State
from node.journal.kept.reader import KeptReader
from node.journal.kept.sql_store import MAX_CALL_MS, SqlKeptStore
from node.journal.kept.store import KeptStore
from node.journal.model import CallFilter, LinkEnd
from node.journal.place import Place
from node.journal.reader import JournalReader
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.persons import PersonKind
from tests.unit.node.journal.builder import (
    CONSUMER,
    ME,
    MY_MEMBER,
    NOW_MS,
    PEER,
    PEER_MEMBER,
    PROVIDER,
    Link,
    call_id,
    open_entry,
    unary_call,
)
from tests.unit.node.journal.kept.support import (
    KEYS,
    NIK,
    answer,
    keep,
    kept_call,
    late_of,
    question,
    secret,
    without_payload,
)

LATER_MS = NOW_MS + 1000


@pytest.fixture
def store(place: Place) -> KeptStore:
    return SqlKeptStore.open(place)


def order(number: int) -> ErasureOrder:
    return ErasureOrder(call_id(number), "siti", Reason.SUBJECT_REQUEST)


def states(place: Place, number: int) -> list[State | None]:
    with KeptReader(place, KEYS) as reader:
        return [
            None if entry.payload is None else entry.payload.state
            for entry in reader.of_call(call_id(number))
        ]


def found(place: Place) -> list[bytes]:
    wanted = CallFilter(persons=(KEYS.tags(PersonKind.SUBJECT, NIK),))
    with JournalReader(place) as reader:
        return [row.call_id for row in reader.list_calls(wanted)]


def refused(store: KeptStore, number: int, now_ms: int = LATER_MS) -> Code:
    with pytest.raises(SimpulError) as caught:
        store.erase(order(number), now_ms=now_ms)
    return caught.value.code


def heard(number: int = 1, member: str = PEER_MEMBER) -> Notice:
    return Notice(
        call_id(number), member, NOW_MS, str(Reason.CONSENT_WITHDRAWN), LATER_MS, None, Settled.OPEN
    )


class TestErasing:
    def test_it_erases_that_call_and_no_other(self, place: Place, store: KeptStore) -> None:
        link = Link()
        keep(place, *(kept_call(link, number) for number in (1, 2, 3)))
        root = verify(place).slots
        done = store.erase(order(2), now_ms=LATER_MS)
        assert (done.entries, done.at_ms, done.again) == (2, LATER_MS, False)
        assert states(place, 2) == [State.ERASED, State.ERASED]
        assert states(place, 1) == states(place, 3) == [State.KEPT, State.KEPT]
        assert found(place) == [call_id(3), call_id(1)]
        report = verify(place)
        assert (report.ok, report.erased, report.slots) == (True, 2, root)

    def test_a_call_that_shares_a_parcel_is_erased_alone(
        self, place: Place, store: KeptStore
    ) -> None:
        link = Link()
        asked = replace(link.sent(question(1), question(2)), kept=(0, 1))
        told = replace(link.received(answer(2), answer(1)), kept=(0, 1))
        keep(place, [asked, told])
        store.erase(order(1), now_ms=LATER_MS)
        assert states(place, 1) == [State.ERASED, State.ERASED]
        assert states(place, 2) == [State.KEPT, State.KEPT]
        with KeptReader(place, KEYS) as reader:
            salts = [entry.payload and entry.payload.salt for entry in reader.of_call(call_id(2))]
        assert salts == [asked.entries[1].payload_salt, told.entries[0].payload_salt]
        assert (verify(place).ok, verify(place).erased) == (True, 2)

    def test_salts_go_where_nothing_else_was_kept(self, place: Place, store: KeptStore) -> None:
        keep(place, unary_call(Link(), 1))
        assert states(place, 1) == [State.NOT_KEPT, State.NOT_KEPT]
        store.erase(order(1), now_ms=LATER_MS)
        assert states(place, 1) == [State.ERASED, State.ERASED]

    def test_a_payload_that_comes_after_its_erasure_is_not_kept(
        self, place: Place, store: KeptStore
    ) -> None:
        asked, told = kept_call(Link(), 1)
        keep(place, [asked, without_payload(told)])
        store.erase(order(1), now_ms=LATER_MS)
        keep(place, late=[late_of(told)])
        assert states(place, 1) == [State.ERASED, State.ERASED]

    def test_a_call_under_way_is_not_erased(self, place: Place, store: KeptStore) -> None:
        keep(place, [Link().sent(open_entry(1))])
        assert refused(store, 1) is Code.CONFLICT
        assert refused(store, 1, NOW_MS + MAX_CALL_MS - 1) is Code.CONFLICT
        assert states(place, 1) == [State.NOT_KEPT]
        store.erase(order(1), now_ms=NOW_MS + MAX_CALL_MS)
        assert states(place, 1) == [State.ERASED]

    def test_an_unknown_call_is_not_found(self, place: Place, store: KeptStore) -> None:
        keep(place, kept_call(Link(), 1))
        assert refused(store, 7) is Code.NOT_FOUND
        assert store.erasures(limit=10) == []

    def test_again_records_nothing(self, place: Place, store: KeptStore) -> None:
        keep(place, kept_call(Link(), 1))
        store.erase(order(1), now_ms=LATER_MS)
        again = store.erase(order(1), now_ms=LATER_MS + 5)
        assert (again.again, again.at_ms, again.tells) == (True, LATER_MS, ())
        assert len(store.erasures(limit=10)) == 1


class TestGone:
    """A thief of the files after an erasure; on SQLite, where it can be looked for."""

    def secrets_of(self, path: Path, number: int) -> list[bytes]:
        """The wrapped keys, ciphertexts and salts of a call, as they lie in the file."""
        connection = sqlite3.connect(path)
        entries = (
            "(SELECT slot, idx, entry_no FROM call_entries JOIN calls ON calls.id = call "
            "WHERE call_id = ?)"
        )
        queries = (
            f"SELECT wrapped FROM kept_keys NATURAL JOIN {entries}",  # noqa: S608
            f"SELECT substr(data, 1, 64) FROM kept_parts NATURAL JOIN {entries}",  # noqa: S608
            # Without the flags: they stay.
            f"SELECT substr(salts, 2) FROM salts NATURAL JOIN {entries}",  # noqa: S608
        )
        found = [
            bytes(value)
            for query in queries
            for (value,) in connection.execute(query, (call_id(number),))
        ]
        connection.close()
        assert len(found) == 2 + 4 + 2
        return found

    def files(self, path: Path) -> bytes:
        return b"".join(file.read_bytes() for file in sorted(path.parent.glob("journal.db*")))

    @pytest.mark.parametrize("slots", [1, 2])
    def test_no_byte_is_left_in_file_and_log(self, path: Path, slots: int) -> None:
        links = [Link(f"link {slot}") for slot in range(slots)]
        for start in range(0, 400, 20):
            for slot, link in enumerate(links):
                numbers = range(slot * 1000 + start, slot * 1000 + start + 20)
                keep(path, *(kept_call(link, number) for number in numbers), slot=slot)
        # Some reader that keeps the log from being cut when the last connection closes.
        reader = sqlite3.connect(path)
        reader.execute("SELECT count(*) FROM calls").fetchone()
        erased = [
            number
            for slot in range(slots)
            for number in range(slot * 1000 + 7, slot * 1000 + 400, 50)
        ]
        secrets = {number: self.secrets_of(path, number) for number in erased}
        kept_secrets = self.secrets_of(path, 8)
        before = self.files(path)
        assert all(each in before for each in (*secrets[7], *kept_secrets))
        store = SqlKeptStore.open(path)
        for number in erased:
            store.erase(order(number), now_ms=LATER_MS)
        assert store.scrub()
        after = self.files(path)
        assert (path.parent / "journal.db-wal").stat().st_size == 0
        left = [number for number in erased for each in secrets[number] if each in after]
        assert left == []
        assert all(each in after for each in kept_secrets)
        reader.close()

    def test_a_reader_in_the_way_is_said(self, path: Path) -> None:
        keep(path, kept_call(Link(), 1))
        store = SqlKeptStore.open(path)
        reader = sqlite3.connect(path)
        reader.isolation_level = None
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        store.erase(order(1), now_ms=LATER_MS)
        assert not store.scrub()
        reader.execute("COMMIT")
        assert store.scrub()
        reader.close()


def test_scrubbing_is_always_allowed(place: Place, store: KeptStore) -> None:
    keep(place, kept_call(Link(), 1))
    assert store.scrub()
    store.erase(order(1), now_ms=LATER_MS)
    assert store.scrub()


class TestTelling:
    def test_the_other_side_is_to_be_told(self, place: Place, store: KeptStore) -> None:
        keep(place, kept_call(Link(), 1))
        assert store.erase(order(1), now_ms=LATER_MS).tells == (PEER,)
        (telling,) = store.due(LATER_MS, limit=10)
        assert (telling.peer, telling.sender, telling.receiver) == (PEER, CONSUMER, PROVIDER)
        assert (telling.call_id, telling.erased_at_ms, telling.reason) == (
            call_id(1), LATER_MS, "subject-request",
        )  # fmt: skip
        assert store.due(LATER_MS - 1, limit=10) == []

    def test_what_failed_waits_and_what_was_told_is_over(
        self, place: Place, store: KeptStore
    ) -> None:
        keep(place, kept_call(Link(), 1))
        store.erase(order(1), now_ms=LATER_MS)
        (telling,) = store.due(LATER_MS, limit=10)
        store.postpone(telling.id, "PEER_UNREACHABLE", LATER_MS + 60_000)
        assert store.due(LATER_MS + 59_999, limit=10) == []
        (again,) = SqlKeptStore.open(place).due(LATER_MS + 60_000, limit=10)
        assert (again.tries, again.code) == (1, "PEER_UNREACHABLE")
        store.told(again.id, now_ms=LATER_MS + 60_001)
        assert store.due(LATER_MS + 99_999_999, limit=10) == []
        (erasure,) = store.erasures(limit=10)
        assert (erasure.by, erasure.reason, erasure.entries) == ("siti", "subject-request", 2)
        assert [each.told_at_ms for each in erasure.tellings] == [LATER_MS + 60_001]

    def test_a_call_within_this_node_is_told_to_nobody(
        self, place: Place, store: KeptStore
    ) -> None:
        here, there = Link("local", peer=ME), Link("local", LinkEnd.ACCEPTOR, peer=ME)
        asked, told = unary_call(here, 1)
        keep(place, [asked, told])
        keep(place, [there.received(*asked.entries), there.sent(*told.entries)])
        done = store.erase(order(1), now_ms=LATER_MS)
        assert (done.entries, done.tells) == (4, ())
        assert store.due(LATER_MS, limit=10) == []


class TestHearing:
    def test_a_notice_is_open_until_the_call_is_erased(
        self, place: Place, store: KeptStore
    ) -> None:
        keep(place, kept_call(Link(), 1))
        assert store.hear(heard()).settled is Settled.OPEN
        assert store.hear(replace(heard(), heard_at_ms=LATER_MS + 9)).heard_at_ms == LATER_MS
        assert [notice.call_id for notice in store.notices(only_open=True, limit=9)] == [call_id(1)]
        assert states(place, 1) == [State.KEPT, State.KEPT]
        store.erase(order(1), now_ms=LATER_MS + 10)
        assert store.notices(only_open=True, limit=9) == []
        (notice,) = store.notices(only_open=False, limit=9)
        assert (notice.settled, notice.settled_at_ms) == (Settled.ERASED, LATER_MS + 10)

    def test_a_notice_of_what_is_erased_here_is_settled_at_once(
        self, place: Place, store: KeptStore
    ) -> None:
        keep(place, kept_call(Link(), 1))
        store.erase(order(1), now_ms=NOW_MS + 1)
        notice = store.hear(heard())
        assert (notice.settled, notice.settled_at_ms) == (Settled.ERASED, LATER_MS)

    @pytest.mark.parametrize("member", ["ID/DAERAH/53.1", "ID/DAERAH/99.99", MY_MEMBER, ""])
    def test_who_is_no_party_is_not_heard(
        self, place: Place, store: KeptStore, member: str
    ) -> None:
        keep(place, kept_call(Link(), 1))
        with pytest.raises(SimpulError) as caught:
            store.hear(heard(member=member))
        assert caught.value.code is Code.NOT_FOUND
        with pytest.raises(SimpulError):
            store.hear(heard(2))
        assert store.notices(only_open=False, limit=9) == []

    def test_an_operator_may_set_a_notice_aside(self, place: Place, store: KeptStore) -> None:
        keep(place, kept_call(Link(), 1))
        store.hear(heard())
        assert store.settle(call_id(1), Settled.DECLINED, now_ms=LATER_MS) == 1
        assert store.settle(call_id(1), Settled.DECLINED, now_ms=LATER_MS) == 0
        (notice,) = store.notices(only_open=False, limit=9)
        assert notice.settled is Settled.DECLINED
        assert states(place, 1) == [State.KEPT, State.KEPT]


class TestRewrapping:
    BOTH = replace(KEYS, wrapping=(*KEYS.wrapping, secret("wrap-2")))
    NEW = replace(KEYS, wrapping=(secret("wrap-2"),))

    def test_everything_opens_with_the_new_key_alone(self, place: Place, store: KeptStore) -> None:
        link = Link()
        keep(place, *(kept_call(link, number) for number in range(5)))
        assert store.wrapped_otherwise(self.BOTH) == 10
        done = []
        while count := store.rewrap(self.BOTH, limit=4):
            done.append(count)
        assert done == [4, 4, 2]
        assert store.wrapped_otherwise(self.BOTH) == 0
        with KeptReader(place, self.NEW) as reader:
            for number in range(5):
                asked, told = reader.of_call(call_id(number))
                assert asked.payload is not None
                assert asked.payload.data == f"question {number}".encode()
                assert told.private is not None
                assert told.private.state is State.KEPT
        assert found(place) == [call_id(number) for number in (4, 3, 2, 1, 0)]

    def test_a_key_that_is_gone_is_named(self, place: Place, store: KeptStore) -> None:
        keep(place, kept_call(Link(), 1))
        with pytest.raises(SimpulError) as caught:
            store.rewrap(self.NEW, limit=10)
        assert caught.value.code is Code.KEY_UNKNOWN
        assert KEYS.newest.id.hex() in caught.value.message

    def test_without_any_key_nothing_is_done(self, store: KeptStore) -> None:
        with pytest.raises(SimpulError) as caught:
            store.rewrap(KeptKeys((), ()), limit=10)
        assert caught.value.code is Code.KEY_UNKNOWN
