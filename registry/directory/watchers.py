"""Those who watch the directory, each with a bounded queue of what it is still to be told.

Rules: a publication is put in every queue at once and waits for nobody; a watcher that lags loses
what is queued and is told one thing in its place: the newest version, without files, so fetch it.
What is larger than the limit is told the same way, to everybody.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from registry.directory.publisher import Publication
from registry.metrics import Metrics
from security.errors import Code, SimpulError
from simpul.v1 import registry_pb2

MAX_QUEUED: Final = 16
MAX_PUSH_BYTES: Final = 256 * 1024


class Watcher:
    """One watcher's end: iterate over it. It ends when the registry stops."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[registry_pb2.WatchResponse | None] = asyncio.Queue(MAX_QUEUED)

    def __aiter__(self) -> AsyncIterator[registry_pb2.WatchResponse]:
        return self

    async def __anext__(self) -> registry_pb2.WatchResponse:
        answer = await self._queue.get()
        if answer is None:
            raise StopAsyncIteration
        return answer

    def offer(self, answer: registry_pb2.WatchResponse) -> bool:
        """Queues `answer`, or in place of all that is queued a notice to fetch. Says which."""
        if not self._queue.full():
            self._queue.put_nowait(answer)
            return True
        self._clear()
        self._queue.put_nowait(notice(answer.directory_version))
        return False

    def end(self) -> None:
        """Ends the iteration, at once."""
        self._clear()
        self._queue.put_nowait(None)

    def _clear(self) -> None:
        while not self._queue.empty():
            self._queue.get_nowait()


class Watchers:
    """All who watch. Used in the event loop only."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._watching: set[Watcher] = set()
        self._ended = False

    @contextmanager
    def subscribe(self) -> Iterator[Watcher]:
        """A new watcher, until the block ends.

        Raises:
            SimpulError: OVERLOADED, when there are as many as there may be.
        """
        if len(self._watching) >= self._limit:
            raise SimpulError(
                Code.OVERLOADED, "too many nodes watch this registry: fetch the directory over HTTP"
            )
        watcher = Watcher()
        self._watching.add(watcher)
        self._metrics.watchers.set(len(self._watching))
        if self._ended:
            watcher.end()
        try:
            yield watcher
        finally:
            self._watching.discard(watcher)
            self._metrics.watchers.set(len(self._watching))

    def push(self, publication: Publication) -> None:
        """Tells everyone."""
        answer = bundle(publication)
        for watcher in self._watching:
            if not watcher.offer(answer):
                self._metrics.lagging.inc()

    def end(self) -> None:
        """Ends every watcher's iteration, also of those who come later."""
        self._ended = True
        for watcher in self._watching:
            watcher.end()


def bundle(publication: Publication) -> registry_pb2.WatchResponse:
    """A publication as it is pushed: with its files, the timestamp last, if they are small."""
    if sum(map(len, publication.files.values())) > MAX_PUSH_BYTES:
        return notice(publication.version)
    return registry_pb2.WatchResponse(
        directory_version=publication.version,
        files=[
            registry_pb2.DirectoryFile(name=name, content=content)
            for name, content in publication.files.items()
        ],
    )


def notice(version: int) -> registry_pb2.WatchResponse:
    """There is this version: fetch it."""
    return registry_pb2.WatchResponse(directory_version=version)
