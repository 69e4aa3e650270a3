"""Connections to a journal in PostgreSQL, and what its errors mean.

A connection is used only after the server has said that "committed" means "on the disk": with
`fsync` or `full_page_writes` off, with `synchronous_commit` weaker than `on`, or with replicas of
which none is synchronous, a commit that was answered could be lost, and the journal refuses.

Source: node.journal.store, which is the contract; PostgreSQL, "Write Ahead Log" and "Replication".
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from node.journal.place import PostgresPlace
from security.errors import Code, SimpulError

CONNECT_TIMEOUT_S: Final = 10
# A server that is gone without a word is noticed after this.
SILENCE_MS: Final = 20_000
LOCK_TIMEOUT_MS: Final = 30_000
OPTIONS: Final[Mapping[str, str | int]] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENCE_MS,
    "application_name": "simpul-journal",
}

# PostgreSQL, "Error Codes".
_DISK_FULL: Final = "53100"
_READ_ONLY: Final = "25006"
# What the server says when it goes, and the class of connection failures.
_GOING: Final = frozenset({"57P01", "57P02", "57P03", "57P05"})
_CONNECTION_CLASS: Final = "08"
_CORRUPT: Final = frozenset({"XX001", "XX002"})

# remote_write is not among them: a replica's system may still lose what it was given.
_DURABLE: Final = frozenset({"on", "remote_apply"})

Connect = Callable[[], "psycopg.Connection[Any]"]


class ConnectionLostError(SimpulError):
    """The connection is gone, and with it the word of what became of the transaction."""


def connector(place: PostgresPlace) -> Connect:
    """Returns what opens a connection of the driver's."""

    def connect() -> "psycopg.Connection[Any]":
        return psycopg.connect(make_conninfo(place.url, **OPTIONS))

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
    row = connection.execute(_SETTINGS).fetchone()
    connection.rollback()
    if row is None:
        raise SimpulError(Code.JOURNAL_FAILED, "the journal's database doesn't tell its settings")
    fsync, full_pages, commit, standbys, replicas, recovering = row
    if recovering:
        raise SimpulError(
            Code.JOURNAL_FAILED, "the journal's database is a standby: connect to its primary"
        )
    for name, value in (("fsync", fsync), ("full_page_writes", full_pages)):
        if value != "on":
            raise _not_durable(f"{name} is {value}: turn it on")
    if commit not in _DURABLE:
        raise _not_durable(f"synchronous_commit is {commit}: turn it on")
    if replicas > 0 and standbys == "":
        raise _not_durable(
            f"it has {replicas} replicas and none is synchronous: set synchronous_standby_names"
        )


_SETTINGS: Final = """
    SELECT current_setting('fsync'), current_setting('full_page_writes'),
           current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
           (SELECT count(*) FROM pg_stat_replication), pg_is_in_recovery()
"""


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
    if state in _CORRUPT:
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


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection is gone, so that it isn't known what became of a transaction."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = error.sqlstate
    return state is None or state in _GOING or state.startswith(_CONNECTION_CLASS)


def original(error: Exception) -> BaseException | None:
    """The driver's own error, whether or not SQLAlchemy wrapped it."""
    return error.orig if isinstance(error, DBAPIError) else error


def _not_durable(why: str) -> SimpulError:
    return SimpulError(
        Code.CONFIG_INVALID,
        f"the journal's database may lose what it has committed: {why}",
        key="journal.url",
    )
