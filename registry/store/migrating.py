"""Brings a database to the newest schema with Alembic. Imported only when there is something to do.

Rules: forward only, from every released version; a database of a newer version is refused and left
as it is.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine

from runtime.migrating import MIGRATING
from security.errors import Code, SimpulError

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


def config() -> Config:
    """Alembic's configuration, without a file: where the migrations are."""
    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    return made


def upgrade(engine: Engine, to: str = "head") -> None:
    """Runs every migration that is missing, in one transaction.

    The transaction holds the write lock: of several registries that start at once on a database,
    the first migrates, and the others find that it is done.

    Raises:
        SimpulError: DATABASE_CORRUPT, when this program does not know the database's version.
    """
    settings = config()
    scripts = ScriptDirectory.from_config(settings)
    known = {revision.revision for revision in scripts.walk_revisions()}
    with MIGRATING, engine.begin() as connection:
        version = MigrationContext.configure(connection).get_current_revision()
        if version is not None and version not in known:
            raise SimpulError(
                Code.DATABASE_CORRUPT,
                f"the registry's database has schema {version}, which this version does not know: "
                "run the newer version of simpul",
                schema=version,
            )
        settings.attributes["connection"] = connection
        command.upgrade(settings, to)
