"""When the directory is published: at once after a change, and every minute without one.

It decides no content and signs nothing. Rules: a change that comes alone is published at once;
those that come while a publication runs, or shortly after it, go together in the next; who waits is
told a version that holds his change; what fails is repeated until it succeeds, and no change is
forgotten; an unchanged directory is signed anew every heartbeat, so that its age says how long ago
the registry was heard. Where registries share a database, what another one published is told to the
watchers here too, and one heartbeat is enough for all.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import structlog

from registry.directory import packs
from registry.directory.collector import collect
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import Role, key_role
from registry.directory.publisher import Publication, Publisher
from registry.directory.watchers import Watchers
from registry.metrics import MS_PER_S, Metrics
from registry.model import Touched
from registry.sharing import Sharing
from registry.writer import Writer
from security.errors import Code, SimpulError

COLLECT_EVERY_S: Final = 24 * 60 * 60.0
FIRST_COLLECT_S: Final = 60 * 60.0

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Timing:
    """How often, in seconds."""

    coalesce_s: float = 0.1
    heartbeat_s: float = 60.0
    retry_s: float = 1.0
    # Looks at what others published, and for what others left unfinished.
    follow_s: float = 0.2
    finish_s: float = 5.0
    # Looks whether new nodes need a newer pack.
    pack_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Press:
    """What publishing works with. `read` gives the files of what was touched, from the store."""

    publisher: Publisher
    folder: PublishedFolder
    read: Callable[[Touched], Mapping[str, bytes]]
    clock_ms: Callable[[], int]
    # Called after each publication, before anybody is told of it.
    settle: Callable[[], None] = lambda: None
    # None: no other registry works on this store.
    sharing: Sharing | None = None


@dataclass(slots=True)
class _Batch:
    """Changes that go out together, and who waits for them."""

    touched: Touched = field(default_factory=Touched)
    waiting: list[asyncio.Future[int]] = field(default_factory=list)


class Schedule:
    """Runs in the event loop; the work itself is the writer's."""

    def __init__(
        self, press: Press, writer: Writer, watchers: Watchers, metrics: Metrics, timing: Timing
    ) -> None:
        self._press = press
        self._writer = writer
        self._watchers = watchers
        self._metrics = metrics
        self._timing = timing
        self._batch = _Batch()
        self._wake = asyncio.Event()
        self._current = press.publisher.current
        self._heard_at = float("-inf")

    @property
    def current(self) -> Publication:
        """The directory in force, with its timestamp as the only file."""
        return self._current

    async def publish(self, touched: Touched) -> int:
        """Waits until what was touched is published; returns the version that holds it."""
        if not touched:
            return self._current.version
        waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._batch.touched |= touched
        self._batch.waiting.append(waiting)
        self._wake.set()
        return await waiting

    async def run(self) -> None:
        """Publishes for ever; cancel it to stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_for_ever())
            tasks.create_task(self._pack_for_ever())
            if self._press.sharing is not None:
                tasks.create_task(self._follow_for_ever())
                tasks.create_task(self._finish_for_ever(self._press.sharing))

    async def start(self, touched: Touched) -> None:
        """The first publication: what the store holds and the folder does not, or it raises."""
        batch = _Batch(touched)
        while True:
            try:
                await self._follow()
                self._done(batch, await self._writer.run(lambda: self._work(batch.touched)))
            except SimpulError as error:
                if not self._came_second(error):
                    raise
            else:
                return

    async def _publish_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        last = float("-inf")
        self._heard_at = max(self._heard_at, loop.time())
        collect_at = loop.time() + FIRST_COLLECT_S
        while True:
            await self._woken_or_silent()
            await asyncio.sleep(max(0.0, last + self._timing.coalesce_s - loop.time()))
            await self._publish_until_done()
            last = loop.time()
            if last >= collect_at:
                collect_at = last + COLLECT_EVERY_S
                await self._collect()

    async def _follow_for_ever(self) -> None:
        is_lost = False
        while True:
            await asyncio.sleep(self._timing.follow_s)
            try:
                await self._follow()
            except Exception:  # noqa: BLE001  (logged once, and tried again)
                if not is_lost:
                    _log.exception("other registries can't be followed")
                is_lost = True
                continue
            is_lost = False

    async def _finish_for_ever(self, sharing: Sharing) -> None:
        while True:
            await asyncio.sleep(self._timing.finish_s)
            try:
                marks, touched = await self._writer.run(sharing.forgotten)
                if marks:
                    _log.warning("finishing what another registry began", requests=len(marks))
                    await self.publish(touched)
                    await self._writer.run(partial(sharing.finished, marks))
            except SimpulError as error:
                _log.warning("not finished yet", code=error.code, reason=error.message)

    async def _pack_for_ever(self) -> None:
        folder = self._press.folder
        while True:
            try:
                # Not the writer's: it takes seconds, and reads only what never changes.
                if await asyncio.to_thread(packs.is_due, folder):
                    name = await asyncio.to_thread(packs.build, folder)
                    _log.info("pack made", name=name)
            except Exception:  # noqa: BLE001  (logged; nodes fetch file by file meanwhile)
                _log.exception("pack not made")
            await asyncio.sleep(self._timing.pack_s)

    async def _woken_or_silent(self) -> None:
        """Until there is a change, or nothing was published for as long as a heartbeat."""
        while (left_s := self._heard_at + self._timing.heartbeat_s - self._now()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
            return

    async def _publish_until_done(self) -> None:
        batch = _Batch()
        while True:
            self._wake.clear()
            newer, self._batch = self._batch, _Batch()
            batch.touched |= newer.touched
            batch.waiting += newer.waiting
            try:
                # What others published is in what is read after it.
                await self._follow()
                publication = await self._writer.run(lambda: self._work(batch.touched))
            except Exception as error:  # noqa: BLE001  (logged, counted and repeated)
                if self._came_second(error):
                    continue
                # Whatever it is: a registry that no longer publishes is dead to its nodes.
                self._metrics.failures.inc()
                _log.exception("directory not published", retry_s=self._timing.retry_s)
                await asyncio.sleep(self._timing.retry_s)
                continue
            self._done(batch, publication)
            return

    def _came_second(self, error: Exception) -> bool:
        """Whether another registry published first: then it's done again, from there."""
        return (
            self._press.sharing is not None
            and isinstance(error, SimpulError)
            and error.code is Code.CONFLICT
        )

    async def _follow(self) -> None:
        """Takes over, and tells, what others published."""
        if self._press.sharing is None:
            return
        found = await self._writer.run(self._press.sharing.follow)
        if found is not None:
            self._tell(found, Touched())

    def _work(self, touched: Touched) -> Publication:
        """In the writer's thread."""
        press = self._press
        with self._metrics.publishing.time():
            publication = press.publisher.publish(press.read(touched), press.clock_ms())
            press.settle()
            return publication

    def _done(self, batch: _Batch, publication: Publication) -> None:
        self._tell(publication, batch.touched)
        for waiting in batch.waiting:
            if not waiting.done():
                waiting.set_result(publication.version)

    def _tell(self, publication: Publication, touched: Touched) -> None:
        is_new = publication.version > self._current.version
        self._current = replace(
            publication, files={TIMESTAMP_NAME: publication.files[TIMESTAMP_NAME]}
        )
        self._heard_at = self._now()
        self._watchers.push(publication)
        self._metrics.publications.labels("version" if is_new else "heartbeat").inc()
        self._metrics.version.set(publication.version)
        self._metrics.issued.set(publication.issued_at_ms / MS_PER_S)
        for role, at in _first_to_expire(self._press.publisher.expiries()).items():
            self._metrics.expires.labels(role).set(at / MS_PER_S)
        if is_new:
            _log.info(
                "directory published",
                version=publication.version,
                files=len(publication.files),
                members=len(touched.members),
                contracts=len(touched.contracts),
                cards=len(touched.cards),
                groups=len(touched.groups),
            )

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    async def _collect(self) -> None:
        now_ms = self._press.clock_ms()
        try:
            removed = await self._writer.run(lambda: collect(self._press.folder, now_ms))
        except Exception:  # noqa: BLE001  (logged; a full folder stops nothing)
            _log.exception("old files not removed")
            return
        _log.info("old files removed", files=len(removed))


def _first_to_expire(expiries: Mapping[str, int]) -> Mapping[Role, int]:
    """By key, when the first of what it signed expires, in ms since the epoch."""
    first: dict[Role, int] = {}
    for name, at in expiries.items():
        role = key_role(name)
        first[role] = min(at, first.get(role, at))
    return first
