"""The sets that this node's journal has, read in a thread and kept for the next question.

One reading at a time: it costs memory and the disk's time, and both belong to the calls. A
comparison asks about the same hour several times within seconds, so its sets are kept that long.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Final, TypeVar

from node.journal.compared import ComparedReader, HourSets, Span
from node.journal.place import Place
from security.reconcile import ParcelPlace

# Of all hours kept, at 32 bytes each.
MAX_KEPT_HASHES: Final = 4_000_000
KEPT_S: Final = 60.0

Found = TypeVar("Found")


class JournalSets:
    """Reads the journal at `place`. Each method raises what node.journal.compared says."""

    def __init__(self, place: Place, now_s: Callable[[], float]) -> None:
        self._place = place
        self._now_s = now_s
        self._reading = asyncio.Lock()
        self._kept: OrderedDict[Span, tuple[float, HourSets]] = OrderedDict()

    async def counts(self, span: Span) -> dict[int, int]:
        """How many parcels each hour has."""
        return await self._read(lambda reader: reader.counts(span))

    async def held_from_ms(self) -> int:
        """From which hour on nothing was dropped; 0 where nothing ever was."""
        return await self._read(lambda reader: reader.held_from_ms())

    async def hour(self, span: Span, hour: int) -> HourSets:
        """The hashes of one hour of the span; at most a minute old."""
        part = span.hour(hour)
        kept_s, found = self._kept.get(part, (0.0, None))
        if found is None or self._now_s() - kept_s > KEPT_S:
            found = await self._read(lambda reader: reader.hour(span, hour))
            self._keep(part, found)
        return found

    async def describe(
        self, span: Span, hour: int, hashes: Collection[bytes]
    ) -> tuple[ParcelPlace, ...]:
        """The parcels of one hour that have these hashes."""
        return await self._read(lambda reader: reader.describe(span, hour, hashes))

    async def _read(self, what: Callable[[ComparedReader], Found]) -> Found:
        def read() -> Found:
            with ComparedReader(self._place) as reader:
                return what(reader)

        async with self._reading:
            return await asyncio.to_thread(read)

    def _keep(self, part: Span, found: HourSets) -> None:
        now_s = self._now_s()
        self._kept[part] = (now_s, found)
        self._kept.move_to_end(part)
        while len(self._kept) > 0:
            kept_s, oldest = next(iter(self._kept.values()))
            total = sum(len(sets) for _, sets in self._kept.values())
            if now_s - kept_s <= KEPT_S and total <= MAX_KEPT_HASHES:
                break
            del oldest
            self._kept.popitem(last=False)
