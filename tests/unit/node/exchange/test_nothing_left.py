"""A call half done leaves nothing behind: no task, no call in either exchange, no open row."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.journal.journal import Journal
from node.journal.model import CallFilter, CallRow, Outcome
from node.journal.reader import JournalReader
from node.journal.verify import verify
from security.errors import Code
from tests.conformance import fixed
from tests.support.pair import WAIT_S, FakeCall, Pair, ServiceSide, pair

KINDS = ("Get", "List", "Import", "Watch")
NODES = {"consumer": fixed.MINISTRY_NODE, "provider": fixed.REGENCY_NODE}


class Journaled:
    """A pair with real journals, and a service that answers only when it is let."""

    def __init__(self, two: Pair, paths: dict[str, Path]) -> None:
        self.two = two
        self.paths = paths
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ends: Trailers | None = Trailers(0)
        two.provider.services.on_unary = self._unary
        two.provider.services.on_stream = self._stream

    async def _unary(self, _: OutboundRequest, message: Message) -> UnaryAnswer:
        self.begun.set()
        try:
            while self.ends is None:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return UnaryAnswer((), message, self.ends)

    async def _stream(self, side: ServiceSide) -> None:
        self.begun.set()
        while self.ends is None and not side.cancelled.is_set():
            await asyncio.sleep(0.005)
        if self.ends is None:
            self.cancelled.set()
        else:
            await side.outgoing.put(self.ends)

    def rows(self, side: str, wanted: CallFilter | None = None) -> list[CallRow]:
        with JournalReader(self.paths[side]) as reader:
            return reader.list_calls(wanted or CallFilter())

    async def all_kinds(self) -> None:
        """One good call of each kind: what links and tasks there are stay."""
        self.ends = Trailers(0)
        for kind in KINDS:
            call = await self.two.consumer.run(FakeCall(kind, Message(b"x"), HalfClose()))
            assert call.trailers.status == 0

    def left(self) -> tuple[int, int, int]:
        """Calls that are under way at the provider, on links of either side, and open rows."""
        links = [
            link
            for half in (self.two.consumer, self.two.provider)
            for link in (*half.dialler.links, *half.server.links)
        ]
        return (
            self.two.provider.providing.open_calls,
            sum(not link.idle for link in links) + sum(not link.shared for link in links),
            sum(len(self.rows(side, CallFilter(outcome=Outcome.OPEN))) for side in NODES),
        )


@asynccontextmanager
async def journaled(folder: Path) -> AsyncIterator[Journaled]:
    paths = {side: folder / f"{side}.db" for side in NODES}
    journals = {
        NODES[side]: await Journal.open(path, slot=0, holder="test", clock=lambda: fixed.NOW_MS)
        for side, path in paths.items()
    }
    try:
        async with pair(journals=journals) as two:
            yield Journaled(two, paths)
    finally:
        for journal in journals.values():
            await journal.close()


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not look():
            await asyncio.sleep(0.01)


async def cancel(here: Journaled, call: FakeCall) -> None:
    call.incoming.put_nowait(HalfClose())
    await here.begun.wait()
    call.go_away()


async def vanish(here: Journaled, call: FakeCall) -> None:
    """In the middle of its request."""
    await asyncio.sleep(0.05)
    call.go_away()


async def out_of_time(here: Journaled, call: FakeCall) -> None:
    call.incoming.put_nowait(HalfClose())
    await here.begun.wait()


async def abort(here: Journaled, call: FakeCall) -> None:
    call.incoming.put_nowait(HalfClose())
    await here.begun.wait()
    here.ends = Trailers(10, "no further")


async def cut(here: Journaled, call: FakeCall) -> None:
    call.incoming.put_nowait(HalfClose())
    await here.begun.wait()
    for link in here.two.provider.server.links:
        link.cut()


ENDS: dict[str, tuple[Callable[[Journaled, FakeCall], object], str, int]] = {
    "app cancels": (cancel, Code.CANCELLED, 1),
    "app vanishes": (vanish, Code.CANCELLED, 1),
    "deadline": (out_of_time, Code.DEADLINE_EXCEEDED, 4),
    "service aborts": (abort, "", 10),
    "link cut": (cut, Code.OUTCOME_UNKNOWN, 14),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ENDS)
async def test_nothing_is_left(tmp_path: Path, kind: str, end: str) -> None:
    act, code, status = ENDS[end]
    async with journaled(tmp_path) as here:
        await here.all_kinds()
        await until(lambda: here.left() == (0, 0, 0))
        tasks, before = len(asyncio.all_tasks()), len(here.rows("consumer"))
        here.begun.clear()
        here.ends = None
        deadline_left_ms = 300 if end == "deadline" else None
        call = FakeCall(kind, Message(b"x"), deadline_left_ms=deadline_left_ms)
        running = asyncio.create_task(here.two.consumer.run(call))
        await act(here, call)  # type: ignore[misc]  # each is a coroutine function
        await running
        assert (call.error(), call.trailers.status) == (code, status)
        await until(lambda: here.left() == (0, 0, 0))
        served = here.begun.is_set()
        if served and end != "service aborts":
            await asyncio.wait_for(here.cancelled.wait(), WAIT_S)
        # Links that were cut are dialled again, and nothing but they is there.
        await here.all_kinds()
        await until(lambda: here.left() == (0, 0, 0) and len(asyncio.all_tasks()) <= tasks)
        rows = [here.rows(side)[len(KINDS) :][: -before or None] for side in NODES]
        assert len(rows[0]) == 1
        (row,) = rows[0]
        assert row.call_id.hex() == dict(call.trailers.metadata)["simpul-call-id"].decode()
        if end == "link cut":
            assert (row.outcome, row.code, row.status) == (Outcome.LOST, Code.OUTCOME_UNKNOWN, 14)
            assert rows[1][0].outcome is Outcome.LOST
        elif served:
            # Whatever ended it, the provider closed it, and both sides have that.
            assert (row.outcome, rows[1][0].outcome) == (Outcome.CLOSED, Outcome.CLOSED)
            assert row.status == rows[1][0].status
    for path in here.paths.values():
        assert verify(path).ok


@pytest.mark.parametrize("kind", KINDS)
async def test_a_cancelled_call_is_cancelled_at_its_service_at_once(
    tmp_path: Path, kind: str
) -> None:
    """A tenth of a second is promised; the bound is for a busy machine."""
    async with journaled(tmp_path) as here:
        await here.all_kinds()
        here.begun.clear()
        here.ends = None
        call = FakeCall(kind, Message(b"x"), HalfClose())
        running = asyncio.create_task(here.two.consumer.run(call))
        await here.begun.wait()
        call.go_away()
        await asyncio.wait_for(here.cancelled.wait(), 1.0)
        await running
