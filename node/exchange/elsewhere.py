"""At most once among workers: whether an open was recorded in this node's journal before.

What a worker handed on it remembers itself (`node.exchange.recent`). Of a second worker, or of one
on another machine, the journal tells, which they share: each makes the open durable, then looks how
often the id is there, and hands it on only where that is once. Of two that look at the same time
the one whose commit came last sees the other's record, so at most one hands it on; where both see
both, none does.

The looks that gather while one is under way go together. A node with one worker and a journal of
its own needs none.

Source: docs/spec, "Calls: outcomes"; docs/adr/0016.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from node.exchange.recent import repeated
from security.errors import SimpulError
from security.identifiers import MemberId, SubsystemId

# Ids of one look.
MAX_TOGETHER: Final = 500

_Call = tuple[MemberId, bytes]


class OpenedCalls(Protocol):
    """A journal, as it is looked into. Used by one thread."""

    def opened_again(self, call_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """Of these ids, those that came more than once: consumer and id, as often as they came."""
        ...

    def close(self) -> None:
        """Nothing more is asked."""
        ...


class Elsewhere:
    """One for each worker whose journal others write too."""

    def __init__(self, open_journal: Callable[[], OpenedCalls]) -> None:
        """`open_journal` is called in a thread, and again after it could not be read."""
        self._open_journal = open_journal
        self._journal: OpenedCalls | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="calls-elsewhere")
        self._waiting: dict[_Call, asyncio.Future[bool]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def check(self, member: MemberId, call_id: bytes) -> None:
        """Pass where this call, whose open is durable, came once only.

        Raises:
            SimpulError: It came before (CALL_REPEATED), or the journal can't be read.
        """
        loop = asyncio.get_running_loop()
        call = (member, call_id)
        found = self._waiting.get(call)
        if found is None:
            found = self._waiting[call] = loop.create_future()
        if self._looking is None:
            self._looking = loop.create_task(self._look())
        if await asyncio.shield(found):
            raise repeated("came to another worker of this node")

    async def close(self) -> None:
        """Close the journal. Whoever still waits is not answered."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                calls = {
                    call: self._waiting.pop(call) for call in tuple(self._waiting)[:MAX_TOGETHER]
                }
                try:
                    twice = await loop.run_in_executor(self._thread, self._twice, tuple(calls))
                except SimpulError as error:
                    for found in calls.values():
                        found.set_exception(error)
                        # Whoever waited may have given up: that nobody looks at it is no fault.
                        found.exception()
                else:
                    for call, found in calls.items():
                        found.set_result(call in twice)
        finally:
            self._looking = None

    def _twice(self, calls: Sequence[_Call]) -> set[_Call]:
        """In the thread: which of these came more than once."""
        try:
            if self._journal is None:
                self._journal = self._open_journal()
            rows = self._journal.opened_again([call_id for _, call_id in calls])
        except SimpulError:
            self._close()
            raise
        came = Counter((SubsystemId.parse(text).member, call_id) for text, call_id in rows)
        return {call for call, times in came.items() if times > 1}

    def _close(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
