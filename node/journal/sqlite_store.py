"""The storage contract on SQLite: one file, write-ahead log, `synchronous=FULL`.

A commit is one fsync of the log. The log is written back into the database by `tidy`, between
groups and never within one: SQLite's own automatic checkpoint would do it inside a commit and
swallow a failed fsync. Readers never hold it up for long, because they read in short transactions.

Needs a local disk: on a network share the locks, and with them the log's order, can't be trusted.

Source: node.journal.store, which is the contract; sqlite.org, "Write-Ahead Logging".
"""

import errno
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, StaticPool

from node.journal.kept.keys import Keys
from node.journal.schema import migrate
from node.journal.slots import SlotLock
from node.journal.sql_store import SqlJournalStore
from node.journal.store import Append, Appended, Lease
from runtime.files import PRIVATE_MODE, sync_folder
from security.errors import Code, SimpulError
from security.merkle import Frontier

# Another slot's commit is waited for; a disk that takes longer than this is failing.
BUSY_TIMEOUT_MS: Final = 30_000
# As much of the log as is worth writing back at once, and what a commit and an entry add to it:
# about one page for each index touched, and the rows. An estimate, because the driver doesn't say.
LOG_LIMIT_BYTES: Final = 8 * 1024 * 1024
COMMIT_BYTES: Final = 48 * 1024
ENTRY_BYTES: Final = 1024
# Past this a log that grew behind a slow reader is cut again.
LOG_KEEP_BYTES: Final = 64 * 1024 * 1024
PRAGMAS: Final = (
    "synchronous=FULL",
    "wal_autocheckpoint=0",
    f"journal_size_limit={LOG_KEEP_BYTES}",
    # macOS: fsync alone leaves the bytes in the drive's cache.
    "fullfsync=ON",
    "checkpoint_fullfsync=ON",
)

_PRIMARY_CODE: Final = 0xFF
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_REASONS: Final = {
    sqlite3.SQLITE_BUSY: "another program keeps it locked",
    sqlite3.SQLITE_READONLY: "it's read-only",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened",
    sqlite3.SQLITE_PERM: "it may not be written",
}


class SqliteJournalStore(SqlJournalStore):
    """See `JournalStore`."""

    def __init__(self, engine: Engine, path: Path, keys: Keys | None = None) -> None:
        super().__init__(engine, str(path), keys)
        self._path = path
        self._locks: dict[Lease, SlotLock] = {}
        self._log_bytes = 0

    @classmethod
    def open(cls, path: Path, keys: Keys | None = None) -> Self:
        """Opens the journal at `path`, made 0600 where it's missing, and brings it up to date.

        `keys` are those by which content is kept; without them none can be.

        Raises:
            SimpulError: JOURNAL_FAILED, JOURNAL_FULL, JOURNAL_CORRUPT (no journal at all), or
                CONFIG_INVALID (of a newer version).
        """
        # One connection for good: it's opened once, and closing the store closes it.
        return cls(open_engine(path, StaticPool), path, keys)

    def append(
        self, lease: Lease, head: Frontier, group: Sequence[Append], *, now_ms: int
    ) -> Appended:
        """See the contract."""
        entries = sum(len(record.entries) for item in group for record in item.records)
        self._log_bytes += COMMIT_BYTES + entries * ENTRY_BYTES
        return super().append(lease, head, group, now_ms=now_ms)

    def tidy(self) -> None:
        """See the contract: writes the log back once it's long enough to be worth it."""
        if self._log_bytes < LOG_LIMIT_BYTES:
            return
        self._log_bytes = 0
        # On the driver's connection: this one would begin a transaction first.
        driver = self._connection.connection.driver_connection
        if driver is None:
            raise SimpulError(Code.JOURNAL_FAILED, f"{self._path} is closed; start again")
        try:
            driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise meaning(self._path, error) from error

    def close(self) -> None:
        """See the contract."""
        super().close()
        for lock in self._locks.values():
            lock.let_go()

    def _holder_is_dead(self, slot: int, fencing: int) -> bool:
        try:
            return SlotLock(self._path, slot, fencing).is_free()
        except OSError as error:
            raise _file_error(self._path, error) from error

    def _hold(self, lease: Lease) -> None:
        lock = SlotLock(self._path, lease.slot, lease.fencing)
        try:
            lock.hold()
            SlotLock(self._path, lease.slot, lease.fencing - 1).remove()
        except OSError as error:
            lock.let_go()
            raise _file_error(self._path, error) from error
        self._locks[lease] = lock

    def _let_go(self, lease: Lease) -> None:
        lock = self._locks.pop(lease, None)
        if lock is not None:
            lock.let_go()

    def _meaning(self, error: BaseException | None) -> SimpulError:
        return meaning(self._path, error)


def open_engine(path: Path, pool: type[Pool]) -> Engine:
    """Returns an engine of the journal at `path`, as `SqliteJournalStore.open` says.

    `pool` says how long a connection lives.
    """
    try:
        new = not path.exists()
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE))
        if new:
            sync_folder(path.parent)
    except OSError as error:
        raise _file_error(path, error) from error
    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=pool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    try:
        migrate(engine, str(path))
    except DBAPIError as error:
        engine.dispose()
        raise meaning(path, error.orig) from error
    except BaseException:
        engine.dispose()
        raise
    return engine


def meaning(path: Path, error: BaseException | None) -> SimpulError:
    """Returns what an error of SQLite's driver means by the contract."""
    code = getattr(error, "sqlite_errorcode", None)
    primary = None if code is None else code & _PRIMARY_CODE
    if primary == sqlite3.SQLITE_FULL:
        return _full(path)
    if primary in _CORRUPT:
        return SimpulError(
            Code.JOURNAL_CORRUPT,
            f"{path} is damaged or no journal: restore it from a backup",
            path=str(path),
        )
    reason = _REASONS.get(primary or 0, "the database failed")
    return _failed(path, reason)


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver would otherwise begin transactions itself, late and without the write lock.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
        # Heard in a new file only: what is dropped later can then be given back to the system.
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise SimpulError(
            Code.JOURNAL_FAILED, "the journal's disk allows no write-ahead log: use a local disk"
        )
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # Past SQLAlchemy, in which it would cost as much as the rows of a small group.
    cursor = connection.connection.cursor()
    cursor.execute("BEGIN IMMEDIATE")
    cursor.close()


def _file_error(path: Path, error: OSError) -> SimpulError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(path)
    return _failed(path, (error.strerror or "unknown error").lower())


def _full(path: Path) -> SimpulError:
    return SimpulError(
        Code.JOURNAL_FULL,
        f"no room for {path}: free some space on its disk; nothing recorded is lost",
        path=str(path),
    )


def _failed(path: Path, reason: str) -> SimpulError:
    return SimpulError(
        Code.JOURNAL_FAILED,
        f"{path} can't be written ({reason}): mend that, and start the node again",
        path=str(path),
    )
