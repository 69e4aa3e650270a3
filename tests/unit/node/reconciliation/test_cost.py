"""What comparing a million parcels of a day costs: bytes of questions and answers, no journal."""

from collections.abc import Collection
from hashlib import sha256
from pathlib import Path

import pytest

from node.journal.compared import HourSets, Span
from node.reconciliation.answering import Answering
from node.reconciliation.asking import Reconciling, Summary
from node.reconciliation.sets import JournalSets
from security.identifiers import NodeId
from security.reconcile import HOUR_MS, Gathering, HashSet, ParcelPlace

PARCELS = 1_000_000
FIRST, HOURS = 490_000, 24
NOW_MS = (FIRST + HOURS + 1) * HOUR_MS
ASKING, ASKED = NodeId("ID", "asking"), NodeId("ID", "asked")


class Synthetic(JournalSets):
    """Sets in memory, as a journal would have them; `gone` is missing."""

    def __init__(self, gone: int | None = None) -> None:
        super().__init__(Path("nowhere"), lambda: 0.0)
        gathering = [Gathering() for _ in range(HOURS)]
        for number in range(PARCELS):
            if number != gone:
                gathering[number % HOURS].add(sha256(number.to_bytes(8, "big")).digest())
        self._sets = [
            HourSets(FIRST + hour, each.done(), HashSet()) for hour, each in enumerate(gathering)
        ]

    async def counts(self, span: Span) -> dict[int, int]:
        return {
            sets.hour: len(sets)
            for sets in self._sets
            if span.from_ms <= sets.hour * HOUR_MS < span.until_ms
        }

    async def held_from_ms(self) -> int:
        return 0

    async def hour(self, span: Span, hour: int) -> HourSets:
        del span
        return self._sets[hour - FIRST]

    async def describe(
        self, span: Span, hour: int, hashes: Collection[bytes]
    ) -> tuple[ParcelPlace, ...]:
        del span
        return tuple(
            ParcelPlace(each, bytes(32), True, 5, hour * HOUR_MS, True, 9) for each in hashes
        )


@pytest.fixture(scope="module")
def whole() -> Synthetic:
    return Synthetic()


async def compare(mine: JournalSets, theirs: JournalSets) -> Summary:
    answering = Answering(ASKED, theirs, lambda: NOW_MS)
    work = Reconciling(
        mine, lambda method, data: answering.answer(ASKING, method, data), str(ASKED)
    )
    events = [event async for event in work.run(FIRST * HOUR_MS, (FIRST + HOURS) * HOUR_MS, NOW_MS)]
    last = events[-1]
    assert isinstance(last, Summary)
    return last


async def test_a_million_that_agree_cost_less_than_a_kilobyte(whole: Synthetic) -> None:
    found = await compare(whole, whole)
    assert (found.parcels, found.differences) == (PARCELS, 0)
    assert found.asked_bytes + found.answered_bytes < 1_000


async def test_one_that_was_lost_among_a_million_costs_a_few_kilobytes(whole: Synthetic) -> None:
    found = await compare(whole, Synthetic(gone=777_777))
    assert (found.differences, found.serious) == (1, 1)
    assert found.asked_bytes + found.answered_bytes < 6_000
