"""What PostgreSQL has beyond the contract: durable settings, lost connections, several writers."""

import inspect
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import psycopg
import pytest

from node.journal.model import CallFilter, CallNote
from node.journal.place import PostgresPlace, parse_place
from node.journal.postgres import connector
from node.journal.postgres_store import PostgresJournalStore
from node.journal.reader import JournalReader
from node.journal.store import Append, Lease
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.merkle import Frontier
from tests.support.postgres import new_database, server
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, open_entry, unary_call
from tests.unit.node.journal.support import write

LEASE_MS = 10_000


@pytest.fixture
def place() -> PostgresPlace:
    return new_database()


def take(store: PostgresJournalStore, slot: int = 0) -> tuple[Lease, Frontier]:
    return store.take(slot, f"holder of {slot}", now_ms=NOW_MS, lease_ms=LEASE_MS)


def run(place: PostgresPlace, sql: str, *values: object) -> list[Any]:
    with psycopg.connect(place.url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode(), values)
        return [] if cursor.description is None else cursor.fetchall()


class Cutting(psycopg.Connection[Any]):
    """A connection that is cut at its next commit: before it reaches the server, or after."""

    cuts: list[str]

    def commit(self) -> None:
        cut = self.cuts.pop(0) if self.cuts else ""
        if cut == "after":
            super().commit()
        if cut:
            self.close()
            raise psycopg.OperationalError("the connection is lost")
        super().commit()


@contextmanager
def cutting(place: PostgresPlace) -> Iterator[tuple[PostgresJournalStore, list[str]]]:
    """A store, and where its next commits are cut: "before", "after", or "" for not at all."""
    cuts: list[str] = []

    def connect() -> Cutting:
        made = Cutting.connect(place.url)
        made.cuts = cuts
        return made

    store = PostgresJournalStore.open(place, connect=connect, waits_s=(0.0, 0.0))
    try:
        yield store, cuts
    finally:
        store.close()


class TestDurableSettings:
    @pytest.mark.parametrize(
        ("setting", "value"),
        [
            ("synchronous_commit", "off"),
            ("synchronous_commit", "local"),
            ("synchronous_commit", "remote_write"),
        ],
    )
    def test_weak_commits_are_refused(self, place: PostgresPlace, setting: str, value: str) -> None:
        run(
            place, f"ALTER DATABASE {place.url.split('/')[3].split('?')[0]} SET {setting} = {value}"
        )
        with pytest.raises(SimpulError, match=f"{setting} is {value}") as caught:
            PostgresJournalStore.open(place)
        assert caught.value.code is Code.CONFIG_INVALID

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
    def test_a_server_that_may_lose_its_log_is_refused(
        self, place: PostgresPlace, setting: str
    ) -> None:
        try:
            run(place, f"ALTER SYSTEM SET {setting} = off")
            run(place, "SELECT pg_reload_conf()")
            wait_for(place, f"SHOW {setting}", "off")
            with pytest.raises(SimpulError, match=f"{setting} is off") as caught:
                PostgresJournalStore.open(place)
            assert caught.value.code is Code.CONFIG_INVALID
        finally:
            run(place, f"ALTER SYSTEM RESET {setting}")
            run(place, "SELECT pg_reload_conf()")
            wait_for(place, f"SHOW {setting}", "on")

    def test_replicas_without_a_synchronous_one_are_refused(
        self, place: PostgresPlace, tmp_path: Path
    ) -> None:
        with replica(tmp_path) as name:
            wait_for(place, "SELECT count(*) FROM pg_stat_replication", 1)
            with pytest.raises(SimpulError, match="none is synchronous") as caught:
                PostgresJournalStore.open(place)
            assert caught.value.code is Code.CONFIG_INVALID
            run(place, f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
            try:
                run(place, "SELECT pg_reload_conf()")
                wait_for(place, "SELECT current_setting('synchronous_standby_names')", name)
                write(place, unary_call(Link(), 1))
            finally:
                run(place, "ALTER SYSTEM RESET synchronous_standby_names")
                run(place, "SELECT pg_reload_conf()")
                wait_for(place, "SELECT current_setting('synchronous_standby_names')", "")
        assert verify(place).parcels == 2

    def test_a_server_that_is_not_there_is_said(self) -> None:
        nowhere = PostgresPlace("postgresql://postgres@127.0.0.1:1/nothing")
        with pytest.raises(SimpulError, match="doesn't answer") as caught:
            PostgresJournalStore.open(nowhere)
        assert caught.value.code is Code.JOURNAL_FAILED


@contextmanager
def replica(folder: Path) -> Iterator[str]:
    """Something that streams the server's log, durably; yields its name."""
    folder.chmod(0o755)
    found = server()
    program = Path(inspect.getfile(type(found))).parent / "pginstall18" / "bin" / "pg_receivewal"
    name = "a_replica"
    uri = f"host={found.pgdata} user=postgres application_name={name}"
    streaming = subprocess.Popen(
        [program, "--dbname", uri, "--directory", folder, "--synchronous", "--no-loop"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield name
    finally:
        streaming.terminate()
        streaming.wait(10)


def wait_for(place: PostgresPlace, sql: str, wanted: object) -> None:
    for _ in range(500):
        # Each look is by a new process of the server's, which reads the new settings.
        if run(place, sql) == [(wanted,)]:
            return
    pytest.fail(f"{sql} isn't {wanted}")


class TestALostConnection:
    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_a_commit_that_nobody_answered_is_looked_for(
        self, place: PostgresPlace, cut: str
    ) -> None:
        with cutting(place) as (store, cuts):
            link = Link()
            lease, head = take(store)
            head = store.append(
                lease, head, [Append(tuple(unary_call(link, 1)))], now_ms=NOW_MS
            ).head
            cuts.append(cut)
            group = [Append(tuple(unary_call(link, call)), (refused(call),)) for call in (2, 3)]
            done = store.append(lease, head, group, now_ms=NOW_MS)
            assert (done.head.size, done.refused) == (6, {})
            # It goes on as if nothing had been.
            done = store.append(
                lease, done.head, [Append(tuple(unary_call(link, 4)))], now_ms=NOW_MS
            )
            store.release(lease)
        assert verify(place).problems == ()
        with JournalReader(place) as reader:
            rows = reader.list_calls(CallFilter())
        # Four calls that parcels carried, and two notes; none twice.
        assert len({row.key for row in rows}) == len(rows) == 6

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_a_group_of_notes_alone_is_there_once(self, place: PostgresPlace, cut: str) -> None:
        with cutting(place) as (store, cuts):
            lease, head = take(store)
            cuts.append(cut)
            store.append(lease, head, [Append((), (refused(1),))], now_ms=NOW_MS)
        assert run(place, "SELECT count(*) FROM calls") == [(1,)]

    @pytest.mark.parametrize("cut", ["before", "after"])
    def test_another_parcel_in_its_place_is_refused_all_the_same(
        self, place: PostgresPlace, cut: str
    ) -> None:
        with cutting(place) as (store, cuts):
            lease, head = take(store)
            first = Append((Link().sent(open_entry(1)),))
            head = store.append(lease, head, [first], now_ms=NOW_MS).head
            # The first try meets the key before it commits anything; the second one is cut.
            cuts.append(cut)
            group = [
                Append((Link().sent(open_entry(2)),)),
                Append((Link("x").sent(open_entry(3)),)),
            ]
            done = store.append(lease, head, group, now_ms=NOW_MS)
            assert {place: error.code for place, error in done.refused.items()} == {
                0: Code.CONFLICT
            }
            assert done.head.size == 2

    def test_a_holder_that_was_overtaken_meanwhile_stops(self, place: PostgresPlace) -> None:
        with cutting(place) as (store, cuts):
            lease, head = take(store)
            other = PostgresJournalStore.open(place)
            other.take(0, "quick", now_ms=NOW_MS + LEASE_MS, lease_ms=LEASE_MS)
            other.close()
            cuts.append("before")
            with pytest.raises(SimpulError, match="quick") as caught:
                store.append(lease, head, [Append((Link().sent(),))], now_ms=NOW_MS)
            assert caught.value.code is Code.JOURNAL_LOCKED

    def test_a_database_that_went_back_is_noticed(self, place: PostgresPlace) -> None:
        with cutting(place) as (store, cuts):
            link = Link()
            lease, head = take(store)
            head = store.append(lease, head, [Append((link.sent(),))], now_ms=NOW_MS).head
            # As after a fail-over to a replica that lacked the last commit.
            run(place, "UPDATE slots SET size = 0, frontier = %s", Frontier().to_bytes())
            run(place, "DELETE FROM parcels")
            cuts.append("before")
            with pytest.raises(SimpulError) as caught:
                store.append(lease, head, [Append((link.sent(),))], now_ms=NOW_MS)
            assert caught.value.code is Code.JOURNAL_CORRUPT

    def test_sessions_that_the_server_ends_are_begun_again(self, place: PostgresPlace) -> None:
        store, link = PostgresJournalStore.open(place, waits_s=(0.0, 0.1)), Link()
        lease, head = take(store)
        for call in range(3):
            run(
                place,
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE application_name = 'simpul-journal' AND datname = current_database()",
            )
            head = store.append(
                lease, head, [Append(tuple(unary_call(link, call)))], now_ms=NOW_MS
            ).head
        store.renew(lease, now_ms=NOW_MS)
        store.close()
        assert head.size == 6
        assert verify(place).problems == ()

    def test_a_server_that_stays_away_fails_the_journal(self, place: PostgresPlace) -> None:
        attempts: list[int] = []

        def connect() -> "psycopg.Connection[Any]":
            if len(attempts) > 0:
                attempts.append(1)
                raise psycopg.OperationalError("no route")
            return connector(place)()

        store = PostgresJournalStore.open(place, connect=connect, waits_s=(0.0, 0.0, 0.0))
        lease, head = take(store)
        attempts.append(1)
        run(
            place,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE application_name = 'simpul-journal' AND datname = current_database()",
        )
        with pytest.raises(SimpulError, match="doesn't answer") as caught:
            store.append(lease, head, [Append((Link().sent(),))], now_ms=NOW_MS)
        assert caught.value.code is Code.JOURNAL_FAILED
        assert len(attempts) == 4
        store.close()


class TestSeveralWriters:
    def test_slots_write_at_the_same_time_and_share_what_is_new(self, place: PostgresPlace) -> None:
        PostgresJournalStore.open(place).close()
        begin, errors = Barrier(4), []

        def work(slot: int) -> None:
            store = PostgresJournalStore.open(place)
            lease, head = take(store, slot)
            begin.wait(10)
            try:
                for call in range(20):
                    # Each name is new to all at the same moment, in another order for each.
                    names = [f"Method{call}", f"Other{call}"][:: 1 if slot % 2 else -1]
                    link = Link(f"slot {slot}, {call}", peer=f"ID/~peer-{call}")
                    number = 1000 * slot + 2 * call
                    records = tuple(
                        link.sent(open_entry(number + place, name))
                        for place, name in enumerate(names)
                    )
                    head = store.append(lease, head, [Append(records)], now_ms=NOW_MS).head
            except SimpulError as error:
                errors.append(error)
            store.release(lease)
            store.close()

        threads = [Thread(target=work, args=(slot,)) for slot in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        report = verify(place)
        assert report.problems == ()
        assert [slot.size for slot in report.slots] == [40] * 4
        # Two methods and a peer for each of 20 rounds, and six that all calls of the tests have.
        assert run(place, "SELECT count(*), count(DISTINCT text) FROM names") == [(66, 66)]
        assert run(place, "SELECT count(*), count(DISTINCT id) FROM calls") == [(160, 160)]

    def test_of_many_who_take_a_new_slot_at_once_one_has_it(self, place: PostgresPlace) -> None:
        stores = [PostgresJournalStore.open(place) for _ in range(4)]
        begin, taken = Barrier(4), []

        def work(store: PostgresJournalStore) -> None:
            begin.wait(10)
            with suppress(SimpulError):
                taken.append(take(store)[0].fencing)

        threads = [Thread(target=work, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()
        assert taken == [1]

    def test_many_may_open_a_new_database_at_once(self, place: PostgresPlace) -> None:
        errors: list[Exception] = []

        def work() -> None:
            try:
                PostgresJournalStore.open(place).close()
            except Exception as error:  # noqa: BLE001
                errors.append(error)

        threads = [Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []


def test_listing_showing_and_verifying(place: PostgresPlace) -> None:
    write(place, unary_call(Link(), 1), unary_call(Link("two"), 2, status=5))
    report = verify(place)
    assert (report.ok, report.parcels, report.calls) == (True, 4, 2)
    with JournalReader(place) as reader:
        (failed,) = reader.list_calls(CallFilter(status=5, method="Get"))
        (shown,) = reader.show_call(call_id(2))
    assert failed.call_id == call_id(2)
    assert [entry.kind for entry in shown.entries] == ["open", "close"]
    assert shown.call.request_bytes == 256


def test_a_changed_record_is_found(place: PostgresPlace) -> None:
    write(place, unary_call(Link(), 1))
    run(place, "UPDATE parcels SET seal = %s WHERE idx = 1", b"\0")
    assert {problem.step for problem in verify(place).problems} == {4, 5}


def test_a_database_without_a_journal_is_said(place: PostgresPlace) -> None:
    with pytest.raises(SimpulError) as caught:
        verify(place)
    assert caught.value.code is Code.NOT_FOUND


def test_reading_writes_nothing(place: PostgresPlace) -> None:
    write(place, unary_call(Link(), 1))
    with JournalReader(place) as reader, reader._journal.snapshot() as connection:
        assert connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on"


def test_the_server_of_the_tests_is_a_real_one(place: PostgresPlace) -> None:
    assert server().get_pid() is not None
    assert parse_place(place.url, server().pgdata) == place


def refused(call: int) -> CallNote:
    """A note of a call that our own node refused."""
    return CallNote(
        call_id(call + 500),
        "c",
        "p",
        "s",
        "m",
        None,
        None,
        7,
        "ACCESS_NO_AGREEMENT",
        NOW_MS,
    )
