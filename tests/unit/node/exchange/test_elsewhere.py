"""At most once among workers: a call id that came to another worker too is handed on by one."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from node.exchange.elsewhere import Elsewhere
from node.journal.journal import Journal
from node.journal.place import Place
from node.journal.reader import JournalReader
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from tests.conformance import fixed
from tests.support.pair import pair, unary
from tests.support.postgres import new_database
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, close_entry, open_entry

MEMBER = MemberId.parse("ID/KEMENTERIAN/KOMDIGI")


class Opened:
    """A journal that holds calls of these consumers and ids."""

    def __init__(self, *rows: tuple[str, bytes], error: SimpulError | None = None) -> None:
        self.rows = rows
        self.error = error
        self.asked: list[int] = []
        self.closed = False

    def opened_again(self, call_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
        self.asked.append(len(call_ids))
        if self.error is not None:
            raise self.error
        return [row for row in self.rows if row[1] in call_ids]

    def close(self) -> None:
        self.closed = True


async def told(elsewhere: Elsewhere, number: int, member: MemberId = MEMBER) -> str:
    try:
        await elsewhere.check(member, call_id(number))
    except SimpulError as error:
        return error.code
    return ""


async def test_an_id_that_is_there_twice_is_refused_and_another_members_does_not_count() -> None:
    one, other = f"{MEMBER}/superapp", "ID/KEMENTERIAN/KEMENHUB/bandara"
    opened = Opened((one, call_id(1)), (one, call_id(2)), (other, call_id(2)),
                    (one, call_id(3)), (f"{MEMBER}/another", call_id(3)))  # fmt: skip
    elsewhere = Elsewhere(lambda: opened)
    found = await asyncio.gather(*(told(elsewhere, number) for number in (1, 2, 3)))
    assert found == ["", "", Code.CALL_REPEATED]
    await elsewhere.close()
    assert opened.closed


async def test_looks_that_gather_go_together() -> None:
    opened = Opened()
    elsewhere = Elsewhere(lambda: opened)
    assert await asyncio.gather(*(told(elsewhere, number) for number in range(1200))) == [""] * 1200
    assert opened.asked == [500, 500, 200]
    await elsewhere.close()


async def test_a_journal_that_cannot_be_read_hands_nothing_on_and_is_opened_again() -> None:
    broken = Opened(error=SimpulError(Code.JOURNAL_FAILED, "no disk"))
    journals = [broken, Opened()]
    elsewhere = Elsewhere(lambda: journals.pop(0))
    assert await told(elsewhere, 1) == Code.JOURNAL_FAILED
    assert broken.closed
    assert await told(elsewhere, 1) == ""
    await elsewhere.close()


async def test_a_call_that_came_to_another_worker_reaches_no_service() -> None:
    rows = [(f"{fixed.MINISTRY}/superapp", b"")]

    class Twice(Opened):
        def opened_again(self, call_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
            return [(rows[0][0], each) for each in call_ids for _ in range(2)]

    async with pair() as two:
        elsewhere = two.provider.providing._elsewhere = Elsewhere(Twice)
        call = await two.consumer.run(unary())
        assert (call.error(), call.trailers.status) == (Code.CALL_REPEATED, 6)
        assert two.provider.services.seen == []
        await elsewhere.close()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return tmp_path / "journal.db" if request.param == "sqlite" else new_database()


async def test_of_two_workers_on_one_journal_at_most_one_hands_a_call_on(place: Place) -> None:
    clock: Callable[[], int] = lambda: NOW_MS  # noqa: E731
    journals = [
        await Journal.open(place, slot=slot, holder=f"worker {slot}", clock=clock)
        for slot in range(2)
    ]
    looks = [Elsewhere(lambda: JournalReader(place)) for _ in journals]
    links = [Link("one"), Link("two")]

    async def come(worker: int, number: int) -> str:
        await journals[worker].append([links[worker].received(open_entry(number))])
        return await told(looks[worker], number)

    # One after the other, also where the first has been answered.
    assert await come(0, 1) == ""
    assert await come(1, 1) == Code.CALL_REPEATED
    assert await come(0, 2) == ""
    await journals[0].append([links[0].sent(close_entry(2, 0))])
    assert await come(1, 2) == Code.CALL_REPEATED
    # At once: where both see both, none does.
    for number in range(3, 43):
        found = await asyncio.gather(come(0, number), come(1, number))
        assert found.count("") <= 1
    await asyncio.gather(*(look.close() for look in looks))
    await asyncio.gather(*(journal.close() for journal in journals))
