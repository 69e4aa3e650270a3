import subprocess
import sys
from pathlib import Path

import pytest

from node.journal.sqlite_store import LOG_LIMIT_BYTES, SqliteJournalStore
from node.journal.store import Append, JournalStore, Lease
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.merkle import Frontier
from tests.unit.node.journal.builder import NOW_MS, Link, open_entry, unary_call
from tests.unit.node.journal.support import read, tamper, write

LEASE_MS = 10_000


def take(store: JournalStore) -> tuple[Lease, Frontier]:
    return store.take(0, "test", now_ms=NOW_MS, lease_ms=LEASE_MS)


def pragma(store: SqliteJournalStore, name: str) -> object:
    driver = store._connection.connection.driver_connection
    assert driver is not None
    return driver.execute(f"PRAGMA {name}").fetchone()[0]


def test_a_commit_is_synced_and_the_log_is_written_back_by_us_alone(path: Path) -> None:
    store = SqliteJournalStore.open(path)
    found = {name: pragma(store, name) for name in ("journal_mode", "synchronous")}
    assert found == {"journal_mode": "wal", "synchronous": 2}
    assert pragma(store, "wal_autocheckpoint") == 0
    store.close()


def test_the_file_is_its_owners_alone(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_is_written_back_when_it_is_long(path: Path) -> None:
    store, link = SqliteJournalStore.open(path), Link()
    lease, head = take(store)
    log = path.with_name("journal.db-wal")
    for call in range(2 * LOG_LIMIT_BYTES // (48 * 1024)):
        group = [Append(tuple(unary_call(link, call)))]
        head = store.append(lease, head, group, now_ms=NOW_MS).head
        store.tidy()
    # It was begun anew at least once: it's shorter than all that was written to it.
    assert log.stat().st_size < 1.5 * LOG_LIMIT_BYTES
    assert path.stat().st_size > 100_000
    store.close()


def test_a_full_disk_refuses_the_group_and_a_later_one_succeeds(path: Path) -> None:
    store, link = SqliteJournalStore.open(path), Link()
    lease, head = take(store)
    head = store.append(lease, head, [Append(tuple(unary_call(link, 1)))], now_ms=NOW_MS).head
    pragma(store, f"max_page_count={pragma(store, 'page_count')}")
    group = [Append(tuple(unary_call(Link(f"{n}"), n))) for n in range(100)]
    with pytest.raises(SimpulError) as caught:
        store.append(lease, head, group, now_ms=NOW_MS)
    assert caught.value.code is Code.JOURNAL_FULL
    pragma(store, "max_page_count=1000000")
    done = store.append(lease, head, group, now_ms=NOW_MS)
    assert done.head.size == 202
    store.close()
    report = verify(path)
    assert (report.ok, report.parcels) == (True, 202)


# A file that may not grow fails a write as a broken disk does: EFBIG, which SQLite reports as I/O
# error. It holds for the whole process, so it's one of its own.
FAILING_DISK = """
import resource, sys
from pathlib import Path
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append
from security.errors import SimpulError
from tests.unit.node.journal.builder import NOW_MS, Link, unary_call
store = SqliteJournalStore.open(Path(sys.argv[1]))
lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
link = Link()
head = store.append(lease, head, [Append(tuple(unary_call(link, 1)))], now_ms=NOW_MS).head
size = Path(sys.argv[1] + "-wal").stat().st_size + 10_000
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    store.append(lease, head, [Append(tuple(unary_call(link, 2)))], now_ms=NOW_MS)
except SimpulError as error:
    print(error.code, error.message)
"""


def test_a_failing_disk_is_told_from_a_full_one_and_what_was_recorded_stays(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING_DISK, path],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.startswith("JOURNAL_FAILED ")
    assert "the disk failed" in done.stdout
    report = verify(path)
    assert (report.ok, report.parcels) == (True, 2)


@pytest.mark.parametrize("content", [b"not a database" * 100, bytes(4096) + b"x"])
def test_what_is_no_journal_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(SimpulError) as caught:
        SqliteJournalStore.open(path)
    assert caught.value.code is Code.JOURNAL_CORRUPT


def test_a_folder_that_is_missing_is_said(path: Path) -> None:
    with pytest.raises(SimpulError, match="no such file or directory") as caught:
        SqliteJournalStore.open(path / "nowhere" / "journal.db")
    assert caught.value.code is Code.JOURNAL_FAILED


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE slots SET size = size + 1",
        "UPDATE slots SET frontier = x'00'",
        "DELETE FROM parcels WHERE idx = 1",
    ],
)
def test_a_slot_that_contradicts_its_parcels_is_not_taken(path: Path, change: str) -> None:
    write(path, unary_call(Link(), 1))
    tamper(path, (change, ()))
    store = SqliteJournalStore.open(path)
    with pytest.raises(SimpulError) as caught:
        take(store)
    assert caught.value.code is Code.JOURNAL_CORRUPT
    store.close()


def test_a_row_where_the_next_leaf_belongs_is_corruption(path: Path) -> None:
    store, link = SqliteJournalStore.open(path), Link()
    lease, head = take(store)
    head = store.append(lease, head, [Append((link.sent(open_entry(1)),))], now_ms=NOW_MS).head
    tamper(path, ("UPDATE parcels SET idx = 1", ()))
    with pytest.raises(SimpulError) as caught:
        store.append(lease, head, [Append((link.sent(open_entry(2)),))], now_ms=NOW_MS)
    assert caught.value.code is Code.JOURNAL_CORRUPT
    store.close()


# Takes the slot, says so, and waits to be killed.
HOLDER = """
import sys, time
from pathlib import Path
from node.journal.sqlite_store import SqliteJournalStore
store = SqliteJournalStore.open(Path(sys.argv[1]))
store.take(0, "the other process", now_ms=int(sys.argv[2]), lease_ms=10_000)
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_holder_is_replaced_at_once_and_a_living_one_is_not(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path, str(NOW_MS)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        store = SqliteJournalStore.open(path)
        with pytest.raises(SimpulError, match="the other process") as caught:
            take(store)
        assert caught.value.code is Code.JOURNAL_LOCKED
        holder.kill()
        holder.wait()
        lease, _ = take(store)
        assert lease.fencing == 2
        store.release(lease)
        store.close()
    finally:
        holder.kill()
        holder.wait()
        holder.communicate()
    assert list(path.parent.iterdir()) == [path]


def test_names_and_links_are_stored_once(path: Path) -> None:
    link = Link()
    write(path, *(unary_call(link, call) for call in range(20)))
    assert read(path, "SELECT count(*) FROM links") == [(1,)]
    # Peer, two members, consumer, provider, service, method, agreement, purpose.
    assert read(path, "SELECT count(*) FROM names") == [(9,)]
