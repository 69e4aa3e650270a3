"""Packs: what a new node needs and no more; made anew when much has changed, and not before."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from registry.directory import packs
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.packs import MAX_BEHIND, NEWEST_NAME, build, is_due, newest
from registry.directory.publisher import Publisher
from registry.directory.schedule import Press, Schedule, Timing
from registry.directory.watchers import Watchers
from registry.metrics import Metrics
from registry.writer import Writer
from security.errors import Code, SimpulError
from security.pack import read_pack


def content(folder: PublishedFolder, name: str) -> dict[str, bytes]:
    return dict(read_pack(iter((folder.read(name),)), lambda _: 10**9))


def published(folder: PublishedFolder) -> dict[str, bytes]:
    names = [name for below in ("metadata", "targets", "log") for name in folder.names(below)]
    return {name: folder.read(name) for name in names}


def test_a_pack_holds_all_that_is_published_but_the_timestamp(
    folder: PublishedFolder, publisher: Publisher, now: int
) -> None:
    publisher.publish({"members/DAERAH/12.71": b"Medan"}, now)
    found = content(folder, build(folder))
    wanted = published(folder)
    assert TIMESTAMP_NAME not in found
    assert found.items() <= wanted.items()
    assert b"Medan" in found.values()
    left = {name for name in wanted.keys() - found.keys() if not name.startswith("log/")}
    # What was replaced by then: its snapshot and its bin.
    assert {name.partition(".")[0] for name in left} <= {"metadata/1", "metadata/timestamp"}


def test_old_content_is_in_no_pack(folder: PublishedFolder, publisher: Publisher, now: int) -> None:
    publisher.publish({"members/DAERAH/12.71": b"old"}, now)
    publisher.publish({"members/DAERAH/12.71": b"new"}, now)
    assert b"old" not in content(folder, build(folder)).values()


def test_the_same_directory_makes_the_same_pack(folder: PublishedFolder) -> None:
    assert build(folder) == build(folder)
    assert len(list((folder.path / "pack").iterdir())) == 2


def test_one_is_due_at_first_and_after_many_changes(
    folder: PublishedFolder, publisher: Publisher, now: int
) -> None:
    assert is_due(folder)
    build(folder)
    assert not is_due(folder)
    publisher.publish({"members/DAERAH/12.71": b"Medan"}, now)
    assert not is_due(folder)
    publisher.publish({f"members/DAERAH/{n}": b"." for n in range(MAX_BEHIND)}, now)
    assert is_due(folder)


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"log_size":1,"pack":"none"}', b"\xff"])
def test_a_pointer_that_leads_nowhere_makes_one_due(folder: PublishedFolder, damage: bytes) -> None:
    build(folder)
    (folder.path / NEWEST_NAME).write_bytes(damage)
    assert newest(folder) is None
    assert is_due(folder)


def test_the_pack_before_stays_for_who_reads_it(
    folder: PublishedFolder, publisher: Publisher, now: int
) -> None:
    made = []
    for number in range(3):
        publisher.publish({"members/DAERAH/12.71": b"%d" % number}, now)
        made.append(Path(build(folder)).name)
    assert {path.name for path in (folder.path / "pack").iterdir()} == {*made[1:], "newest"}


def test_a_damaged_directory_leaves_the_pack_before(folder: PublishedFolder) -> None:
    before = build(folder)
    (folder.path / TIMESTAMP_NAME).write_bytes(b"{")
    with pytest.raises(SimpulError) as caught:
        build(folder)
    assert caught.value.code is Code.DIRECTORY_ABSENT
    assert f"pack/{_pack(folder)}" == before


async def test_a_running_registry_makes_one(
    folder: PublishedFolder, publisher: Publisher, now: int
) -> None:
    measures, writer = Metrics(CollectorRegistry()), Writer()
    press = Press(publisher, folder, lambda _: {}, lambda: now)
    schedule = Schedule(press, writer, Watchers(1, measures), measures, Timing(pack_s=0.01))
    task = asyncio.create_task(schedule.run())
    try:
        async with asyncio.timeout(10):
            while packs.is_due(folder):
                await asyncio.sleep(0.01)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        writer.close()
    assert content(folder, f"pack/{_pack(folder)}")


def _pack(folder: PublishedFolder) -> str:
    found = newest(folder)
    assert found is not None
    return found.pack
