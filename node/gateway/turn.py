"""The end of the event loop's turn, told to many with one entry in the loop's own queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class EndOfTurn:
    """Calls each of what was asked for once, when the loop's present turn is over."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], None]] = []

    def tell(self, callback: Callable[[], None]) -> None:
        """Ask for `callback` at the end of this turn. It must not raise."""
        if not self._asked:
            asyncio.get_running_loop().call_soon(self._over)
        self._asked.append(callback)

    def _over(self) -> None:
        asked, self._asked = self._asked, []
        for callback in asked:
            callback()
