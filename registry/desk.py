"""Runs a request to its end: stored by the writer, then published, then answered.

Rule: what was stored is published, whether or not the caller still waits. A call that is cancelled
in between leaves its request to go on alone. Where registries share a database, each request is
marked in it from before it is stored until it is published, so that another registry finishes it if
this one dies in between.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

import structlog

from registry.directory.schedule import Schedule
from registry.model import Touched
from registry.sharing import Marks
from registry.writer import Writer
from security.errors import Code, SimpulError

P = ParamSpec("P")
T = TypeVar("T")

_log = structlog.stdlib.get_logger(__name__)

MAX_WAITING: Final = 2_000


class Desk:
    """Takes so many requests at once, and no more."""

    def __init__(
        self,
        writer: Writer,
        schedule: Schedule,
        limit: int = MAX_WAITING,
        marks: Marks | None = None,
    ) -> None:
        self._writer = writer
        self._schedule = schedule
        self._limit = limit
        self._marks = marks
        self._under_way: set[asyncio.Task[object]] = set()

    @property
    def schedule(self) -> Schedule:
        """What publishes."""
        return self._schedule

    async def read(self, work: Callable[[], T]) -> T:
        """Runs what changes nothing.

        Raises:
            SimpulError: what `work` raises; OVERLOADED, when too many wait.
        """
        return await self._begin(self._writer.run, work)

    async def change(self, work: Callable[[], T], touched: Callable[[T], Touched]) -> tuple[T, int]:
        """Runs `work`, publishes what it touched, and returns its result and the version.

        Raises:
            SimpulError: what `work` raises; OVERLOADED, when too many wait.
        """
        return await asyncio.shield(self._begin(self._change, work, touched))

    async def close(self, timeout_s: float) -> None:
        """Waits for what is under way, but no longer than `timeout_s`."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in tuple(self._under_way):
            task.cancel()

    async def _change(
        self, work: Callable[[], T], touched: Callable[[T], Touched]
    ) -> tuple[T, int]:
        if self._marks is None:
            result = await self._writer.run(work)
            return result, await self._schedule.publish(touched(result))
        mark = await self._writer.run(self._marks.begin)
        try:
            result = await self._writer.run(work)
            version = await self._schedule.publish(touched(result))
        except SimpulError as error:
            # Then it isn't known whether anything was stored, and the mark says so.
            if error.code is not Code.DATABASE_FAILED:
                await self._unmark(self._marks, mark)
            raise
        await self._unmark(self._marks, mark)
        return result, version

    async def _unmark(self, marks: Marks, mark: str) -> None:
        try:
            await self._writer.run(partial(marks.end, mark))
        except SimpulError as error:
            # It costs a comparison of everything, and no more.
            _log.warning("a mark stays", code=error.code, reason=error.message)

    def _begin(
        self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **named: P.kwargs
    ) -> asyncio.Task[T]:
        if len(self._under_way) >= self._limit:
            raise SimpulError(Code.OVERLOADED, "the registry has too much to do: try again later")
        task = asyncio.ensure_future(work(*args, **named))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            # Nobody may wait any more: then the error was told to nobody, which is as it must be.
            task.exception()
