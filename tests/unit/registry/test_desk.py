"""A request runs to its end, whoever waits; and there is a limit."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from registry.desk import Desk
from registry.directory import signers as keys
from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from registry.directory.schedule import Press, Schedule, Timing
from registry.directory.watchers import Watchers
from registry.metrics import Metrics
from registry.model import Touched
from registry.writer import Writer
from security.errors import Code, SimpulError
from tests.unit.registry.conftest import KOMODO

TOUCHED = Touched(frozenset({KOMODO}))
TARGET = "members/DAERAH/53.15"


@pytest.fixture
def publisher(first_home: Path, tmp_path: Path) -> Publisher:
    folder = PublishedFolder(Path(shutil.copytree(first_home / "directory", tmp_path / "d")))
    return Publisher.open(folder, keys.load(first_home / "keys"))


@pytest.fixture
def writer() -> Iterator[Writer]:
    made = Writer()
    yield made
    made.close()


@pytest.fixture
async def desk(publisher: Publisher, writer: Writer, tmp_path: Path) -> AsyncIterator[Desk]:
    metrics = Metrics(CollectorRegistry())
    press = Press(publisher, PublishedFolder(tmp_path / "d"), lambda _: {TARGET: b"x"}, lambda: 1)
    schedule = Schedule(press, writer, Watchers(1, metrics), metrics, Timing(0, 60))
    task = asyncio.create_task(schedule.run())
    made = Desk(writer, schedule, limit=2)
    yield made
    await made.close(1)
    task.cancel()


async def test_a_change_is_answered_with_the_version_that_holds_it(
    desk: Desk, publisher: Publisher
) -> None:
    assert await desk.change(lambda: "done", lambda _: TOUCHED) == ("done", 2)
    assert publisher.holds(TARGET, b"x")


async def test_what_was_stored_is_published_though_the_caller_has_gone(
    desk: Desk, publisher: Publisher
) -> None:
    go_on = threading.Event()
    call = asyncio.create_task(desk.change(lambda: go_on.wait(5), lambda _: TOUCHED))
    await asyncio.sleep(0.01)

    call.cancel()
    go_on.set()

    async with asyncio.timeout(5):
        while not publisher.holds(TARGET, b"x"):
            await asyncio.sleep(0.01)


async def test_a_refusal_is_the_callers(desk: Desk) -> None:
    def refuse() -> None:
        raise SimpulError(Code.CONFLICT, "no")

    with pytest.raises(SimpulError, match="no"):
        await desk.change(refuse, lambda _: TOUCHED)


async def test_there_is_a_limit_to_what_waits(desk: Desk) -> None:
    go_on = threading.Event()
    waiting = [
        asyncio.create_task(desk.change(lambda: go_on.wait(5), lambda _: Touched()))
        for _ in range(2)
    ]
    await asyncio.sleep(0.01)

    with pytest.raises(SimpulError) as caught:
        await desk.change(lambda: None, lambda _: Touched())
    assert caught.value.code is Code.OVERLOADED

    go_on.set()
    await asyncio.gather(*waiting)
    await desk.change(lambda: None, lambda _: Touched())


async def test_what_only_reads_counts_too(desk: Desk) -> None:
    go_on = threading.Event()
    waiting = [asyncio.create_task(desk.read(lambda: go_on.wait(5))) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(SimpulError) as refused:
        await desk.read(lambda: None)
    assert refused.value.code is Code.OVERLOADED
    go_on.set()
    await asyncio.gather(*waiting)
