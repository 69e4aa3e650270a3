"""Opens the database, brings it to the schema of this version, and runs transactions.

SQLite by default: WAL and `synchronous=FULL`, so that a committed change survives a power cut; each
transaction takes the write lock when it begins (`BEGIN IMMEDIATE`), so that what it read still
holds when it writes. Alembic is loaded only where there is something to migrate.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from security.errors import Code, SimpulError

# The newest revision under registry/migrations; a test compares them.
HEAD: Final = "0004"

BUSY_TIMEOUT_MS: Final = 5_000


class Store:
    """An open database. Usable from several threads; one transaction belongs to one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> "Store":
        """Opens the database at an SQLAlchemy URL, creating or migrating its tables.

        Raises:
            SimpulError: DATABASE_CORRUPT, when it is damaged or of a newer version;
                DATABASE_FAILED, when it can't be reached.
        """
        engine = create_engine(url)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        store = cls(engine)
        try:
            with _explained():
                store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction: durable when the block ends, nothing of it left when the block raises.

        Raises:
            SimpulError: CONFLICT, when another one wrote the same meanwhile; DATABASE_FAILED or
                DATABASE_CORRUPT, when the database can't.
        """
        with _explained(), Session(self._engine) as session, session.begin():
            yield session

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        with self._engine.connect() as connection:
            version = _version(connection)
        if version == HEAD:
            return
        from registry.store.migrating import upgrade  # noqa: PLC0415  (see the docstring)

        upgrade(self._engine, version)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)


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


@contextmanager
def _explained() -> Iterator[None]:
    """Turns the database's errors into ours. Their texts may hold values, and stay in the cause."""
    try:
        yield
    except IntegrityError as error:
        raise SimpulError(
            Code.CONFLICT, "another change came first: look at what there is now, and try again"
        ) from error
    except OperationalError as error:
        raise SimpulError(
            Code.DATABASE_FAILED,
            "the registry's database can't be read or written: look at its disk and at the log",
        ) from error
    except DatabaseError as error:
        raise SimpulError(
            Code.DATABASE_CORRUPT,
            "the registry's database is damaged: stop the registry and restore it from a backup",
        ) from error
