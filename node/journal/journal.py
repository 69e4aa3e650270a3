"""What the node uses: append, and know when it's durable. Everything else is behind it.

It never holds the event loop: the disk is a thread's affair (`writer`). It reads nothing back; that
is for `reader` and `verify`, on connections of their own, also from other programs.

Rules: an append's future is done when its parcels are durable and never before. When `failed()`
returns, the process must end: what the disk holds is known again only after a start.

Source: docs/spec, "Journal".
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Self, TypeVar

from node.journal.kept.keys import Keys
from node.journal.model import LatePayload, Note, ParcelRecord
from node.journal.place import Place, PostgresPlace
from node.journal.store import Append, JournalStore
from node.journal.writer import Clock, Writer
from security.errors import SimpulError

LEASE_MS: Final = 10_000
MAX_WAITING: Final = 4096

Told = TypeVar("Told")


class Journal:
    """One slot of a node's journal, held by this process. Made by `open`."""

    def __init__(self, writer: Writer, failed: "asyncio.Future[SimpulError]") -> None:
        self._writer = writer
        self._failed = failed
        self._loop = failed.get_loop()

    @classmethod
    async def open(
        cls,
        place: Place,
        *,
        slot: int,
        holder: str,
        clock: Clock,
        lease_ms: int = LEASE_MS,
        max_waiting: int = MAX_WAITING,
        keys: Keys | None = None,
    ) -> Self:
        """Opens the journal at `place`, made where it's missing, and takes a slot of it.

        Args:
            place: The database; a file's folder must exist, and so must one of PostgreSQL.
            slot: From 0.
            holder: Who this is, for the errors of others: `ID/~labuan-bajo-1 worker 0, process 17`.
            clock: Milliseconds since the epoch, UTC (`runtime.clock.now_ms`). Called in a thread.
            lease_ms: How long the slot stays taken when this process is heard of no more.
            max_waiting: Appends that may wait for the disk.
            keys: Gives the keys by which content is kept, in the writer's thread; without them
                records that want any kept are refused.

        Raises:
            SimpulError: JOURNAL_LOCKED, JOURNAL_CORRUPT, JOURNAL_FULL, JOURNAL_FAILED, or
                CONFIG_INVALID where a newer version wrote the journal.
        """
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[SimpulError] = loop.create_future()
        opened: asyncio.Future[SimpulError | None] = loop.create_future()
        writer = Writer(
            lambda: _open_store(place, keys),
            clock,
            max_waiting=max_waiting,
            on_failure=lambda error: _tell(failed, error),
        )
        writer.start(slot, holder, lease_ms, lambda error: _tell(opened, error))
        try:
            error = await opened
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.to_thread(writer.close))
            raise
        if error is not None:
            raise error
        return cls(writer, failed)

    def append_nowait(
        self, records: Sequence[ParcelRecord], notes: Sequence[Note] = ()
    ) -> "asyncio.Future[None]":
        """Puts parcels in line, all or none of which are recorded, next to each other.

        The order of these calls is the order in the tree. Cancelling the future undoes nothing.

        Returns:
            A future that is done when they're durable. It fails with SimpulError: JOURNAL_FULL,
            JOURNAL_FAILED, JOURNAL_LOCKED, JOURNAL_CORRUPT or CONFLICT (node.journal.store says
            when); then close the links concerned: their later parcels are refused with the same
            error.

        Raises:
            SimpulError: OVERLOADED, when too many appends wait. Nothing was put in line.
        """
        return self._writer.submit(Append(tuple(records), tuple(notes)), self._loop)

    def keep_late_nowait(self, late: LatePayload) -> "asyncio.Future[None]":
        """Puts in line a payload that came after its parcel was recorded, to be kept beside it.

        Returns and raises as `append_nowait` does.
        """
        return self._writer.submit(Append(late=(late,)), self._loop)

    async def append(self, records: Sequence[ParcelRecord], notes: Sequence[Note] = ()) -> None:
        """Records parcels; returns when they're durable. See `append_nowait`.

        Being cancelled undoes nothing.
        """
        await asyncio.shield(self.append_nowait(records, notes))

    @property
    def size(self) -> int:
        """The number of leaves that are durable."""
        return self._writer.head.size

    def root(self) -> bytes:
        """The root of the tree that is durable; 32 bytes."""
        return self._writer.head.root()

    def check(self) -> None:
        """Passes where records are being taken, as far as is known.

        Raises:
            SimpulError: JOURNAL_FULL, since an append found no room, until the disk has some; or
                what `failure` says.
        """
        error = self._writer.failure or self._writer.full
        if error is not None:
            raise SimpulError(error.code, error.message, **error.details)

    @property
    def failure(self) -> SimpulError | None:
        """Why nothing more can be recorded, if so."""
        return self._writer.failure

    async def failed(self) -> SimpulError:
        """Waits until nothing more can be recorded, and returns why. The process must then end."""
        return await asyncio.shield(self._failed)

    async def close(self) -> None:
        """Records what waits, and gives the slot back. Failures were told to those who wait."""
        await asyncio.to_thread(self._writer.close)


def _open_store(place: Place, keys: Keys | None) -> JournalStore:
    # Here, and not above: it takes a third of a second, which the thread has and the loop has not.
    if isinstance(place, PostgresPlace):
        from node.journal.postgres_store import PostgresJournalStore  # noqa: PLC0415

        return PostgresJournalStore.open(place, keys=keys)
    from node.journal.sqlite_store import SqliteJournalStore  # noqa: PLC0415

    return SqliteJournalStore.open(place, keys)


def _tell(future: "asyncio.Future[Told]", what: Told) -> None:
    """Sets a future's result from another thread."""

    def tell() -> None:
        if not future.done():
            future.set_result(what)

    try:
        future.get_loop().call_soon_threadsafe(tell)
    except RuntimeError:
        # The loop is closed, and with it whoever would hear.
        return
