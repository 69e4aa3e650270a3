"""Opening journals in tests, and looking inside them as no program of ours would."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from node.journal.journal import Journal
from node.journal.model import ParcelRecord
from node.journal.place import Place, PostgresPlace
from node.journal.postgres_store import PostgresJournalStore
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append, JournalStore
from security.merkle import Frontier
from tests.unit.node.journal.builder import NOW_MS

LEASE_MS = 10_000
# Undoes the journal's migration 0011, for tests of what it does.
BEFORE_DROPPED_PARCELS = """
DROP TABLE dropped_parcels;
ALTER TABLE dropped DROP COLUMN unhashed_before_ms;
"""
# Likewise 0009; what follows it is to be undone before.
BEFORE_SIDES = """
ALTER TABLE terms RENAME TO newer;
CREATE TABLE terms (
    id INTEGER PRIMARY KEY, consumer BIGINT NOT NULL, provider BIGINT NOT NULL,
    service BIGINT NOT NULL, method BIGINT NOT NULL, agreement BIGINT NOT NULL,
    purpose BIGINT NOT NULL,
    UNIQUE (consumer, provider, service, method, agreement, purpose)
);
INSERT INTO terms
    SELECT min(id), consumer, provider, service, method, agreement, purpose
    FROM newer GROUP BY 2, 3, 4, 5, 6, 7;
UPDATE calls SET terms = (
    SELECT terms.id FROM newer
    JOIN terms USING (consumer, provider, service, method, agreement, purpose)
    WHERE newer.id = calls.terms
);
DROP TABLE newer;
"""


def clock() -> int:
    return NOW_MS


async def open_journal(place: Place, slot: int = 0, holder: str = "worker 0") -> Journal:
    return await Journal.open(place, slot=slot, holder=holder, clock=clock)


def open_place(place: Place) -> JournalStore:
    """A store, of the kind that the place is of."""
    if isinstance(place, PostgresPlace):
        return PostgresJournalStore.open(place)
    return SqliteJournalStore.open(place)


def write(
    place: Place, *appends: Sequence[ParcelRecord], slot: int = 0, at_ms: int = NOW_MS
) -> Frontier:
    """Appends each list of records, one group in all, and closes the journal."""
    store = open_place(place)
    try:
        lease, head = store.take(slot, "test", now_ms=at_ms, lease_ms=LEASE_MS)
        group = [Append(tuple(records)) for records in appends]
        done = store.append(lease, head, group, now_ms=at_ms)
        assert done.refused == {}
        store.release(lease)
        return done.head
    finally:
        store.close()


def tamper(path: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Changes a stopped journal behind its back; each statement must change something."""
    connection = sqlite3.connect(path)
    try:
        for sql, values in statements:
            assert connection.execute(sql, values).rowcount > 0, sql
        connection.commit()
    finally:
        connection.close()


def read(path: Path, sql: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()
