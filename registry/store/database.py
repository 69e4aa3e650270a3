"""Opens the database, brings it to the schema of this version, and runs transactions.

SQLite in the home by default, or PostgreSQL, which several registries share: see `engines`. On both
a committed change survives a power cut, and a transaction takes the write lock when it begins, so
that what it read still holds when it writes. Alembic is loaded only where there is something to
migrate.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlmodel import Session

from registry.store.engines import corrupt, explained, is_shared, open_engine

# The newest revision under registry/migrations; a test compares them.
HEAD: Final = "0009"


class Store:
    """An open database. Usable from several threads; one transaction belongs to one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> "Store":
        """Opens the database at an SQLAlchemy URL, creating or migrating its tables.

        Raises:
            SimpulError: DATABASE_CORRUPT, when it is damaged or of a newer version;
                DATABASE_FAILED, when it can't be reached; CONFIG_INVALID, when `url` is none of
                ours, or its commits aren't durable.
        """
        engine = open_engine(url)
        store = cls(engine)
        try:
            with explained():
                store._migrate()
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def look(cls, url: str) -> "Store":
        """Opens a database as it is: it is neither made nor migrated. For who looks only.

        Raises:
            SimpulError: CONFIG_INVALID, when `url` is none of ours.
        """
        return cls(open_engine(url))

    def version(self) -> str | None:
        """The revision of its schema; None where it has none.

        Raises:
            SimpulError: DATABASE_CORRUPT or DATABASE_FAILED, when it can't be read.
        """
        with explained(), self._engine.connect() as connection:
            return _version(connection)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A transaction: durable when the block ends, nothing of it left when the block raises.

        Raises:
            SimpulError: CONFLICT, when another one wrote the same meanwhile; DATABASE_FAILED or
                DATABASE_CORRUPT, when the database can't.
        """
        with explained(), Session(self._engine) as session, session.begin():
            yield session

    @property
    def is_shared(self) -> bool:
        """Whether other registries may work on it too."""
        return is_shared(self._engine)

    def check(self) -> None:
        """Reads all of a file of SQLite once: what is damaged is found now, not in a year.

        Raises:
            SimpulError: DATABASE_CORRUPT.
        """
        if self.is_shared:
            # Its server keeps checksums of its own, and a replica.
            return
        with explained(), self._engine.connect() as connection:
            found = connection.execute(text("PRAGMA quick_check(1)")).scalar()
            broken = connection.execute(text("PRAGMA foreign_key_check")).first()
        if found != "ok" or broken is not None:
            raise corrupt()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def _migrate(self) -> None:
        if self.version() == HEAD:
            return
        from registry.store.migrating import upgrade  # noqa: PLC0415  (see the docstring)

        upgrade(self._engine)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if found is None else str(found)
