"""A clock that jumps back: it moves no record, and gives no slot away."""

from pathlib import Path

import pytest

from node.journal.journal import Journal
from node.journal.model import CallFilter
from node.journal.reader import JournalReader
from security.errors import Code, SimpulError
from tests.chaos.checker import Told, problems
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, unary_call

HOUR_MS = 3_600_000


class Clock:
    """Says what it's set to."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


async def test_a_clock_that_jumps_back_under_load(tmp_path: Path) -> None:
    path, clock, link, told = tmp_path / "journal.db", Clock(), Link(), Told()
    journal = await Journal.open(path, slot=0, holder="first", clock=clock)
    for number in range(20):
        clock.now_ms = NOW_MS - HOUR_MS * (number % 3)
        await journal.append(unary_call(link, number))
        told.acknowledged.append(number)
        told.trees[journal.size] = journal.root().hex()
    with pytest.raises(SimpulError, match="first") as caught:
        await Journal.open(path, slot=0, holder="second", clock=clock)
    assert caught.value.code is Code.JOURNAL_LOCKED
    await journal.close()
    # Given back is free, whatever the clock says.
    clock.now_ms = NOW_MS - 24 * HOUR_MS
    journal = await Journal.open(path, slot=0, holder="second", clock=clock)
    assert journal.size == 40
    await journal.append(unary_call(link, 20))
    told.acknowledged.append(20)
    await journal.close()
    assert problems(path, told) == []
    with JournalReader(path) as reader:
        rows = reader.list_calls(CallFilter())
    assert {row.call_id for row in rows} == {call_id(number) for number in range(21)}
