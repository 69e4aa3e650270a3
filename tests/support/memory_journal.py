"""A journal in memory that a test can hold up or make fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from node.journal.model import Direction, LatePayload, Note, ParcelRecord
from security.errors import SimpulError


class MemoryJournal:
    """A `Recorder` that keeps records in a list."""

    def __init__(self) -> None:
        self.records: list[ParcelRecord] = []
        self.notes: list[Note] = []
        self.late: list[LatePayload] = []
        self.error: SimpulError | None = None
        self.held: list[asyncio.Future[None]] | None = None
        self.held_only: Direction | None = None

    def check(self) -> None:
        """It has room for ever."""

    def append_nowait(
        self, records: Sequence[ParcelRecord], notes: Sequence[Note] = ()
    ) -> asyncio.Future[None]:
        """Done at once, unless held or made to fail."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.error is not None:
            future.set_exception(self.error)
            return future
        self.records.extend(records)
        self.notes.extend(notes)
        ways = {record.direction for record in records}
        if self.held is None or (self.held_only is not None and self.held_only not in ways):
            future.set_result(None)
        else:
            self.held.append(future)
        return future

    def keep_late_nowait(self, late: LatePayload) -> asyncio.Future[None]:
        """As `append_nowait`."""
        self.late.append(late)
        return self.append_nowait(())

    def hold(self, only: Direction | None = None) -> None:
        """Nothing is durable until `release`; or nothing that goes this way."""
        self.held, self.held_only = [], only

    def release(self) -> None:
        """All is durable, and what follows is at once."""
        held, self.held = self.held or [], None
        for future in held:
            # The link that waited for it may be gone.
            if not future.done():
                future.set_result(None)
