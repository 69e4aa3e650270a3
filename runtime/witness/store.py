"""A witness's memory: for each log, the one checkpoint that it cosigned last. SQLite, one file.

Compare and swap: a newer checkpoint takes the place of exactly the one that it was judged against,
or nothing happens. `swap` returns after fsync, and only then may a cosignature leave.

What its thief can do: nothing with what is here, for it's public. Whoever can put an older file in
its place makes the witness cosign a fork; so it's no place for a restore from a backup: a witness
that lost it gets a new key and a new name.

Source: c2sp.org/tlog-witness, "add-checkpoint".
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.files import PRIVATE_MODE
from security.errors import Code, SimpulError
from security.witness import origin_hash

VERSION: Final = 1
BUSY_TIMEOUT_MS: Final = 5_000

_TABLE: Final = """
CREATE TABLE logs (
    origin_hash TEXT PRIMARY KEY,
    origin TEXT NOT NULL,
    note BLOB NOT NULL
) WITHOUT ROWID, STRICT
"""


class WitnessStore:
    """See the module's text. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Opens the file at `path`, made 0600 where it's missing.

        Raises:
            SimpulError: DATABASE_CORRUPT, DATABASE_FAILED.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._explained():
            path.touch(PRIVATE_MODE)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def latest(self, origin: str) -> bytes | None:
        """Returns the note that was cosigned last, as it was stored; None for none."""
        return self.by_hash(origin_hash(origin))

    def by_hash(self, hashed: str) -> bytes | None:
        """The same, by the hash that it's served under."""
        with self._lock, self._explained():
            row = self._connection.execute(
                "SELECT note FROM logs WHERE origin_hash = ?", (hashed,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def swap(self, origin: str, old: bytes | None, new: bytes) -> None:
        """Puts `new` in the place of `old`, durably.

        Raises:
            SimpulError: CONFLICT: it isn't `old` that is there. DATABASE_FAILED, DATABASE_CORRUPT.
        """
        hashed = origin_hash(origin)
        with self._lock, self._explained():
            if old is None:
                done = self._connection.execute(
                    "INSERT INTO logs VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                    (hashed, origin, new),
                )
            else:
                done = self._connection.execute(
                    "UPDATE logs SET note = ? WHERE origin_hash = ? AND note = ?",
                    (new, hashed, old),
                )
        if done.rowcount != 1:
            raise SimpulError(
                Code.CONFLICT, "another checkpoint of this log came first: ask for its size again"
            )

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self) -> None:
        for pragma in (
            "journal_mode = WAL",
            "synchronous = FULL",
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
        ):
            self._connection.execute(f"PRAGMA {pragma}").close()
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLE}; PRAGMA user_version = {VERSION}; COMMIT;"
            )
        elif version != VERSION:
            raise SimpulError(
                Code.DATABASE_CORRUPT,
                f"{self._path} was written by another version of Simpul: install that version",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, sqlite3.ProgrammingError, OSError) as error:
            raise SimpulError(
                Code.DATABASE_FAILED,
                f"{self._path} can't be read or written: look at its disk; nothing was cosigned",
            ) from error
        except sqlite3.DatabaseError as error:
            raise SimpulError(
                Code.DATABASE_CORRUPT,
                f"{self._path} is damaged: give this witness a new key and a new name",
            ) from error
