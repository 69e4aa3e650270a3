import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from node.journal.schema import HEAD, MIGRATIONS
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.tables import KINDS, METADATA
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.kinds import EntryKind
from tests.unit.node.journal.builder import Link, open_entry, unary_call
from tests.unit.node.journal.support import (
    BEFORE_DROPPED_PARCELS,
    BEFORE_SIDES,
    read,
    tamper,
    write,
)


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_migrations_make_the_tables(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()
    assert found == []


def test_narrow_tables_have_no_rowid(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    rows = read(path, "SELECT name FROM sqlite_master WHERE sql LIKE '%WITHOUT ROWID%'")
    assert {name for (name,) in rows} == {
        "call_entries", "tree_nodes", "call_persons", "link_tails", "cut_calls",
    }  # fmt: skip


def test_a_journal_of_a_newer_version_is_left_alone(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    tamper(path, ("UPDATE alembic_version SET version_num = ?", ("9999",)))
    before = path.read_bytes()
    with pytest.raises(SimpulError) as caught:
        SqliteJournalStore.open(path)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "newer" in caught.value.message
    assert path.read_bytes() == before


def test_alembic_is_not_loaded_for_a_journal_that_is_up_to_date(path: Path) -> None:
    SqliteJournalStore.open(path).close()
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from node.journal.sqlite_store import SqliteJournalStore\n"
        "SqliteJournalStore.open(Path(sys.argv[1])).close()\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, path], check=False, env=_environment())
    assert done.returncode == 0


def test_every_kind_of_entry_has_a_number() -> None:
    assert set(KINDS) == {kind.value for kind in EntryKind}


def test_calls_of_an_older_version_are_found_by_side_and_peer(path: Path) -> None:
    ours, theirs, other = Link("ours"), Link("theirs"), Link("other", peer="ID/~wakatobi-1")
    asked = [unary_call(ours, 1), unary_call(other, 4), unary_call(ours, 5)]
    write(path, *asked, [theirs.received(open_entry(2))])
    every = "SELECT calls.id, terms.* FROM calls JOIN terms ON terms.id = calls.terms ORDER BY 1"
    wanted = [row[:1] + row[2:] for row in read(path, every)]
    assert len({row[1:] for row in wanted}) == 3
    connection = sqlite3.connect(path)
    connection.executescript(BEFORE_DROPPED_PARCELS)
    connection.executescript(BEFORE_SIDES)
    connection.execute("UPDATE alembic_version SET version_num = '0008'")
    connection.commit()
    assert connection.execute("SELECT count(*) FROM terms").fetchone() == (1,)
    connection.close()
    SqliteJournalStore.open(path).close()
    assert [row[:1] + row[2:] for row in read(path, every)] == wanted
    assert verify(path).problems == ()


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}
