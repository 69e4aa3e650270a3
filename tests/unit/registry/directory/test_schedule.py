"""When it is published: alone at once, many together, again after a failure, never forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

import pytest
from prometheus_client import CollectorRegistry

from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from registry.directory.schedule import Press, Schedule, Timing
from registry.directory.watchers import Watchers
from registry.metrics import Metrics
from registry.model import Touched
from registry.writer import Writer
from security.identifiers import MemberId
from tests.unit.registry.directory.conftest import Client

QUICK = Timing(coalesce_s=0.05, heartbeat_s=60, retry_s=0.01)


def touched(*codes: str) -> Touched:
    return Touched(frozenset(MemberId("ID", "DAERAH", code) for code in codes))


class Content:
    """What is to be published of each member: its number, which a test raises."""

    def __init__(self) -> None:
        self.number = 0
        self.asked: list[int] = []
        self.failures = 0

    def __call__(self, wanted: Touched) -> Mapping[str, bytes]:
        self.asked.append(len(wanted.members))
        if self.failures > 0:
            self.failures -= 1
            raise OSError(28, "No space left on device")
        return {
            f"members/{member.member_class}/{member.code}": b"%d" % self.number
            for member in wanted.members
        }


class Running:
    """A schedule with what it works with."""

    def __init__(self, folder: PublishedFolder, publisher: Publisher, now: int) -> None:
        self.content = Content()
        self.metrics = Metrics(CollectorRegistry())
        self.watchers = Watchers(9, self.metrics)
        self.press = Press(publisher, folder, self.content, lambda: now)

    @asynccontextmanager
    async def started(self, timing: Timing = QUICK) -> AsyncIterator[Schedule]:
        writer = Writer()
        schedule = Schedule(self.press, writer, self.watchers, self.metrics, timing)
        task = asyncio.create_task(schedule.run())
        try:
            yield schedule
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            writer.close()


@pytest.fixture
def running(folder: PublishedFolder, publisher: Publisher, now: int) -> Running:
    return Running(folder, publisher, now)


async def test_who_waits_is_told_the_version_that_holds_his_change(
    running: Running, client: Client
) -> None:
    async with running.started() as schedule:
        version = await schedule.publish(touched("53.15"))

        assert version == schedule.current.version == 2
        assert await asyncio.to_thread(client.target, "members/DAERAH/53.15") == b"0"


async def test_nothing_to_publish_needs_no_publication(running: Running) -> None:
    async with running.started() as schedule:
        assert await schedule.publish(Touched()) == 1
    assert running.content.asked == []


async def test_many_changes_go_together(running: Running) -> None:
    async with running.started() as schedule:
        await schedule.publish(touched("00.00"))
        codes = [f"{n:02}.15" for n in range(50)]
        versions = await asyncio.gather(*(schedule.publish(touched(code)) for code in codes))

    assert set(versions) == {3}
    assert running.content.asked == [1, 50]


async def test_a_change_that_comes_alone_does_not_wait(running: Running) -> None:
    slow = Timing(coalesce_s=30, heartbeat_s=60)
    async with running.started(slow) as schedule, asyncio.timeout(5):
        await schedule.publish(touched("53.15"))


async def test_what_fails_is_repeated_with_what_came_since(running: Running) -> None:
    running.content.failures = 3
    async with running.started() as schedule:
        first = asyncio.create_task(schedule.publish(touched("53.15")))
        while len(running.content.asked) < 2:
            await asyncio.sleep(0.005)
        second = asyncio.create_task(schedule.publish(touched("74.07")))

        assert await first == await second == 2

    assert running.metrics.failures._value.get() == 3
    assert running.content.asked[-1] == 2


async def test_a_waiter_that_gave_up_stops_nothing(running: Running) -> None:
    running.content.failures = 2
    async with running.started() as schedule:
        gone = asyncio.create_task(schedule.publish(touched("53.15")))
        await asyncio.sleep(0)
        gone.cancel()

        assert await schedule.publish(touched("74.07")) == 2


async def test_an_unchanged_directory_is_signed_anew_and_pushed(running: Running) -> None:
    often = Timing(coalesce_s=0, heartbeat_s=0.05)
    async with running.started(often), asyncio.timeout(5):
        with running.watchers.subscribe() as watcher:
            answer = await anext(aiter(watcher))

    assert answer.directory_version == 1
    assert [file.name for file in answer.files] == ["metadata/timestamp.json"]


async def test_watchers_are_told_before_who_waits_is(running: Running) -> None:
    async with running.started() as schedule:
        with running.watchers.subscribe() as watcher:
            version = await schedule.publish(touched("53.15"))
            async with asyncio.timeout(0.01):
                assert (await anext(aiter(watcher))).directory_version == version


async def test_a_start_publishes_what_the_folder_lacks(running: Running, client: Client) -> None:
    writer = Writer()
    schedule = Schedule(running.press, writer, running.watchers, running.metrics, QUICK)
    await schedule.start(touched("53.15"))
    writer.close()

    assert schedule.current.version == 2
    assert client.target("members/DAERAH/53.15") == b"0"


async def test_a_start_that_can_not_publish_fails(running: Running) -> None:
    running.content.failures = 1
    writer = Writer()
    schedule = Schedule(running.press, writer, running.watchers, running.metrics, QUICK)
    with pytest.raises(OSError, match="No space"):
        await schedule.start(touched("53.15"))
    writer.close()


async def test_old_files_are_removed_beside_publishing(
    running: Running, folder: PublishedFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.directory.schedule.FIRST_COLLECT_S", 0.0)
    folder.add("metadata/9.m-00.json", b"{}")
    wait: Callable[[], bool] = (folder.path / "metadata/9.m-00.json").exists
    async with running.started() as schedule, asyncio.timeout(5):
        await schedule.publish(touched("53.15"))
        while wait():
            await asyncio.sleep(0.01)
