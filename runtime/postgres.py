"""What every database of PostgreSQL of ours is asked before it is trusted, and how it is reached.

A connection is used only after the server has said that "committed" means "on the disk": with
`fsync` or `full_page_writes` off, with `synchronous_commit` weaker than `on`, or with replicas of
which none is synchronous, a commit that was answered could be lost.

Source: PostgreSQL, "Write Ahead Log", "Replication" and "Error Codes".
"""

from collections.abc import Mapping
from typing import Any, Final

import psycopg
from sqlalchemy.exc import DBAPIError

CONNECT_TIMEOUT_S: Final = 10
# A server that is gone without a word is noticed after this.
SILENCE_MS: Final = 20_000

# What the server says when it goes, and the class of connection failures.
_GOING: Final = frozenset({"57P01", "57P02", "57P03", "57P05"})
_CONNECTION_CLASS: Final = "08"
CORRUPT: Final = frozenset({"XX001", "XX002"})

# remote_write is not among them: a replica's system may still lose what it was given.
_DURABLE: Final = frozenset({"on", "remote_apply"})

_SETTINGS: Final = """
    SELECT current_setting('fsync'), current_setting('full_page_writes'),
           current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
           (SELECT count(*) FROM pg_stat_replication), pg_is_in_recovery()
"""


class StandbyError(Exception):
    """The server only repeats what another one writes."""


def options(application: str) -> Mapping[str, str | int]:
    """Libpq's parameters for a connection; `application` is what the server shows of it."""
    return {
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 5,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENCE_MS,
        "application_name": application,
    }


def weakness(connection: "psycopg.Connection[Any]") -> str | None:
    """Why what this server calls committed could be lost, and what to do; None: it can't be.

    Raises:
        StandbyError: nothing can be committed here at all.
    """
    row = connection.execute(_SETTINGS).fetchone()
    connection.rollback()
    if row is None:
        return "it doesn't tell its settings"
    fsync, full_pages, commit, standbys, replicas, recovering = row
    if recovering:
        raise StandbyError
    for name, value in (("fsync", fsync), ("full_page_writes", full_pages)):
        if value != "on":
            return f"{name} is {value}: turn it on"
    if commit not in _DURABLE:
        return f"synchronous_commit is {commit}: turn it on"
    if replicas > 0 and standbys == "":
        return f"it has {replicas} replicas and none is synchronous: set synchronous_standby_names"
    return None


def is_lost(error: BaseException | None) -> bool:
    """Whether the connection is gone, so that it isn't known what became of a transaction."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    state = error.sqlstate
    return state is None or state in _GOING or state.startswith(_CONNECTION_CLASS)


def original(error: Exception) -> BaseException | None:
    """The driver's own error, whether or not SQLAlchemy wrapped it."""
    return error.orig if isinstance(error, DBAPIError) else error
