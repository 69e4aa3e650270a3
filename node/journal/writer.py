"""The one thread that writes a slot: takes all that waits, makes it durable in one transaction.

While the disk is busy with one group the next one gathers, so groups grow with the load and each
costs one fsync. The event loop never waits for the disk: it puts an append in the queue and gets a
future. The queue has a bound, and past it an append is refused at once.

    submit -> queue -> [ group: one transaction, one fsync ] -> futures, each in its own loop

Rules: the order of `submit` is the order in the tree. After an error that leaves it open what is on
the disk, nothing more is tried and every later append gets that error. After any failed append the
records of the same links are refused too: their parcels' chain would have a gap.

Source: docs/spec, "Journal"; node.journal.store for what is durable when.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Final

from node.journal.store import PASSING, Append, JournalStore, Lease
from security.errors import Code, SimpulError
from security.merkle import Frontier

# One transaction's bounds: what is more waits for the next.
MAX_GROUP_APPENDS: Final = 4096
MAX_GROUP_ENTRIES: Final = 16_384
# A lease is renewed when this part of it is gone.
RENEW_PARTS: Final = 3
# How often a full disk is looked at again.
PROBE_S: Final = 1.0
# More links than a node has in an hour, which is as long as a link lives.
MAX_BROKEN_LINKS: Final = 100_000

Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class _Waiting:
    item: Append
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"


_Result = tuple[_Waiting, SimpulError | None]


class Writer:
    """Owns the store, from its opening to its closing, in a thread of its own."""

    def __init__(
        self,
        open_store: Callable[[], JournalStore],
        clock: Clock,
        *,
        max_waiting: int,
        on_failure: Callable[[SimpulError], None],
    ) -> None:
        """`on_failure` is called once, from the thread, when nothing more can be written."""
        self._open_store = open_store
        self._clock = clock
        self._max_waiting = max_waiting
        self._on_failure = on_failure
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._closing = False
        self._broken_links: dict[bytes, SimpulError] = {}
        self.head = Frontier()
        self.failure: SimpulError | None = None
        # Since an append found no room, until a write finds some.
        self.full: SimpulError | None = None
        self._thread: Thread | None = None

    def start(
        self, slot: int, holder: str, lease_ms: int, opened: Callable[[SimpulError | None], None]
    ) -> None:
        """Starts the thread; it calls `opened` when it holds the slot, or couldn't take it."""
        self._thread = Thread(
            target=self._run, args=(slot, holder, lease_ms, opened), name=f"journal-{slot}"
        )
        # A process that must end isn't held by a disk that doesn't answer.
        self._thread.daemon = True
        self._thread.start()

    def submit(self, item: Append, loop: asyncio.AbstractEventLoop) -> "asyncio.Future[None]":
        """Puts an append in the queue. Its future is done when it's durable, or failed.

        Raises:
            SimpulError: OVERLOADED, when the queue is full: nothing was taken up.
        """
        waiting = _Waiting(item, loop, loop.create_future())
        with self._changed:
            if self.failure is not None or self._closing:
                waiting.future.set_exception(self.failure or _closed())
                return waiting.future
            if len(self._queue) >= self._max_waiting:
                raise SimpulError(
                    Code.OVERLOADED,
                    f"{len(self._queue)} appends wait for the journal's disk: try again later",
                )
            self._queue.append(waiting)
            self._changed.notify()
        return waiting.future

    def close(self) -> None:
        """Writes what waits, gives the slot back and ends the thread. Blocks until it's done."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(
        self,
        slot: int,
        holder: str,
        lease_ms: int,
        opened: Callable[[SimpulError | None], None],
    ) -> None:
        store: JournalStore | None = None
        try:
            store = self._open_store()
            lease, self.head = store.take(slot, holder, now_ms=self._clock(), lease_ms=lease_ms)
        except Exception as error:  # noqa: BLE001  (whatever it is, the opener must hear of it)
            if store is not None:
                store.close()
            opened(_known(error))
            return
        opened(None)
        try:
            self._work(store, lease)
            store.release(lease)
        except Exception as error:  # noqa: BLE001  (whatever it is, nobody may wait for ever)
            self._fail(_known(error))
        finally:
            store.close()

    def _work(self, store: JournalStore, lease: Lease) -> None:
        idle_s = lease.duration_ms / RENEW_PARTS / 1000
        while True:
            # While it's full nothing may come that would find out that there is room again.
            group = self._take_group(idle_s if self.full is None else min(idle_s, PROBE_S))
            if group is None:
                return
            if len(group) == 0:
                self._renew(store, lease)
                continue
            self._write(store, lease, group)
            store.tidy()

    def _take_group(self, idle_s: float) -> list[_Waiting] | None:
        """All that waits, within one group; nothing after `idle_s`; None at the end."""
        with self._changed:
            if len(self._queue) == 0 and not self._closing:
                self._changed.wait(idle_s)
            if len(self._queue) == 0:
                return None if self._closing else []
            group: list[_Waiting] = []
            entries = 0
            while len(self._queue) > 0 and len(group) < MAX_GROUP_APPENDS:
                entries += sum(len(record.entries) for record in self._queue[0].item.records)
                if entries > MAX_GROUP_ENTRIES and len(group) > 0:
                    break
                group.append(self._queue.popleft())
            return group

    def _renew(self, store: JournalStore, lease: Lease) -> None:
        try:
            store.renew(lease, now_ms=self._clock())
            self.full = None
        except SimpulError as error:
            if error.code not in PASSING:
                raise

    def _write(self, store: JournalStore, lease: Lease, group: Sequence[_Waiting]) -> None:
        results: list[_Result] = []
        whole: list[_Waiting] = []
        for waiting in group:
            error = self._broken(waiting)
            if error is None:
                whole.append(waiting)
            else:
                results.append((waiting, error))
        if len(whole) == 0:
            self._settle(results)
            return
        try:
            done = store.append(
                lease, self.head, [waiting.item for waiting in whole], now_ms=self._clock()
            )
        except Exception as error:
            known = _known(error)
            self._settle([*results, *((waiting, known) for waiting in whole)])
            if known.code not in PASSING:
                raise known from error
            self.full = known
            return
        self.head = done.head
        if any(waiting.item.records for waiting in whole):
            # A note is so small that its fitting in says nothing of a parcel's.
            self.full = None
        results += ((waiting, done.refused.get(place)) for place, waiting in enumerate(whole))
        self._settle(results)

    def _broken(self, waiting: _Waiting) -> SimpulError | None:
        """The error that an earlier record of one of these links met."""
        if len(self._broken_links) == 0:
            return None
        for record in waiting.item.records:
            error = self._broken_links.get(record.link_id)
            if error is not None:
                return error
        return None

    def _break_links(self, item: Append, error: SimpulError) -> None:
        for record in item.records:
            self._broken_links.setdefault(record.link_id, error)
        while len(self._broken_links) > MAX_BROKEN_LINKS:
            del self._broken_links[next(iter(self._broken_links))]

    def _settle(self, results: Sequence[_Result]) -> None:
        """Tells each loop, in one call, what became of its appends."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Result]] = {}
        for waiting, error in results:
            if error is not None:
                self._break_links(waiting.item, error)
            by_loop.setdefault(waiting.loop, []).append((waiting, error))
        for loop, settled in by_loop.items():
            try:
                loop.call_soon_threadsafe(_resolve, settled)
            except RuntimeError:
                # The loop is closed, and with it all who waited.
                continue

    def _fail(self, error: SimpulError) -> None:
        with self._changed:
            self.failure = error
            left = list(self._queue)
            self._queue.clear()
        self._settle([(waiting, error) for waiting in left])
        self._on_failure(error)


def _resolve(settled: Sequence[_Result]) -> None:
    for waiting, error in settled:
        if waiting.future.done():
            # Cancelled by who waited; the record is written all the same.
            continue
        if error is None:
            waiting.future.set_result(None)
        else:
            waiting.future.set_exception(error)


def _known(error: Exception) -> SimpulError:
    if isinstance(error, SimpulError):
        return error
    known = SimpulError(
        Code.JOURNAL_FAILED, "the journal failed in a way it doesn't know: start the node again"
    )
    known.__cause__ = error
    return known


def _closed() -> SimpulError:
    return SimpulError(Code.JOURNAL_FAILED, "the journal is closed: start the node again")
