"""What no parcel says, on its way to the journal: calls refused here, links that ended or settled.

Notes gather while an append is under way, so however many calls are refused at once, one append
waits for the disk. Where the journal has no room, whoever waits for a note is told so; what is said
of a link is tried again until it is recorded, because its calls would stay open for ever.

Source: docs/spec, "Journal: the index of calls".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from node.journal.model import CallNote, Note
from node.link.sealer import PASSING, Recorder
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# Calls whose refusal waits for the disk; past it more are refused without a record.
MAX_WAITING: Final = 10_000
RETRY_S: Final = 1.0

_Waiting = tuple[Note, asyncio.Future[None]]


class Notes:
    """One for each worker."""

    def __init__(self, journal: Recorder) -> None:
        self._journal = journal
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    def put(self, note: Note) -> asyncio.Future[None]:
        """Put a note in line, after every parcel that was put there before.

        Returns:
            A future that is done when the note is durable, or fails with the journal's error. That
            nobody waits for it is no fault.

        Raises:
            SimpulError: Too many calls' notes wait (OVERLOADED): nothing was taken up.
        """
        if isinstance(note, CallNote) and len(self._waiting) >= MAX_WAITING:
            raise SimpulError(
                Code.OVERLOADED, f"{MAX_WAITING} refusals wait for the journal's disk"
            )
        loop = asyncio.get_running_loop()
        durable: asyncio.Future[None] = loop.create_future()
        self._waiting.append((note, durable))
        if self._writing is None:
            self._writing = loop.create_task(self._write())
        return durable

    async def close(self, timeout_s: float) -> None:
        """Wait until nothing waits, for at most so long; then give up what does."""
        if self._writing is None:
            return
        _, late = await asyncio.wait({self._writing}, timeout=timeout_s)
        for task in late:
            task.cancel()
            await asyncio.wait({task})

    async def _write(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                error = await self._append([note for note, _ in waiting])
                for _, durable in waiting:
                    _tell(durable, error)
                if error is not None:
                    await self._after(error, waiting)
        finally:
            self._writing = None

    async def _append(self, notes: Sequence[Note]) -> SimpulError | None:
        try:
            await self._journal.append_nowait((), notes)
        except SimpulError as error:
            return error
        return None

    async def _after(self, error: SimpulError, waiting: Sequence[_Waiting]) -> None:
        """Keep what must be recorded some time, where the journal may take it again."""
        _log.warning("notes not recorded", count=len(waiting), code=error.code, why=error.message)
        if error.code not in PASSING:
            return
        loop = asyncio.get_running_loop()
        links = [note for note, _ in waiting if not isinstance(note, CallNote)]
        self._waiting[:0] = [(note, loop.create_future()) for note in links]
        if links:
            await asyncio.sleep(RETRY_S)


def _tell(durable: asyncio.Future[None], error: SimpulError | None) -> None:
    if durable.done():
        # Whoever waited has gone.
        return
    if error is None:
        durable.set_result(None)
    else:
        durable.set_exception(error)
        # Looked at here, so that nobody's waiting is no loose end.
        durable.exception()
