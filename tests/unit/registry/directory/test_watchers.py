"""Queues of watchers: bounded, at once, and a slow one is told to fetch."""

import pytest
from prometheus_client import CollectorRegistry

from registry.directory.publisher import Publication
from registry.directory.watchers import MAX_PUSH_BYTES, MAX_QUEUED, Watchers, bundle
from registry.metrics import Metrics
from security.errors import Code, SimpulError

TIMESTAMP = "metadata/timestamp.json"


def a_publication(version: int, size: int = 1) -> Publication:
    return Publication(version, b"h" * 32, 1, {"targets/x": b"x" * size, TIMESTAMP: b"t"})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(CollectorRegistry())


@pytest.fixture
def watchers(metrics: Metrics) -> Watchers:
    return Watchers(2, metrics)


async def test_each_watcher_is_told_with_all_files_in_order(watchers: Watchers) -> None:
    with watchers.subscribe() as first, watchers.subscribe() as second:
        watchers.push(a_publication(7))

        for watcher in (first, second):
            answer = await anext(aiter(watcher))
            assert answer.directory_version == 7
            assert [file.name for file in answer.files] == ["targets/x", TIMESTAMP]


async def test_a_slow_watcher_is_told_to_fetch_the_newest(
    watchers: Watchers, metrics: Metrics
) -> None:
    with watchers.subscribe() as slow:
        for version in range(1, MAX_QUEUED + 2):
            watchers.push(a_publication(version))

        answer = await anext(aiter(slow))
        assert (answer.directory_version, len(answer.files)) == (MAX_QUEUED + 1, 0)
        watchers.push(a_publication(99))
        assert (await anext(aiter(slow))).directory_version == 99
    assert metrics.lagging._value.get() == 1


def test_what_is_large_is_to_be_fetched() -> None:
    assert len(bundle(a_publication(1, MAX_PUSH_BYTES - 1)).files) == 2
    assert len(bundle(a_publication(1, MAX_PUSH_BYTES)).files) == 0


async def test_there_are_no_more_than_the_limit(watchers: Watchers, metrics: Metrics) -> None:
    with watchers.subscribe(), watchers.subscribe():
        assert metrics.watchers._value.get() == 2
        with pytest.raises(SimpulError) as caught, watchers.subscribe():
            pass
        assert caught.value.code is Code.OVERLOADED
    assert metrics.watchers._value.get() == 0
    with watchers.subscribe():
        pass


async def test_all_end_when_the_registry_stops(watchers: Watchers) -> None:
    with watchers.subscribe() as watcher:
        watchers.push(a_publication(1))
        watchers.end()
        assert [answer async for answer in watcher] == []
    with watchers.subscribe() as late:
        assert [answer async for answer in late] == []
