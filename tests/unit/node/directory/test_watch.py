"""The watch through outages, pushes good and bad, and a registry that comes back."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from node.directory.fetch import HttpFetcher
from node.directory.model import Generation
from node.directory.replica import Replica
from node.directory.watch import DirectoryWatch, Sources, WatchTiming
from security.errors import Code, SimpulError
from simpul.v1 import registry_pb2
from tests.unit.node.directory.fake_registry import (
    MEMBER,
    NOW_MS,
    DictFetcher,
    FakeRegistry,
    member_path,
    record,
)

QUICK = WatchTiming(refresh_every_s=3600, first_pause_s=0.005, max_pause_s=0.01, max_jitter_s=0)
WAIT_S = 10.0


class FakeHttp(DictFetcher, HttpFetcher):
    """The files of a fake registry, as if over HTTP."""

    def close(self) -> None:
        return


@dataclass
class FakeSources:
    """What the registry serves and pushes; `is_down` breaks both."""

    registry: FakeRegistry
    is_down: bool = False
    pushes: asyncio.Queue[dict[str, bytes]] = field(default_factory=asyncio.Queue)
    fetchers: list[FakeHttp] = field(default_factory=list)
    watched_from: list[int] = field(default_factory=list)
    # Closed, it holds a renewal back, in its thread.
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    def open_http(self) -> HttpFetcher:
        made = FakeHttp(self.registry.files, 0 if self.is_down else None)
        self.fetchers.append(made)
        self.gate.wait(WAIT_S)
        return made

    async def open_watch(self, version: int) -> AsyncGenerator[registry_pb2.WatchResponse, None]:
        self.watched_from.append(version)
        while not self.is_down:
            files = await self.pushes.get()
            yield registry_pb2.WatchResponse(
                directory_version=self.registry.snapshot.version,
                files=[
                    registry_pb2.DirectoryFile(name=name, content=content)
                    for name, content in files.items()
                ],
            )
        raise SimpulError(Code.REGISTRY_UNREACHABLE, "down")


@dataclass
class Seen:
    """The generations that were told, in order."""

    generations: list[Generation] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, generation: Generation) -> None:
        self.generations.append(generation)
        self.changed.set()

    async def next(self) -> Generation:
        async with asyncio.timeout(WAIT_S):
            await self.changed.wait()
        self.changed.clear()
        return self.generations[-1]


@dataclass
class Running:
    watch: DirectoryWatch
    sources: FakeSources
    seen: Seen


@asynccontextmanager
async def running(
    registry: FakeRegistry, replica: Replica, *, is_down: bool = False
) -> AsyncIterator[Running]:
    sources = FakeSources(registry, is_down)
    seen = Seen()
    watch = DirectoryWatch(
        replica, Sources([sources.open_http], sources.open_watch), seen.take, lambda: NOW_MS, QUICK
    )
    task = asyncio.create_task(watch.run())
    try:
        yield Running(watch, sources, seen)
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.002)


def change(registry: FakeRegistry, number: int = 2) -> dict[str, bytes]:
    data = record(MEMBER, number, f"name {number}")
    registry.put(member_path(MEMBER), data)
    pushed = registry.publish()
    targets = {n: d for n, d in registry.files.items() if n.startswith("targets/") and d == data}
    return pushed | targets


def opening(
    registry: FakeRegistry, replica: Replica, *, is_down: bool
) -> tuple[Seen, DirectoryWatch]:
    sources, seen = FakeSources(registry, is_down), Seen()
    made = Sources([sources.open_http], sources.open_watch)
    return seen, DirectoryWatch(replica, made, seen.take, lambda: NOW_MS, QUICK)


async def test_a_start_needs_no_registry_where_there_is_a_copy(
    registry: FakeRegistry, new_replica: Callable[[], Replica]
) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    seen, watch = opening(registry, new_replica(), is_down=True)
    assert await watch.open() == made
    assert watch.status.generation == made
    assert seen.generations == []


async def test_a_start_without_copy_and_registry_says_what_to_do(
    registry: FakeRegistry, replica: Replica
) -> None:
    _, watch = opening(registry, replica, is_down=True)
    with pytest.raises(SimpulError) as caught:
        await watch.open()
    assert caught.value.code is Code.DIRECTORY_ABSENT
    assert "start the registry" in caught.value.message


@pytest.mark.parametrize("damage", ["index.json", "metadata/timestamp.json"])
async def test_a_damaged_copy_is_fetched_anew_at_the_start(
    registry: FakeRegistry, new_replica: Callable[[], Replica], damage: str
) -> None:
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    (made.path / damage).unlink()
    _, down = opening(registry, new_replica(), is_down=True)
    with pytest.raises(SimpulError) as caught:
        await down.open()
    assert caught.value.code is Code.DIRECTORY_ABSENT
    seen, up = opening(registry, new_replica(), is_down=False)
    assert (await up.open()).version == made.version
    assert seen.generations == []


async def test_a_hostile_registry_at_the_start_is_named(
    registry: FakeRegistry, replica: Replica
) -> None:
    assert registry.first_root
    _, watch = opening(FakeRegistry(), replica, is_down=False)
    with pytest.raises(SimpulError) as caught:
        await watch.open()
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED


async def test_the_directory_is_fetched_at_the_start(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica) as run:
        made = await run.seen.next()
        assert made.version == registry.snapshot.version
        assert run.watch.status.renewed_at_ms == NOW_MS
        assert run.watch.status.age_ms(NOW_MS + 5) == NOW_MS + 5 - registry.issued_at_ms


async def test_a_pushed_change_needs_no_fetch(registry: FakeRegistry, replica: Replica) -> None:
    async with running(registry, replica) as run:
        first = await run.seen.next()
        run.sources.pushes.put_nowait(change(registry))
        second = await run.seen.next()
        assert second.version == first.version + 1
        assert run.sources.fetchers[-1].asked == []
        assert run.watch.status.is_watching


async def test_a_notice_without_files_is_followed(registry: FakeRegistry, replica: Replica) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        change(registry)
        run.sources.pushes.put_nowait({})
        assert (await run.seen.next()).version == registry.snapshot.version


async def test_what_a_push_lacks_is_fetched(registry: FakeRegistry, replica: Replica) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        change(registry, 2)
        run.sources.pushes.put_nowait(change(registry, 3))
        assert (await run.seen.next()).version == registry.snapshot.version


async def test_a_push_that_does_not_verify_costs_one_fetch(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        pushed = change(registry)
        run.sources.pushes.put_nowait({**pushed, "metadata/timestamp.json": b"<html>"})
        assert (await run.seen.next()).version == registry.snapshot.version
        assert run.watch.status.fault is None


async def test_a_new_root_in_no_push_is_fetched(registry: FakeRegistry, replica: Replica) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        registry.rotate_online_keys()
        run.sources.pushes.put_nowait(change(registry))
        assert (await run.seen.next()).version == 1


async def test_an_outage_is_survived_and_ended(registry: FakeRegistry, replica: Replica) -> None:
    async with running(registry, replica) as run:
        first = await run.seen.next()
        run.sources.is_down = True
        run.sources.pushes.put_nowait({})
        await until(lambda: len(run.sources.watched_from) > 3)
        with pytest.raises(SimpulError) as caught:
            await run.watch.refresh()
        assert caught.value.code is Code.REGISTRY_UNREACHABLE
        assert run.watch.status.generation == first
        assert not run.watch.status.is_watching
        change(registry)
        run.sources.is_down = False
        run.sources.pushes.put_nowait({})
        second = await run.seen.next()
        assert second.version == first.version + 1
        assert run.sources.watched_from[-1] == first.version


async def test_a_registry_that_is_down_at_the_start_is_waited_for(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica, is_down=True) as run:
        await until(lambda: len(run.sources.watched_from) > 2)
        assert run.watch.status.generation is None
        assert run.watch.status.age_ms(NOW_MS) is None
        run.sources.is_down = False
        run.sources.pushes.put_nowait({})
        assert (await run.seen.next()).version == registry.snapshot.version


async def test_a_hostile_directory_is_an_alarm_and_changes_nothing(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica) as run:
        first = await run.seen.next()
        run.sources.registry = FakeRegistry()
        with pytest.raises(SimpulError) as caught:
            await run.watch.refresh()
        assert caught.value.code is Code.DIRECTORY_UNTRUSTED
        assert run.watch.status.fault is caught.value
        assert run.watch.status.generation == first
        assert run.seen.generations == [first]


async def test_a_failing_disk_is_said_without_a_traceback(
    registry: FakeRegistry, replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        change(registry)

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            with pytest.raises(SimpulError) as caught:
                await run.watch.refresh()
        assert caught.value.code is Code.INTERNAL
        assert "No space left" in caught.value.message
        assert (await run.watch.refresh()).version == registry.snapshot.version


async def test_a_renewal_whose_caller_went_away_is_told_at_the_next(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        change(registry)
        run.sources.gate.clear()
        gone = asyncio.create_task(run.watch.refresh())
        await until(lambda: len(run.sources.fetchers) == 2)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        run.sources.gate.set()
        await until(
            lambda: (
                replica.current is not None and replica.current.version == registry.snapshot.version
            )
        )
        assert len(run.seen.generations) == 1
        await run.watch.refresh()
        assert len(run.seen.generations) == 2


async def test_many_renewals_at_once_make_one_generation_each(
    registry: FakeRegistry, replica: Replica
) -> None:
    async with running(registry, replica) as run:
        await run.seen.next()
        change(registry)
        done = await asyncio.gather(*(run.watch.refresh() for _ in range(5)))
        assert len(set(done)) == 1
        assert len(run.seen.generations) == 2
