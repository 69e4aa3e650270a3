"""How fast the parts of a gather are begun: a few at first, more as they answer.

Each part takes a turn to begin, and there are few turns: so the first answers are not held up by
the work of asking everybody else. A turn comes back when its part ends, or has been silent for a
moment: a dead or slow region holds no other up. With each turn that comes back the number of turns
grows, up to a bound. A part that has messages on their way to the app keeps its turn, so an app
that reads slowly also holds up the asking.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

FIRST_TURNS: Final = 4
MOST_TURNS: Final = 64


class Pace:
    """The turns of one gather."""

    def __init__(self, first: int = FIRST_TURNS, most: int = MOST_TURNS) -> None:
        self._free = self._turns = first
        self._most = most
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._open = False

    async def take(self) -> None:
        """Wait for a turn."""
        if self._open:
            return
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def give(self) -> None:
        """A turn comes back, and where there aren't too many yet, another with it."""
        self._free += 1
        if self._turns < self._most:
            self._turns += 1
            self._free += 1
        while self._free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                turn.set_result(None)

    def open(self) -> None:
        """Let everybody go on: there is nothing more to begin."""
        self._open = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)
        self._waiting.clear()
