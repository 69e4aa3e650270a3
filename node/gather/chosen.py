"""Which parts are heard, of a gather that wants only the first few.

The first that have something to say are chosen, and heard to their end; the others wait with their
first answer. When one of the chosen fails, the next that waits takes its place. When enough have
ended well, those that wait are given up: the app gets whole answers only, but for what a part had
said before it failed.
"""

from __future__ import annotations

import asyncio
from collections import deque

from node.gather.part import Part


class Chosen:
    """The places of one gather; None: there is one for every part."""

    def __init__(self, places: int | None) -> None:
        self._free = places
        self._waiting: deque[Part] = deque()

    async def enter(self, part: Part) -> bool:
        """Wait until the part may be heard; False when it was given up before."""
        if part.given_up:
            return False
        if self._free is None or part.chosen:
            return True
        if self._free > 0:
            self._free -= 1
            part.chosen = True
            return True
        part.waiting = asyncio.get_running_loop().create_future()
        self._waiting.append(part)
        return await part.waiting

    def leave(self, part: Part) -> None:
        """The part failed: its place is the next one's."""
        if self._free is None or not part.chosen:
            return
        part.chosen = False
        while self._waiting:
            heir = self._waiting.popleft()
            if heir.waiting is not None and not heir.waiting.done():
                heir.chosen = True
                heir.waiting.set_result(True)
                return
        self._free += 1
