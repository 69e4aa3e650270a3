"""The storage contract on PostgreSQL: several workers, on several machines, on one database.

A slot is its holder's by its lease alone: nothing tells across machines that a process is dead, so
a killed holder's slot is free when its lease is over. Machines' clocks may differ: a lease that is
taken too early costs its holder the slot, and no record, because every append checks the fencing
number in its own transaction.

Slots write at the same time. What they share (names, links, terms) is added under a lock of the
database's; calls get their numbers in blocks.

**A connection lost during a commit** leaves it open whether the group is there. The store connects
again and looks: the slot's size says whether that transaction was committed. Then the group goes in
once more, by the way on which what is there is acknowledged and not written. Nobody was answered
meanwhile.

    fencing is another's    -> JOURNAL_LOCKED
    size as before          -> not committed: append it
    size grown              -> committed: acknowledge what is there
    size fallen             -> JOURNAL_CORRUPT: a fail-over to a database that is behind

Source: node.journal.store, which is the contract.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import sleep
from typing import Final, Self, TypeVar

from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from node.journal.kept.keys import Keys
from node.journal.model import CallNote, Note
from node.journal.place import PostgresPlace
from node.journal.postgres import (
    Connect,
    ConnectionLostError,
    connector,
    lock_for_migration,
    open_postgres,
    postgres_meaning,
)
from node.journal.schema import migrate_within
from node.journal.sql_store import SqlJournalStore
from node.journal.store import Append, Appended, Lease
from node.journal.tables import CALLS, NO_LINK, SLOTS
from runtime.postgres import original
from security.errors import SimpulError
from security.merkle import Frontier

# Waits between attempts to connect again: a fail-over takes some seconds, and the node refuses
# traffic meanwhile because its queue is full.
RECONNECT_WAITS_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)

_Result = TypeVar("_Result")


class PostgresJournalStore(SqlJournalStore):
    """See `JournalStore`."""

    def __init__(
        self,
        engine: Engine,
        where: str,
        waits_s: Sequence[float] = RECONNECT_WAITS_S,
        keys: Keys | None = None,
    ) -> None:
        super().__init__(engine, where, keys)
        self._waits_s = waits_s

    @classmethod
    def open(
        cls,
        place: PostgresPlace,
        *,
        connect: Connect | None = None,
        waits_s: Sequence[float] = RECONNECT_WAITS_S,
        keys: Keys | None = None,
    ) -> Self:
        """Opens the journal in a database, and brings it up to date.

        Args:
            place: The database; it must exist.
            connect: Opens a connection; by default to `place`.
            waits_s: Seconds before each attempt to connect again.
            keys: Those by which content is kept; without them none can be.

        Raises:
            SimpulError: JOURNAL_FAILED, where it can't be reached; CONFIG_INVALID, where its
                commits aren't durable or a newer version wrote it.
        """
        where = str(place)
        engine = open_postgres(connect or connector(place), NullPool)
        try:
            with engine.begin() as connection:
                lock_for_migration(connection)
                migrate_within(connection, where)
            return cls(engine, where, waits_s, keys)
        except (DBAPIError, engine.dialect.loaded_dbapi.Error) as error:
            engine.dispose()
            raise postgres_meaning(where, original(error)) from error
        except BaseException:
            engine.dispose()
            raise

    def append(
        self, lease: Lease, head: Frontier, group: Sequence[Append], *, now_ms: int
    ) -> Appended:
        """See the contract, and the module's text."""
        try:
            return super().append(lease, head, group, now_ms=now_ms)
        except ConnectionLostError:
            found = self._again(lambda: self._look(lease, head))
        if found.size != head.size:
            group = [replace(item, notes=()) for item in group]
        else:
            group = [replace(item, notes=self._unknown(item.notes)) for item in group]
        return super().append(lease, found, group, now_ms=now_ms)

    def renew(self, lease: Lease, *, now_ms: int) -> None:
        """See the contract."""
        try:
            super().renew(lease, now_ms=now_ms)
        except ConnectionLostError:
            self._again(lambda: super(PostgresJournalStore, self).renew(lease, now_ms=now_ms))

    def tidy(self) -> None:
        """See the contract. The server does it."""

    def _again(self, work: Callable[[], _Result]) -> _Result:
        """Does `work` on a new connection; what it raises last is raised."""
        for wait_s in self._waits_s:
            sleep(wait_s)
            try:
                self._drop()
                self._connection = self._connect()
                return work()
            except ConnectionLostError as error:
                lost = error
        raise lost

    def _drop(self) -> None:
        if not self._connection.closed:
            # Without a word to the server, which may be gone.
            self._connection.invalidate()
            self._connection.close()

    def _look(self, lease: Lease, head: Frontier) -> Frontier:
        """The slot's tree as the database has it now."""
        with self._transaction() as connection:
            row = connection.execute(
                select(SLOTS).where(SLOTS.c.number == lease.slot).with_for_update()
            ).first()
            if row is None or row.fencing != lease.fencing or row.size < head.size:
                raise self._lost(connection, lease)
            return Frontier.from_bytes(bytes(row.frontier))

    def _unknown(self, notes: tuple[Note, ...]) -> tuple[Note, ...]:
        """The notes that aren't there yet: a slot's size says nothing of a group of notes alone."""
        if len(notes) == 0:
            return notes
        with self._transaction() as connection:
            there = set(
                connection.execute(
                    select(CALLS.c.call_id).where(
                        CALLS.c.call_id.in_(
                            [note.call_id for note in notes if isinstance(note, CallNote)]
                        ),
                        CALLS.c.link == NO_LINK,
                    )
                ).scalars()
            )
        return tuple(
            note for note in notes if not isinstance(note, CallNote) or note.call_id not in there
        )

    def _holder_is_dead(self, slot: int, fencing: int) -> bool:  # noqa: ARG002  (no lock tells)
        """Never certain: its machine may only be out of reach."""
        return False

    def _hold(self, lease: Lease) -> None:
        """Its lease says it."""

    def _let_go(self, lease: Lease) -> None:
        """Its lease said it."""

    def _meaning(self, error: BaseException | None) -> SimpulError:
        return postgres_meaning(self._where, error)
