"""Looks, for all calls that wait for their answer, whether their app is still there.

After an app's half-close, the HTTP/2 stack below tells of its going only when asked, and asking
never waits. A task for each call would cost a third of the throughput, so one task asks for all:
not in a call's first 50 ms, in which most are answered, every 50 ms from then on, and a bounded
number of times a second; few times where the event loop is busy, which it sees by how late it
wakes. The more calls wait, and the busier the loop, the later each cancel is seen.

Source: docs/adr/0001, "What the adapter has to obey", 2.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

# Before a call is looked at for the first time, and between two looks.
PATIENCE_S: Final = 0.05
INTERVAL_S: Final = 0.02
# A look costs about 5 µs: at most a tenth of one core goes here.
LOOKS_PER_ROUND: Final = 400
# Where a round comes so late, other work waits, and looking would only make it wait longer.
BUSY_S: Final = 0.03
LOOKS_WHEN_BUSY: Final = 20


class Waiting(Protocol):
    """A call whose app has said all that it says."""

    @property
    def over(self) -> bool:
        """Nobody wants to know any more: the call was answered, or its app is known to be gone."""
        ...

    async def look(self) -> None:
        """Ask once, without waiting, whether the app is gone. Never raises."""
        ...


class Poller:
    """One for each event loop. Its task runs only while calls wait."""

    def __init__(self) -> None:
        # With the time of each call's next look, the soonest first.
        self._calls: deque[tuple[float, Waiting]] = deque()
        self._task: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """How many calls are watched, or will be if they are not answered soon."""
        return len(self._calls)

    def watch(self, call: Waiting) -> None:
        """Begin to watch a call; it is forgotten when it is `over`."""
        loop = asyncio.get_running_loop()
        self._calls.append((loop.time() + PATIENCE_S, call))
        if self._task is None:
            self._task = loop.create_task(self._run())

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        while self._calls:
            began_s = now()
            await asyncio.sleep(INTERVAL_S)
            late = now() - began_s > BUSY_S
            looks = LOOKS_WHEN_BUSY if late else LOOKS_PER_ROUND
            while self._calls and looks > 0 and self._calls[0][0] <= now():
                call = self._calls.popleft()[1]
                if call.over:
                    continue
                looks -= 1
                await call.look()
                if not call.over:
                    self._calls.append((now() + PATIENCE_S, call))
        self._task = None
