"""Connections to a journal in PostgreSQL, and what its errors mean.

A connection is used only after the server has said that "committed" means "on the disk": see
`runtime.postgres`.

Source: node.journal.store, which is the contract.
"""

from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from node.journal.place import PostgresPlace
from runtime.postgres import CORRUPT, StandbyError, is_lost, options, weakness
from security.errors import Code, SimpulError

LOCK_TIMEOUT_MS: Final = 30_000
# PostgreSQL, "Error Codes".
_DISK_FULL: Final = "53100"
_READ_ONLY: Final = "25006"

Connect = Callable[[], "psycopg.Connection[Any]"]


class ConnectionLostError(SimpulError):
    """The connection is gone, and with it the word of what became of the transaction."""


def connector(place: PostgresPlace) -> Connect:
    """Returns what opens a connection of the driver's."""

    def connect() -> "psycopg.Connection[Any]":
        return psycopg.connect(make_conninfo(place.url, **options("simpul-journal")))

    return connect


def open_postgres(connect: Connect, pool: type[Pool], *, read_only: bool = False) -> Engine:
    """Returns an engine on the journal's database; `pool` says how long a connection lives.

    Connections that write are checked for durable commits; see `require_durable`.
    """
    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        poolclass=pool,
        # As node.journal.statements wants them.
        paramstyle="format",
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
    )

    def prepare(connection: "psycopg.Connection[Any]", _entry: ConnectionPoolEntry) -> None:
        if read_only:
            connection.read_only = True
            return
        require_durable(connection)
        connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        connection.commit()

    event.listen(engine, "connect", prepare)
    return engine


def require_durable(connection: "psycopg.Connection[Any]") -> None:
    """Checks that what this server calls committed can't be lost.

    Raises:
        SimpulError: CONFIG_INVALID, naming the setting; JOURNAL_FAILED on a server that only reads.
    """
    try:
        why = weakness(connection)
    except StandbyError as error:
        raise SimpulError(
            Code.JOURNAL_FAILED, "the journal's database is a standby: connect to its primary"
        ) from error
    if why is not None:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"the journal's database may lose what it has committed: {why}",
            key="journal.url",
        )


def lock_for_migration(connection: Connection) -> None:
    """Lets one program at a time look at the schema's version and migrate, within a transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(5_577_904_077)"))


def postgres_meaning(where: str, error: BaseException | None) -> SimpulError:
    """Returns what an error of the driver means by the contract."""
    state = getattr(error, "sqlstate", None)
    if state == _DISK_FULL:
        return SimpulError(
            Code.JOURNAL_FULL,
            f"no room for {where}: free some space on its server; nothing recorded is lost",
            path=where,
        )
    if state in CORRUPT:
        return SimpulError(
            Code.JOURNAL_CORRUPT, f"{where} is damaged: restore it from a backup", path=where
        )
    if is_lost(error):
        return ConnectionLostError(
            Code.JOURNAL_FAILED,
            f"{where} doesn't answer: mend that, and start the node again",
            path=where,
        )
    reason = "it only reads" if state == _READ_ONLY else f"error {state or 'unknown'}"
    return SimpulError(
        Code.JOURNAL_FAILED,
        f"{where} can't be written ({reason}): mend that, and start the node again",
        path=where,
    )
