"""Brings the journal's database to the newest schema. Loads Alembic only where a migration is due.

Several workers may start on one new database: the caller's transaction holds the write lock, and
the revision is looked at within it. A database newer than the program is refused and left as it is.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, inspect, text

from runtime.migrating import MIGRATING
from security.errors import Code, SimpulError

HEAD: Final = "0011"
MIGRATIONS: Final = Path(__file__).parent / "migrations"


def migrate(engine: Engine, where: str) -> None:
    """Migrates to `HEAD`, in one transaction. `where` names the database in errors.

    Raises:
        SimpulError: CONFIG_INVALID, when the database was written by a newer version.
    """
    with engine.connect() as connection:
        if revision(connection) == HEAD:
            return
    with engine.begin() as connection:
        migrate_within(connection, where)


def migrate_within(connection: Connection, where: str) -> None:
    """Migrates within the caller's transaction, which must keep others from doing the same.

    Raises:
        SimpulError: as `migrate` does.
    """
    found = revision(connection)
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{where} was written by a newer version of Simpul: install that version",
            path=where,
        )
    _upgrade(connection)


def revision(connection: Connection) -> str | None:
    """Returns the database's revision, or None where it has none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    row = connection.execute(text("SELECT version_num FROM alembic_version")).first()
    return None if row is None else str(row[0])


def _upgrade(connection: Connection) -> None:
    # Slow to load, and needed once in a version's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    with MIGRATING:
        command.upgrade(config, HEAD)
