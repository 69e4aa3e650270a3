"""A journal that can't write refuses traffic: two nodes, one of them with a real, small journal."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from node.journal import sqlite_store
from node.journal.journal import Journal
from node.journal.verify import verify
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from tests.conformance import fixed
from tests.support.pair import Pair, pair, unary

WAIT_S: Final = 10.0
# Of a new journal, and a few more: some calls fit.
PAGES: Final = 60


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def with_journal(
    path: Path, node: NodeId, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Pair, Journal, "Disk"]]:
    """Two nodes; `node` records in a journal whose disk can be made full."""
    disk = Disk()
    monkeypatch.setattr(sqlite_store, "_prepare", disk.prepare)
    journal = await Journal.open(path, slot=0, holder="test", clock=now_ms, lease_ms=600)
    try:
        async with pair(journals={node: journal}) as two:
            yield two, journal, disk
    finally:
        await journal.close()


class Disk:
    """Room, as SQLite counts it: pages of the database."""

    def __init__(self) -> None:
        self._inner = sqlite_store._prepare
        self._connections: list[sqlite3.Connection] = []

    def prepare(self, connection: sqlite3.Connection, entry: object) -> None:
        self._inner(connection, entry)  # type: ignore[arg-type]
        self._connections.append(connection)

    def fill(self) -> None:
        """No page more than there is."""
        self._limit(1)

    def free(self) -> None:
        self._limit(1_000_000)

    def _limit(self, pages: int) -> None:
        # SQLite raises a limit that is below the size to the size. Its connection has a mutex.
        for connection in self._connections:
            connection.execute(f"PRAGMA max_page_count={pages}").fetchall()


@pytest.fixture(autouse=True)
def connections_of_any_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is filled from the test's thread, and the connection is the writer's."""
    connect = sqlite3.connect

    def anywhere(*args: object, **options: object) -> sqlite3.Connection:
        return connect(*args, **{**options, "check_same_thread": False})  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(sqlite3.dbapi2, "connect", anywhere)


async def until_refused(two: Pair) -> tuple[str, int]:
    """Calls until one isn't answered; returns its code and status."""
    for _ in range(200):
        call = await two.consumer.run(unary(data=bytes(200)))
        if call.error():
            return call.error(), call.trailers.status
    pytest.fail("the disk never was full")


async def until_answered(two: Pair) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await two.consumer.run(unary())).error():
            await asyncio.sleep(0.1)


async def test_a_consumers_full_journal_refuses_and_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_journal(path, fixed.MINISTRY_NODE, monkeypatch) as (two, journal, disk):
        assert (await two.consumer.run(unary())).error() == ""
        disk.fill()
        assert await until_refused(two) == (Code.JOURNAL_FULL, 8)
        asked = len(two.provider.services.seen)
        refused = await two.consumer.run(unary())
        assert (refused.error(), refused.trailers.status) == (Code.JOURNAL_FULL, 8)
        # Refused before anything left.
        assert len(two.provider.services.seen) == asked
        assert not two.consumer.sealing.done()
        assert journal.failure is None
        disk.free()
        await until_answered(two)
    assert verify(path).problems == ()


async def test_a_providers_full_journal_refuses_and_recovers(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_journal(path, fixed.REGENCY_NODE, monkeypatch) as (two, _, disk):
        assert (await two.consumer.run(unary())).error() == ""
        disk.fill()
        # What was under way when the disk became full: nobody can say what came of it.
        await until_refused(two)
        served = len(two.provider.services.seen)
        refused = await two.consumer.run(unary())
        assert (refused.error(), refused.trailers.status) == (Code.JOURNAL_FULL, 8)
        assert str(path) not in refused.trailers.message
        assert len(two.provider.services.seen) == served
        assert not two.provider.sealing.done()
        disk.free()
        await until_answered(two)
    assert verify(path).problems == ()


async def test_a_failed_journal_ends_the_sealer_and_the_worker_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_journal(path, fixed.MINISTRY_NODE, monkeypatch) as (two, journal, _):
        assert (await two.consumer.run(unary())).error() == ""
        overtaking = sqlite3.connect(path)
        overtaking.execute("UPDATE slots SET fencing = fencing + 1, holder = 'another'")
        overtaking.commit()
        overtaking.close()
        call = await two.consumer.run(unary())
        assert (call.error(), call.messages) == (Code.JOURNAL_LOCKED, [])
        # A worker ends when either of these does.
        assert (await asyncio.wait_for(journal.failed(), WAIT_S)).code is Code.JOURNAL_LOCKED
        with pytest.raises(SimpulError, match="another"):
            await asyncio.wait_for(two.consumer.sealing, WAIT_S)
        with pytest.raises(SimpulError):
            journal.check()
