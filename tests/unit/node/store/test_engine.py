import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import select

from node.store import engine
from node.store.engine import Store
from node.store.models import ChangeNumberRow, DelegationRow, Table
from security.delegation import delegation_hash, make_delegation
from security.errors import Code, SimpulError
from tests.support.delegations import BOUNDS, DELEGATOR


def test_the_migrations_make_what_the_models_say(store: Store) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(engine.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_heads() == [engine.HEAD]


def test_the_file_is_private_and_durable(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store.open(path)
    with store.engine.connect() as connection:
        modes = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
        wal = path.with_name("state.db-wal")
        assert stat.S_IMODE(wal.stat().st_mode) == 0o600
    store.close()
    assert modes == ["wal", 2, 1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_database_at_head_does_not_load_alembic(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store.open(path).close()
    code = (
        "import sys; from pathlib import Path; from node.store.engine import Store; "
        f"Store.open(Path({str(path)!r})).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == "False"


def test_a_newer_database_is_refused_and_left(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store.open(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(SimpulError) as caught:
        Store.open(path)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "newer version" in caught.value.message
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database, but longer than its header" * 100)
    with pytest.raises(SimpulError) as caught:
        Store.open(path)
    assert caught.value.code is Code.CONFIG_INVALID


def test_a_transaction_that_raises_changes_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as session:
            session.add(ChangeNumberRow(id=1, number=5))
            session.flush()
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()
    with store.transaction() as session:
        assert session.get(ChangeNumberRow, 1) is None


def test_what_was_committed_is_there_after_a_new_start(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = Store.open(path)
    with store.transaction() as session:
        session.add(ChangeNumberRow(id=1, number=5))
    store.close()
    store = Store.open(path)
    with store.transaction() as session:
        row = session.get(ChangeNumberRow, 1)
        assert row is not None
        assert row.number == 5
    store.close()


def test_several_homes_are_migrated_at_once_by_one_program(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.db" for number in range(4)]
    with ThreadPoolExecutor(len(paths)) as pool:
        stores = list(pool.map(Store.open, paths))
    for store in stores:
        with store.engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert context.get_current_revision() == engine.HEAD
        store.close()


def test_delegations_from_before_are_counted_and_dropped_like_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    Store.open(path).close()
    data = make_delegation(BOUNDS)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP INDEX ix_delegation_delegator")
        for column in ("delegator", "valid_until_ms"):
            connection.execute(f"ALTER TABLE delegation DROP COLUMN {column}")
        connection.execute(
            "INSERT INTO delegation (hash, delegation, signature, added_at_ms, own) "
            "VALUES (?, ?, x'', 1, 0)",
            (delegation_hash(data), data),
        )
        connection.execute("UPDATE alembic_version SET version_num = '0007'")
        connection.commit()
    store = Store.open(path)
    with store.transaction() as session:
        row = session.exec(select(DelegationRow)).one()
        assert (row.delegator, row.valid_until_ms) == (str(DELEGATOR), BOUNDS.valid_until_ms)
    store.close()
