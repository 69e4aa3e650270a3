"""Connections that write the journal beside the workers that hold its slots.

Checkpoints, erasures and archives are written by the supervisor and by commands.
"""

from functools import partial

from sqlalchemy import Engine
from sqlalchemy.pool import NullPool, Pool

from node.journal.place import Place, PostgresPlace
from node.journal.readonly import Told
from node.journal.sqlite_store import meaning, open_engine


def open_to_write(place: Place, pool: type[Pool] = NullPool) -> tuple[Engine, Told]:
    """Returns an engine that writes, and what tells the meaning of its driver's errors.

    `pool` says how long a connection lives.
    """
    if isinstance(place, PostgresPlace):
        # Only where it's used: the driver and its library are no small thing to load.
        from node.journal.postgres import (  # noqa: PLC0415
            connector,
            open_postgres,
            postgres_meaning,
        )

        return open_postgres(connector(place), pool), partial(postgres_meaning, str(place))
    return open_engine(place, pool), partial(meaning, place)


def make_and_open(place: Place) -> tuple[Engine, Told]:
    """As `open_to_write`, of a journal that is made and migrated as the journal itself does.

    Raises:
        SimpulError: as the journal's own opening does.
    """
    if isinstance(place, PostgresPlace):
        from node.journal.postgres_store import PostgresJournalStore  # noqa: PLC0415

        PostgresJournalStore.open(place).close()
    return open_to_write(place)
