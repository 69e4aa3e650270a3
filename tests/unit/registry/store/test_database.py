"""Opening, migrating, transactions; what is damaged or newer is refused in one line."""

import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy import text as sql

from registry.store import cards, members, tokens
from registry.store.database import HEAD, Store
from registry.store.engines import open_engine
from registry.store.migrating import config, upgrade
from registry.store.tables import METADATA
from security.contract_card import ContractTermsView
from security.errors import Code, SimpulError
from tests.support import postgres
from tests.unit.registry.store.conftest import KOMODO, MEMBER, NOW, TOKEN

OLD_MEMBER = (
    "INSERT INTO members (id, legal_name, state, number, created_at_ms)"
    " VALUES ('ID/DAERAH/53.15', 'Kabupaten Manggarai Barat', 'active', 1, 1)"
)
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
    with store.transaction() as session:
        session.connection().exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(SimpulError, match="newer version") as caught:
        Store.open(url)

    assert caught.value.code is Code.DATABASE_CORRUPT


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_durability_is_as_promised(store: Store) -> None:
    with store.transaction() as session:
        connection = session.connection()
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_server_that_may_lose_commits_is_refused(url: str) -> None:
    with pytest.raises(SimpulError, match="synchronous_commit") as caught:
        Store.open(f"{url}&options=-c%20synchronous_commit%3Doff")

    assert caught.value.code is Code.CONFIG_INVALID


@pytest.mark.parametrize(
    "text",
    [
        "mysql://localhost/registry",
        "postgresql://localhost/registry",
        "nonsense",
        "postgresql+psycopg://simpul:secret@localhost/registry",
        "postgresql+psycopg://localhost/registry?password=secret",
    ],
)
def test_what_is_no_database_of_ours_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(SimpulError, match=r"database\.url") as caught:
        Store.open(text)

    assert caught.value.code is Code.CONFIG_INVALID
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_server_that_is_gone_is_said(url: str) -> None:
    with pytest.raises(SimpulError, match="server") as caught:
        Store.open(url.replace("registry_", "nowhere_", 1))

    assert caught.value.code is Code.DATABASE_FAILED


VERSIONS = [None, *(f"{number:04}" for number in range(1, int(HEAD)))]


@pytest.mark.parametrize("before", VERSIONS)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_every_version_is_brought_forward(kind: str, before: str | None, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path / 'old.db'}"
        else:
            url = postgres.registry_url(stack.enter_context(postgres.registry_database()))
        if before is not None:
            engine = open_engine(url)
            upgrade(engine, before)
            with engine.begin() as connection:
                connection.exec_driver_sql(OLD_MEMBER)
            engine.dispose()
        opened = Store.open(url)
        stack.callback(opened.close)
        with opened.transaction() as session:
            context = MigrationContext.configure(session.connection())
            assert compare_metadata(context, METADATA) == []
            kept = [member.legal_name for member in members.every(session)]
    assert kept == ([] if before is None else ["Kabupaten Manggarai Barat"])


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_contracts_from_before_their_cards_get_one(kind: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{tmp_path / 'old.db'}"
        else:
            url = postgres.registry_url(stack.enter_context(postgres.registry_database()))
        engine = open_engine(url)
        upgrade(engine, "0005")
        rows = (
            ("a.v1.A", b"2", 20),
            ("a.v1.B", b"1", 10),
            ("a.v1.A", b"1", 10),
            ("b.v1.C", b"3", 5),
        )
        with engine.begin() as connection:
            connection.exec_driver_sql(OLD_MEMBER)
            for service, sha256, at_ms in rows:
                connection.execute(
                    sql(
                        "INSERT INTO contracts (service, descriptor_sha256, descriptor_set, "
                        "file_sha256, publisher, published_at_ms) "
                        "VALUES (:service, :sha256, :set, :sha256, 'ID/DAERAH/53.15', :at_ms)"
                    ),
                    {"service": service, "sha256": sha256, "set": b"set", "at_ms": at_ms},
                )
        engine.dispose()
        opened = Store.open(url)
        stack.callback(opened.close)
        with opened.transaction() as session:
            found = {
                card.package: [
                    (item.number, item.descriptor_sha256, item.published_at_ms)
                    for item in cards.revisions(session, card.package)
                ]
                for card in cards.every(session)
            }
            assert all(card.terms == ContractTermsView() for card in cards.every(session))
    assert found == {"a.v1": [(1, b"1", 10), (2, b"2", 20)], "b.v1": [(1, b"3", 5)]}
