"""Opens `state.db`: SQLite, write-ahead log, `synchronous=FULL`, brought to the newest schema.

It knows no table's meaning. Rules: a transaction takes the write lock when it begins, so it never
fails half-way for want of it; it is durable when the block ends; a database newer than the program
is refused and left as it is. Alembic is loaded only where a migration is due.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session, create_engine

from runtime.files import PRIVATE_MODE
from runtime.migrating import MIGRATING
from security.errors import Code, SimpulError

HEAD = "0008"
BUSY_TIMEOUT_MS = 5_000


class Store:
    """The open database, for any number of threads of one program (the home's lock)."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, path: Path) -> "Store":
        """Opens `path`, creating it 0600 where it is missing, and migrates it.

        Raises:
            SimpulError: CONFIG_INVALID, when the file is no database of this program's version.
        """
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE))
        engine = create_engine(f"sqlite:///{path}")
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        try:
            _migrate(engine, path)
        except DatabaseError as error:
            engine.dispose()
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"{path} can't be read as this node's state: restore it from a backup",
                path=str(path),
            ) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    @property
    def engine(self) -> Engine:
        """For tests and tools that look at the schema."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction: committed, durably, at the block's end; rolled back when it raises."""
        with Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    # The driver would otherwise begin transactions itself, late and without the write lock.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(engine: Engine, path: Path) -> None:
    revision = _revision(engine)
    if revision == HEAD:
        return
    if revision is not None and revision > HEAD:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{path} was written by a newer version of Simpul: install that version",
            path=str(path),
        )
    # Slow to load, and needed once in a version's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with MIGRATING, engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        known = connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
        ).first()
        if known is None:
            return None
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        return None if row is None else str(row[0])
