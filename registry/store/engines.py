"""The two databases: how each is opened, and what its errors mean.

    (empty)                                       HOME/registry.db, a file of SQLite
    postgresql+psycopg://USER@HOST:PORT/DATABASE  shared by as many registries as one likes

Rules: what is committed is on the disk (WAL and `synchronous=FULL`; `runtime.postgres`). One
transaction at a time, over all processes: `BEGIN IMMEDIATE`, or a lock of PostgreSQL's that ends
with the transaction, however its holder ends; one that only stands still is ended by the server.
A password never stands in the URL, because settings hold no secret: libpq reads its password file.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from security.errors import Code, SimpulError

if TYPE_CHECKING:
    import psycopg

BUSY_TIMEOUT_MS: Final = 5_000
# A registry that holds the lock and stands still is cut off after this: 100 times what a
# publication takes.
IDLE_TIMEOUT_MS: Final = 10_000
POSTGRES: Final = "postgresql+psycopg"

_LOCK: Final = 5_577_904_078
_SETTING: Final = "database.url"
# PostgreSQL, "Error Codes": locks and serialization that failed because another one was there.
_CAME_FIRST: Final = frozenset({"40001", "40P01"})


def open_engine(url: str) -> Engine:
    """An engine on the database at `url`; it connects when it is used.

    Raises:
        SimpulError: CONFIG_INVALID, when it is none of ours, or holds a password.
    """
    parsed = _parse(url)
    if parsed.drivername == POSTGRES:
        return _open_postgres(parsed)
    engine = create_engine(parsed)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


def is_shared(engine: Engine) -> bool:
    """Whether other processes may work on this database."""
    return engine.dialect.name == "postgresql"


def corrupt() -> SimpulError:
    """What a damaged database is refused with."""
    return SimpulError(
        Code.DATABASE_CORRUPT,
        "the registry's database is damaged: stop the registry and restore it from a backup "
        "(simpul registry restore FILE --home HOME)",
    )


@contextmanager
def explained() -> Iterator[None]:
    """Turns the database's errors into ours. Their texts may hold values, and stay in the cause."""
    try:
        yield
    except DBAPIError as error:
        raise _meaning(error) from error


def _meaning(error: DBAPIError) -> SimpulError:
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(error, IntegrityError) or state in _CAME_FIRST:
        return SimpulError(
            Code.CONFLICT, "another change came first: look at what there is now, and try again"
        )
    # PostgreSQL's XX001 and XX002 are of the class of internal errors, which is not operational.
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return SimpulError(
            Code.DATABASE_FAILED,
            "the registry's database can't be read or written: look at its disk, at its server "
            "where it has one, and at the log",
        )
    return corrupt()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _invalid() from error
    if parsed.drivername not in {POSTGRES, "sqlite"}:
        raise _invalid()
    if parsed.password is not None or "password" in parsed.query:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{_SETTING} holds a password: put it into libpq's password file (PGPASSFILE)",
            key=_SETTING,
        )
    return parsed


def _invalid() -> SimpulError:
    # Without the text: it may hold what should not be shown.
    return SimpulError(
        Code.CONFIG_INVALID,
        f"{_SETTING} is no database: leave it empty, or give {POSTGRES}://USER@HOST/DATABASE",
        key=_SETTING,
    )


def _open_postgres(url: URL) -> Engine:
    from runtime.postgres import options  # noqa: PLC0415  (a driver that SQLite doesn't need)

    engine = create_engine(
        url,
        connect_args=dict(options("simpul-registry")),
        # A connection that a fail-over killed is replaced before a transaction begins on it.
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
    )
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "begin", _take_lock)
    return engine


def _prepare_postgres(connection: "psycopg.Connection[Any]", _entry: ConnectionPoolEntry) -> None:
    from runtime.postgres import StandbyError, weakness  # noqa: PLC0415  (as above)

    try:
        why = weakness(connection)
    except StandbyError as error:
        raise SimpulError(
            Code.DATABASE_FAILED, "the registry's database is a standby: connect to its primary"
        ) from error
    if why is not None:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"the registry's database may lose what it has committed: {why}",
            key=_SETTING,
        )
    for name, value_ms in (
        ("lock_timeout", BUSY_TIMEOUT_MS),
        ("idle_in_transaction_session_timeout", IDLE_TIMEOUT_MS),
    ):
        connection.execute(f"SET {name} = {value_ms}")
    connection.commit()


def _take_lock(connection: Connection) -> None:
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver begins transactions by itself, too late and not immediate; here we do.
    connection.isolation_level = None
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
