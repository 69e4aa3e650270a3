"""Figures that are counted in plain numbers and written later."""

import asyncio

from prometheus_client import CollectorRegistry, Histogram

from runtime import metrics
from runtime.metrics import Later, Tally, TallyHistogram

BOUNDS = (1.0, 2.0, 5.0)


def samples(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_tally_says_what_each_observation_would_have_said() -> None:
    one, other = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("x", "x", ["side"], buckets=BOUNDS, registry=one).labels("a")
    tallied = TallyHistogram("x", "x", ["side"], buckets=BOUNDS, registry=other).labels("a")
    tally = Tally(BOUNDS)
    for amounts in ((0.5, 1.0, 1.5), (5.0, 5.1, 100.0, 2.0), ()):
        for amount in amounts:
            plain.observe(amount)
            tally.observe(amount)
        tallied.take(tally)
        assert samples(one) == samples(other)


async def test_many_changes_are_written_once() -> None:
    written = []
    later = Later(lambda: written.append(1))
    for _ in range(100):
        later.touch()
    assert written == []
    await asyncio.sleep(metrics.WRITE_AFTER_S * 1.5)
    assert written == [1]
    later.touch()
    await asyncio.sleep(metrics.WRITE_AFTER_S * 1.5)
    assert written == [1, 1]


def test_without_a_loop_it_is_written_at_once() -> None:
    written = []
    Later(lambda: written.append(1)).touch()
    assert written == [1]
