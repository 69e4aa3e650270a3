"""Keeps a node's copy of the directory fresh: one `Watch` stream, and a look every minute.

It verifies nothing itself: `replica` does. Rules: a failure, of whatever kind, leaves the last good
copy in use and the loop running; weather (REGISTRY_UNREACHABLE) is tried again with growing pauses,
everything else is logged as an error too; one renewal runs at a time; a pushed bundle that does not
verify is forgotten and the directory fetched whole, so that a bad push costs one fetch and no more.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import structlog

from node.directory.fetch import BundleFetcher, Fetcher, HttpFetcher
from node.directory.model import Generation
from node.directory.pack import sync_replica
from node.directory.replica import Replica
from security.errors import Code, SimpulError
from simpul.v1 import registry_pb2

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WatchTiming:
    """All in seconds. A notice without files is followed within `max_jitter_s`, by 700 nodes."""

    refresh_every_s: float = 60.0
    first_pause_s: float = 0.5
    max_pause_s: float = 30.0
    max_jitter_s: float = 0.5


@dataclass(frozen=True, slots=True)
class DirectoryStatus:
    """For `simpul node status` and metrics. `fault` is None after a renewal that succeeded."""

    generation: Generation | None = None
    renewed_at_ms: int | None = None
    fault: SimpulError | None = None
    is_watching: bool = False

    def age_ms(self, now_ms: int) -> int | None:
        """Since the directory in use was issued; None without one."""
        return None if self.generation is None else now_ms - self.generation.issued_at_ms


@dataclass(frozen=True, slots=True)
class Sources:
    """Whence the directory comes.

    `open_http` make a fetcher each, for one run: one after the other is tried until one can be
    reached. `open_watch` takes the version that the node has, and
    yields what the registry says; it raises SimpulError when the stream ends.
    """

    open_http: Sequence[Callable[[], HttpFetcher]]
    open_watch: Callable[[int], AsyncGenerator[registry_pb2.WatchResponse, None]]


@dataclass(slots=True)
class DirectoryWatch:
    """Runs for as long as the supervisor does.

    `on_generation` is awaited with every new generation, in order, one at a time. `clock` gives
    milliseconds since the epoch.
    """

    replica: Replica
    sources: Sources
    on_generation: Callable[[Generation], Awaitable[None]]
    clock: Callable[[], int]
    timing: WatchTiming = field(default_factory=WatchTiming)
    status: DirectoryStatus = field(default_factory=DirectoryStatus)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _told: Generation | None = None

    async def open(self) -> Generation:
        """At the start: the copy on the disk; where it can't be used, what the registry has.

        Not told to `on_generation`: the caller has it.

        Raises:
            SimpulError: what is wrong with the copy, where the registry can't be reached either
                (DIRECTORY_ABSENT, DIRECTORY_DEAD, DIRECTORY_UNTRUSTED, DIRECTORY_ROLLBACK); as
                `refresh`, where what the registry has is no better.
        """
        fault = SimpulError(
            Code.DIRECTORY_ABSENT,
            "this node has no copy of the directory yet, and the registry can't be reached: start "
            "the registry, or mend the way to it, then try again",
        )
        try:
            found = await asyncio.to_thread(self.replica.open_local, self.clock())
        except SimpulError as error:
            _log.warning("directory on the disk not usable", code=error.code, reason=error.message)
            fault, found = error, None
        if found is None:
            try:
                found = await self._renew({}, tell=False)
            except SimpulError as error:
                if error.code is Code.REGISTRY_UNREACHABLE:
                    raise fault from error
                raise
        self._told = found
        self.status = replace(self.status, generation=found)
        return found

    async def run(self) -> None:
        """Until it is cancelled. Raises only what `on_generation` raises."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._refresh_for_ever())
            tasks.create_task(self._watch_for_ever())

    async def refresh(self) -> Generation:
        """Fetches the directory now, from its URL.

        Raises:
            SimpulError: as `Replica.sync`; a failing disk is INTERNAL.
        """
        return await self._renew({})

    async def _refresh_for_ever(self) -> None:
        while True:
            await self._try({})
            await asyncio.sleep(self.timing.refresh_every_s * random.uniform(0.9, 1.0))  # noqa: S311

    async def _watch_for_ever(self) -> None:
        pause_s = self.timing.first_pause_s
        while True:
            try:
                async with aclosing(self.sources.open_watch(self._version())) as responses:
                    async for response in responses:
                        self.status = replace(self.status, is_watching=True)
                        pause_s = self.timing.first_pause_s
                        await self._take(response)
            except SimpulError as error:
                _log.warning("directory watch ended", code=error.code, reason=error.message)
            self.status = replace(self.status, is_watching=False)
            # Spread, so that 700 nodes don't come back in one instant.
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(pause_s * 2, self.timing.max_pause_s)

    async def _take(self, response: registry_pb2.WatchResponse) -> None:
        files = {file.name: file.content for file in response.files}
        if files:
            await self._try(files)
        elif response.directory_version > self._version():
            await asyncio.sleep(random.uniform(0, self.timing.max_jitter_s))  # noqa: S311
            await self._try({})

    async def _try(self, files: dict[str, bytes]) -> None:
        try:
            await self._renew(files)
        except SimpulError as error:
            say = _log.warning if error.code is Code.REGISTRY_UNREACHABLE else _log.error
            say("directory not renewed", code=error.code, reason=error.message)

    async def _renew(self, files: dict[str, bytes], *, tell: bool = True) -> Generation:
        async with self._lock:
            before = self.replica.current
            # What was there before the first renewal is known to whoever opened it.
            self._told = self._told or before
            try:
                generation = await asyncio.to_thread(self._sync, files)
            except SimpulError as error:
                self.status = replace(self.status, fault=error, generation=before)
                raise
            self.status = replace(
                self.status, generation=generation, renewed_at_ms=self.clock(), fault=None
            )
            # Not "differs from before": a renewal whose caller went away was told to nobody.
            if tell and generation != self._told:
                await self.on_generation(generation)
                self._told = generation
            return generation

    def _sync(self, files: dict[str, bytes]) -> Generation:
        """From the first source that has one; raises what is wrong with the first of all.

        What is wrong with the others is logged: a peer that is behind is no attack.
        """
        faults: list[SimpulError] = []
        for open_http in self.sources.open_http:
            try:
                return self._sync_with(files, open_http)
            except SimpulError as error:
                _log.warning("source of the directory", code=error.code, reason=error.message)
                faults.append(error)
        raise faults[0]

    def _sync_with(
        self, files: dict[str, bytes], open_http: Callable[[], HttpFetcher]
    ) -> Generation:
        http = open_http()
        try:
            if files:
                try:
                    return self._sync_from(BundleFetcher(files, http))
                except SimpulError as error:
                    _log.warning("pushed directory not taken", code=error.code)
            return self._sync_from(http)
        finally:
            http.close()

    def _sync_from(self, fetcher: Fetcher) -> Generation:
        try:
            return sync_replica(self.replica, fetcher, self.clock())
        except OSError as error:
            _log.exception("directory can't be written")
            raise SimpulError(
                Code.INTERNAL,
                f"the directory can't be written ({error.strerror}): look at the disk of this "
                "node's home",
            ) from error

    def _version(self) -> int:
        return 0 if self.replica.current is None else self.replica.current.version
