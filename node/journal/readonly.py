"""Connections that only read the journal: while a node writes, after it stopped or was killed.

Each read is a short transaction of its own, a snapshot. A long one would keep the writer from
writing its log back; so whoever reads much reads in pages, and what was appended meanwhile is no
part of what it began to read.

It migrates nothing: a journal of another version is refused.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool, StaticPool

from node.journal.place import Place, PostgresPlace
from node.journal.schema import HEAD, revision
from node.journal.sqlite_store import meaning
from security.errors import Code, SimpulError

Told = Callable[[BaseException | None], SimpulError]

BUSY_TIMEOUT_MS: Final = 5_000


class ReadOnly:
    """An open journal. For one thread; a context manager."""

    def __init__(self, place: Place) -> None:
        """Opens the journal at `place`.

        Raises:
            SimpulError: NOT_FOUND; CONFIG_INVALID, where another version wrote it;
                JOURNAL_CORRUPT or JOURNAL_FAILED, where it can't be read.
        """
        self._where = str(place)
        self._engine, self._told = read_place(place, StaticPool)
        try:
            with self.snapshot() as connection:
                found = revision(connection)
            if found is None:
                raise _none_at(self._where)
            if found != HEAD:
                raise SimpulError(
                    Code.CONFIG_INVALID,
                    f"{place} is of another version: start the node with this version once",
                    path=self._where,
                )
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction that sees one state of the journal. Keep it short.

        Raises:
            SimpulError: JOURNAL_CORRUPT or JOURNAL_FAILED, where the journal can't be read.
        """
        try:
            with self._engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self._told(error.orig) from error
        except (TypeError, ValueError) as error:
            # A column that isn't of its type: no program of ours wrote it.
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"{self._where} holds values of a wrong kind: restore it from a backup",
                path=self._where,
            ) from error

    def close(self) -> None:
        """Closes the connection."""
        self._engine.dispose()


class JournalReading:
    """The base of what reads a journal for one purpose: a context manager; for one thread.

    Raises:
        SimpulError: from every method, as `ReadOnly` says.
    """

    def __init__(self, place: Place) -> None:
        self._journal = ReadOnly(place)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()


def read_place(place: Place, pool: type[Pool]) -> tuple[Engine, Told]:
    """Returns an engine that can only read, and what tells the meaning of its driver's errors.

    Raises:
        SimpulError: NOT_FOUND, where there is no such file.
    """
    if isinstance(place, PostgresPlace):
        # Only where it's used: the driver and its library are no small thing to load.
        from node.journal.postgres import (  # noqa: PLC0415
            connector,
            open_postgres,
            postgres_meaning,
        )

        engine = open_postgres(connector(place), pool, read_only=True)
        return engine, partial(postgres_meaning, str(place))
    if not place.is_file():
        raise _none_at(str(place))
    return read_engine(place, pool), partial(meaning, place)


def _none_at(where: str) -> SimpulError:
    return SimpulError(Code.NOT_FOUND, f"no journal at {where}: start the node once", path=where)


def read_engine(path: Path, pool: type[Pool]) -> Engine:
    """Returns an engine that can only read; `pool` says how long a connection lives."""

    def connect() -> sqlite3.Connection:
        uri = f"file:{quote(str(path.absolute()))}?mode=ro"
        try:
            connection = sqlite3.connect(uri, uri=True)
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            # In a folder that can't be written there is no room for the log's index. Without a log
            # nobody writes, and the file may be read as it is.
            if path.with_name(f"{path.name}-wal").exists():
                raise
            connection = sqlite3.connect(f"{uri}&immutable=1", uri=True)
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=pool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only=ON")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
