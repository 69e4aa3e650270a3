"""Opening, migrating, transactions; what is damaged or newer is refused in one line."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from registry.store import members, tokens
from registry.store.database import HEAD, Store
from registry.store.migrating import config
from registry.store.tables import METADATA
from security.errors import Code, SimpulError
from tests.unit.registry.store.conftest import KOMODO, MEMBER, NOW, TOKEN

PROJECT = Path(__file__).resolve().parents[4]


def test_the_migrations_make_exactly_the_tables(store: Store, url: str) -> None:
    del store
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection)
            assert compare_metadata(context, METADATA) == []
    finally:
        engine.dispose()


def test_the_head_is_alembics() -> None:
    assert ScriptDirectory.from_config(config()).get_current_head() == HEAD


def test_a_database_at_the_head_is_opened_without_alembic(store: Store, url: str) -> None:
    del store
    script = (
        "import sys\nfrom registry.store.database import Store\n"
        f"Store.open({url!r}).close()\nprint('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_what_was_committed_is_there_after_opening_again(store: Store, url: str) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)

    again = Store.open(url)
    try:
        with again.transaction() as session:
            assert members.get(session, KOMODO) == MEMBER
    finally:
        again.close()


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    def stopped() -> None:
        with store.transaction() as session:
            members.add(session, MEMBER, NOW)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()

    with store.transaction() as session:
        assert members.find(session, KOMODO) is None


def test_of_two_that_use_one_token_at_once_exactly_one_wins(url: str, store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        tokens.add(session, TOKEN, NOW)
    start = threading.Barrier(4)
    outcomes: list[str] = []

    def use() -> None:
        own = Store.open(url)
        try:
            start.wait()
            with own.transaction() as session:
                tokens.use(session, TOKEN, b"r" * 32, NOW)
            outcomes.append("won")
        except SimpulError as error:
            outcomes.append(error.code)
        finally:
            own.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == [Code.TOKEN_USED] * 3 + ["won"]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    path.write_bytes(b"not a database" * 100)

    with pytest.raises(SimpulError, match="restore") as caught:
        Store.open(f"sqlite:///{path}")

    assert caught.value.code is Code.DATABASE_CORRUPT


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SimpulError) as caught:
        Store.open(f"sqlite:///{tmp_path / 'none' / 'registry.db'}")

    assert caught.value.code is Code.DATABASE_FAILED


def test_a_newer_schema_is_refused_and_left_alone(store: Store, url: str) -> None:
    del store
    path = url.removeprefix("sqlite:///")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()

    with pytest.raises(SimpulError, match="newer version") as caught:
        Store.open(url)

    assert caught.value.code is Code.DATABASE_CORRUPT


def test_durability_is_as_promised(store: Store) -> None:
    with store.transaction() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
