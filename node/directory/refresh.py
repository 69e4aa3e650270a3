"""Fetching the directory when somebody needs one that is not here, at most once a second.

A peer can ask for a fetch by naming a directory that this node doesn't have, rightly or not. So all
who ask share one fetch, and a liar costs one a second and keeps nobody else from his answer: who
comes during a fetch waits for it, and for one more if it began before what he needs was published.

Source: docs/spec, "What a receiver checks", 9.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from node.directory.model import Generation

PAUSE_S: Final = 1.0
# The fetch under way may have begun too early; the one after it can't have.
MAX_FETCHES: Final = 2


class SharedRefresh:
    """One fetch at a time, for everybody who waits.

    Args:
        current: The directory in use, if there is one.
        fetch: Fetches and puts in force; raises SimpulError.
        pause_s: From the start of a fetch to the start of the next.
    """

    def __init__(
        self,
        current: Callable[[], Generation | None],
        fetch: Callable[[], Awaitable[Generation]],
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._current = current
        self._fetch = fetch
        self._pause_s = pause_s
        self._next_s = 0.0
        self._running: asyncio.Task[None] | None = None

    async def until(self, digest: bytes) -> None:
        """Fetch until the directory in use has this hash, at most twice.

        Returns when it has, or when the registry has no such directory: the caller looks again.

        Raises:
            SimpulError: as `fetch`.
        """
        for _ in range(MAX_FETCHES):
            if self._has(digest):
                return
            await self._joined()

    async def once(self) -> None:
        """Wait for the fetch under way, or for the next; raises as `fetch`."""
        await self._joined()

    async def _joined(self) -> None:
        if self._running is None or self._running.done():
            self._running = asyncio.get_running_loop().create_task(self._once())
        # Others wait for it too: who stops waiting doesn't stop it.
        await asyncio.shield(self._running)

    def _has(self, digest: bytes) -> bool:
        current = self._current()
        return current is not None and current.hash == digest

    async def _once(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._next_s - loop.time())
        self._next_s = loop.time() + self._pause_s
        await self._fetch()
