"""The one thread that writes: to the store and to the published folder.

The event loop never waits for a disk; and because there is one thread, no publication reads the
store while a change is half-way, and the collector runs beside no publication.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Writer:
    """Runs one function after the other, in the order in which they are handed in."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry-writer")

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns or raises. Once begun it ends, whether or not anyone waits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Waits for what was handed in, and ends the thread."""
        self._thread.shutdown(wait=True)
