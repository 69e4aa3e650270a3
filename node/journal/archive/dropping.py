"""Takes parcels out of a journal, a few at a time; what stays keeps the tree provable.

**Only the oldest.** A slot's parcels are dropped from its first on, without a gap. Of each its
leaf's data stays and what other nodes compare, and of each link the last one's hash: proofs,
checkpoints and chains hold as before, and a loss at the other side is still found.

**Never in the way.** One transaction takes a few milliseconds: as many entries as the time of the
one before lets expect. What is read is read before it, and between two there is a rest in which
appends go on. It isn't synced: after a power cut some parcels may be there again, and are dropped
again. What it removes was to be removed, so nothing is lost by that.

**Salts stay** unless told otherwise: whoever has the bytes can still prove them. They're a table of
their own, outside every archive, and go when their call is erased.

**Errors.** Those of node.journal.store. After JOURNAL_FAILED nothing more may be tried.

For one thread. It asks no clock but how long a step took.

Source: docs/spec, "Archives: what stays in the journal".
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Table,
    delete,
    exists,
    insert,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from node.journal.archive.gone import keep_gone
from node.journal.archive.leaves import first_kept, keep_leaves
from node.journal.archive.tables import ARCHIVES, CUT_CALLS, DROPPED, LINK_TAILS
from node.journal.kept.tables import KEPT_KEYS, KEPT_PARTS, PERSONS
from node.journal.model import Outcome, Role
from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    CHECKPOINTS,
    NAMES,
    NO_CALL,
    OUTCOMES,
    PARCELS,
    ROLES,
    SALTS,
    TERMS,
    TIMESTAMPS,
)
from node.journal.writable import open_to_write
from security.errors import Code, SimpulError
from security.hashing import JOURNAL_LEAF, digest

# How long a step may keep the lock, and with how many entries it begins. Fewer would cost as much:
# a step of none takes some milliseconds.
STEP_S: Final = 0.008
FIRST_ENTRIES: Final = 64
# One transaction's bounds.
MAX_PARCELS: Final = 64
MAX_ENTRIES: Final = 512
MAX_ROWS: Final = 256
# Pages of 4 KiB that are given back to the system at once.
FREED_PAGES: Final = 64
# A call ends within an hour, and so does a link: what is older than a day has no more to come.
LIVE_MS: Final = 24 * 3600 * 1000

# Content that lies beside a parcel, by slot and index.
CONTENT: Final = (KEPT_KEYS, KEPT_PARTS)

# A call: when it was opened, and its number.
Mark = tuple[int, int]

_CONSUMER: Final = ROLES.index(Role.CONSUMER)
_OPEN: Final = OUTCOMES.index(Outcome.OPEN)
_ENDED_HERE: Final = (OUTCOMES.index(Outcome.REFUSED), OUTCOMES.index(Outcome.LOST))


@dataclass(frozen=True, slots=True)
class _Batch:
    """Parcels that go at once: from `first` to before `end`."""

    first: int
    end: int
    leaves: tuple[bytes, ...]
    rows: tuple[Row[Any], ...]
    # By link and direction: the number and header hash of the last.
    tails: dict[tuple[int, int], tuple[int, bytes]]
    entries: int


class Dropper:
    """See the module's text."""

    def __init__(self, place: Place) -> None:
        """Opens the journal at `place`.

        Raises:
            SimpulError: as the journal's own opening does.
        """
        self._where = str(place)
        self._engine: Engine
        # One connection for good: opening one takes longer than a step may.
        self._engine, self._told = open_to_write(place, StaticPool)
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        self._journal = ReadOnly(place)
        self._max_entries = FIRST_ENTRIES

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()
        self._engine.dispose()

    def drop_some(self, slot: int, upto: int, before_ms: int, *, salts: bool = False) -> int:
        """Drops some of a slot's oldest parcels, of the first `upto` and recorded before a time.

        Args:
            slot: Whose.
            upto: How many of the slot's first parcels may go in all.
            before_ms: What was recorded later stays, and all behind it.
            salts: Whether their salts go too.

        Returns:
            How many went; 0 when none is left that may.
        """
        with self._journal.snapshot() as connection:
            first = first_kept(connection, slot)
            batch = _batch(connection, slot, (first, upto), before_ms, self._max_entries)
        if batch is None:
            return 0
        with self._transaction() as connection:
            # From here on the lock is held; waiting for it is no work.
            began = monotonic()
            _move_on(connection, slot, batch)
            keep_leaves(connection, slot, batch.first, batch.leaves)
            keep_gone(connection, slot, batch.rows)
            _keep_tails(connection, batch)
            calls = _drop_rows(connection, slot, batch, salts=salts)
            _drop_calls(connection, calls, before_ms)
            _drop_checkpoints(connection, slot, batch.end)
            took_s = monotonic() - began
        self._pace(batch.entries, took_s)
        return batch.end - batch.first

    def _pace(self, entries: int, took_s: float) -> None:
        """Has the next step take about as long as one may, by what this one took."""
        fitting = int(max(entries, 1) * STEP_S / max(took_s, 1e-6))
        # Not more than twice as many at once: one quick step says little.
        self._max_entries = max(FIRST_ENTRIES, min(fitting, 2 * self._max_entries, MAX_ENTRIES))

    def drop_content(self, slot: int, upto: int) -> int:
        """Drops some of the content that lies beside a slot's first `upto` parcels."""
        return sum(self._drop_beside(table, slot, 0, upto) for table in CONTENT)

    def terms_of(self, agreement: bytes) -> tuple[int, ...]:
        """Returns the terms of calls that this node made under an agreement, by their numbers."""
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(TERMS.c.id)
                .join(NAMES, NAMES.c.id == TERMS.c.agreement)
                .where(NAMES.c.text == agreement.hex(), TERMS.c.role == _CONSUMER)
            ).scalars()
            return tuple(int(row) for row in rows)

    def drop_consumed(self, terms: int, after: Mark, before_ms: int) -> Mark | None:
        """Drops the content of some calls of these terms, by the mark of the last looked at.

        Returns:
            The new mark, or None where no call is left.
        """
        wanted = (
            select(CALLS.c.id, CALLS.c.opened_at_ms)
            .where(
                CALLS.c.terms == terms,
                CALLS.c.opened_at_ms >= after[0],
                CALLS.c.opened_at_ms < before_ms,
                tuple_(CALLS.c.opened_at_ms, CALLS.c.id) > tuple_(*after),
            )
            .order_by(CALLS.c.opened_at_ms, CALLS.c.id)
            .limit(MAX_PARCELS)
        )
        with self._journal.snapshot() as connection:
            calls = connection.execute(wanted).all()
            made = [int(row.id) for row in calls]
            entries = connection.execute(
                select(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no).where(
                    CALL_ENTRIES.c.call.in_(made)
                )
            ).all()
        places = [tuple(row) for row in entries]
        for part in range(0, len(places), MAX_ROWS):
            with self._transaction(overwrite=True) as connection:
                for table in CONTENT:
                    key = tuple_(table.c.slot, table.c.idx, table.c.entry_no)
                    connection.execute(delete(table).where(key.in_(places[part : part + MAX_ROWS])))
        return None if len(calls) == 0 else (int(calls[-1].opened_at_ms), int(calls[-1].id))

    def drop_salts(self, slot: int, first: int, end: int) -> int:
        """Drops some salts of the parcels from `first` to before `end`."""
        return self._drop_beside(SALTS, slot, first, end)

    def _drop_beside(self, table: Table, slot: int, first: int, end: int) -> int:
        within = (table.c.slot == slot, table.c.idx >= first, table.c.idx < end)
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(table.c.idx).where(*within).order_by(table.c.idx).limit(MAX_ROWS)
            ).scalars()
            found = [int(idx) for idx in rows]
        if len(found) > 0:
            with self._transaction(overwrite=True) as connection:
                connection.execute(delete(table).where(*within, table.c.idx <= found[-1]))
        return len(found)

    def drop_notes(self, before_ms: int) -> int:
        """Drops some calls that have no parcel: refused here, lost before one, or cut and empty."""
        bare = ~exists().where(CALL_ENTRIES.c.call == CALLS.c.id)
        noted = (
            select(CALLS.c.id)
            .where(CALLS.c.opened_at_ms < before_ms, CALLS.c.outcome.in_(_ENDED_HERE), bare)
            .limit(MAX_ROWS)
        )
        cut = (
            select(CALLS.c.id)
            .join(CUT_CALLS, CUT_CALLS.c.call == CALLS.c.id)
            .where(CALLS.c.opened_at_ms < before_ms, bare)
            .limit(MAX_ROWS)
        )
        with self._journal.snapshot() as connection:
            ids = [*connection.execute(noted).scalars(), *connection.execute(cut).scalars()]
        if len(ids) > 0:
            with self._transaction() as connection:
                _delete_calls(connection, ids)
        return len(ids)

    def free_some(self) -> int:
        """Gives some of the disk back to the system, and returns how many pages those were.

        Of a file that was made before this was thought of none; PostgreSQL does it by itself.
        """
        if not self._is_sqlite:
            return 0
        with self._driver_connection() as driver:
            driver.execute("PRAGMA synchronous=NORMAL")
            before = driver.execute("PRAGMA freelist_count").fetchone()[0]
            # Each page that it frees is a step of the statement.
            driver.execute(f"PRAGMA incremental_vacuum({FREED_PAGES})").fetchall()
            return int(before) - int(driver.execute("PRAGMA freelist_count").fetchone()[0])

    def write_back(self) -> None:
        """Has SQLite's log written back into the file, so that it doesn't grow by what is dropped.

        Raises:
            SimpulError: JOURNAL_FAILED: the disk failed.
        """
        if self._is_sqlite:
            with self._driver_connection() as driver:
                driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _driver_connection(self) -> Iterator[Any]:
        """The driver's own: SQLAlchemy's would begin a transaction first."""
        raw = self._engine.raw_connection()
        try:
            yield raw.driver_connection
        except sqlite3.Error as error:
            raise self._told(error) from error
        finally:
            raw.close()

    @contextmanager
    def _transaction(self, *, overwrite: bool = False) -> Iterator[Connection]:
        """Not synced; with `overwrite` what is deleted is overwritten, and not only forgotten."""
        try:
            with self._engine.connect() as connection:
                if self._is_sqlite:
                    driver = connection.connection.driver_connection
                    if driver is not None:
                        driver.execute("PRAGMA synchronous=NORMAL")
                        driver.execute(f"PRAGMA secure_delete={'ON' if overwrite else 'OFF'}")
                with connection.begin():
                    if not self._is_sqlite:
                        connection.execute(text("SET LOCAL synchronous_commit = off"))
                    yield connection
        except DBAPIError as error:
            raise self._told(error.orig) from error


def _batch(
    connection: Connection, slot: int, span: tuple[int, int], before_ms: int, max_entries: int
) -> _Batch | None:
    first, upto = span
    rows = connection.execute(
        select(PARCELS)
        .where(PARCELS.c.slot == slot, PARCELS.c.idx >= first, PARCELS.c.idx < upto)
        .order_by(PARCELS.c.idx)
        .limit(MAX_PARCELS)
    )
    leaves: list[bytes] = []
    gone: list[Row[Any]] = []
    tails: dict[tuple[int, int], tuple[int, bytes]] = {}
    entries = 0
    for row in rows:
        if int(row.idx) != first + len(leaves):
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"slot {slot} lacks parcel {first + len(leaves)}: run simpul journal verify",
            )
        count = int(row.entry_count)
        too_many = entries + count > max_entries and len(leaves) > 0
        if row.recorded_at_ms >= before_ms or too_many:
            break
        entries += count
        gone.append(row)
        leaves.append(digest(JOURNAL_LEAF, bytes(row.header), bytes(row.seal)))
        tails[row.link, row.direction] = (int(row.number), bytes(row.header_hash))
    if len(leaves) == 0:
        return None
    return _Batch(first, first + len(leaves), tuple(leaves), tuple(gone), tails, entries)


def _move_on(connection: Connection, slot: int, batch: _Batch) -> None:
    """Notes how many were dropped, by compare and swap: two programs don't do it at once."""
    if batch.first == 0:
        there = connection.execute(select(DROPPED.c.first).where(DROPPED.c.slot == slot)).first()
        if there is None:
            connection.execute(
                insert(DROPPED), {"slot": slot, "first": batch.end, "unhashed_before_ms": 0}
            )
            return
    done = connection.execute(
        update(DROPPED)
        .where(DROPPED.c.slot == slot, DROPPED.c.first == batch.first)
        .values(first=batch.end)
    )
    if done.rowcount != 1:
        raise SimpulError(
            Code.CONFLICT,
            f"another program drops parcels of slot {slot} too: let one do it",
            slot=str(slot),
        )


def _keep_tails(connection: Connection, batch: _Batch) -> None:
    for (link, direction), (number, header_hash) in batch.tails.items():
        where = (LINK_TAILS.c.link == link, LINK_TAILS.c.direction == direction)
        values = {"number": number, "header_hash": header_hash}
        done = connection.execute(update(LINK_TAILS).where(*where).values(values))
        if done.rowcount == 0:
            connection.execute(insert(LINK_TAILS), {"link": link, "direction": direction, **values})


def _drop_rows(connection: Connection, slot: int, batch: _Batch, *, salts: bool) -> list[int]:
    """Deletes what the parcels are made of, and returns the calls that they were of."""
    tables = (PARCELS, CALL_ENTRIES, *CONTENT, *((SALTS,) if salts else ()))
    last = batch.end - 1
    calls = connection.execute(
        select(CALL_ENTRIES.c.call)
        .distinct()
        .where(
            CALL_ENTRIES.c.slot == slot,
            CALL_ENTRIES.c.idx.between(batch.first, last),
            CALL_ENTRIES.c.call != NO_CALL,
        )
    ).scalars()
    found = [int(call) for call in calls]
    for table in tables:
        connection.execute(
            delete(table).where(table.c.slot == slot, table.c.idx.between(batch.first, last))
        )
    return found


def _drop_calls(connection: Connection, calls: Sequence[int], before_ms: int) -> None:
    """Deletes the calls that nothing is left of, and marks those that something is."""
    if len(calls) == 0:
        return
    left = set(
        connection.execute(
            select(CALL_ENTRIES.c.call).distinct().where(CALL_ENTRIES.c.call.in_(calls))
        ).scalars()
    )
    # One that is open may go on: its next entry is to find it.
    left |= set(
        connection.execute(
            select(CALLS.c.id).where(
                CALLS.c.id.in_(calls),
                CALLS.c.outcome == _OPEN,
                CALLS.c.opened_at_ms >= before_ms,
            )
        ).scalars()
    )
    _delete_calls(connection, [call for call in calls if call not in left])
    marked = set(
        connection.execute(select(CUT_CALLS.c.call).where(CUT_CALLS.c.call.in_(left))).scalars()
    )
    new = [{"call": call} for call in left - marked]
    if len(new) > 0:
        connection.execute(insert(CUT_CALLS), new)


def _delete_calls(connection: Connection, calls: Sequence[int]) -> None:
    columns = (
        (CALLS, CALLS.c.id),
        (CUT_CALLS, CUT_CALLS.c.call),
        (PERSONS, PERSONS.c.call),
    )
    for table, column in columns:
        if len(calls) > 0:
            connection.execute(delete(table).where(column.in_(calls)))


def _drop_checkpoints(connection: Connection, slot: int, first: int) -> None:
    """Deletes the checkpoints that cover nothing that is left; those at archives' ends stay."""
    is_end = exists().where(
        ARCHIVES.c.slot == CHECKPOINTS.c.slot, ARCHIVES.c.end_idx == CHECKPOINTS.c.size
    )
    needless = (CHECKPOINTS.c.slot == slot, CHECKPOINTS.c.size < first, ~is_end)
    sizes = list(
        connection.execute(
            select(CHECKPOINTS.c.size).where(*needless).order_by(CHECKPOINTS.c.size).limit(MAX_ROWS)
        ).scalars()
    )
    for table in (TIMESTAMPS, CHECKPOINTS):
        if len(sizes) > 0:
            connection.execute(delete(table).where(table.c.slot == slot, table.c.size.in_(sizes)))
