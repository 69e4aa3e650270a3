"""A link that is cut at every point of a call's life: what the app, the service and both journals
see, and what the next greeting tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from node.calls import HalfClose, Message, OutboundRequest, Trailers, UnaryAnswer
from node.journal.model import Direction
from node.link.link import Link
from security.entry import parse_entry
from security.errors import Code, SimpulError
from security.kinds import EntryKind
from security.receiver import AcceptedParcel
from tests.support.pair import FakeCall, Half, Pair, ServiceSide, pair, unary
from tests.unit.node.link.hostile import until

CALL_ID = "simpul-call-id"


class Cut:
    """A call under way, and what holds it up where the link is to be cut."""

    def __init__(self, two: Pair) -> None:
        self.two = two
        self.release = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.gone = asyncio.Event()
        two.provider.services.on_unary = self._answer
        two.provider.services.on_stream = self._stream
        self.waits = False

    async def _answer(self, request: OutboundRequest, message: Message) -> UnaryAnswer:
        if self.waits:
            await self.release.wait()
        return UnaryAnswer((), message, Trailers(0))

    async def _stream(self, side: ServiceSide) -> None:
        await side.outgoing.put(Message(b"one"))
        await self.release.wait()

    @property
    def consumer(self) -> Link:
        """The consumer's end of the link that carries the call."""
        carrying = [link for link in self.two.consumer.dialler.links if link._calls]
        return carrying[0] if carrying else self.two.consumer.dialler.links[0]

    @property
    def provider(self) -> Link:
        """The provider's end of the same."""
        wanted = self.consumer.context.link_id
        (found,) = (x for x in self.two.provider.server.links if x.context.link_id == wanted)
        return found


def count(half: Half, direction: Direction, kind: EntryKind) -> int:
    """How many entries of a kind a node has recorded that way."""
    return sum(
        parse_entry(sealed.entry).kind.kind is kind
        for record in half.journal.records
        if record.direction is direction
        for sealed in record.entries
    )


Arrange = Callable[[Cut], None]
Reached = Callable[[Cut], bool]


@dataclass(frozen=True)
class Point:
    """One row: where the call is held, and what must come of it."""

    name: str
    arrange: Arrange
    reached: Reached
    # What the app gets: nothing where another link carried the call.
    code: str
    # How often the service heard of it.
    served: int
    # What the consumer learns of its call, and the provider of its answer.
    asked: str | None
    answered: str | None = None
    streaming: bool = False


def hold(who: str, way: Direction) -> Arrange:
    def arrange(cut: Cut) -> None:
        half: Half = getattr(cut.two, who)
        half.journal.hold(only=way)

    return arrange


def no_credit(cut: Cut) -> None:
    """The peer has let no open through."""
    sender = cut.consumer._sender
    sender._credit_taken = sender._opens


def unread(cut: Cut) -> None:
    """What comes from now on is not looked at."""

    async def accept(parcel: object) -> AcceptedParcel:
        cut.reading.clear()
        await cut.gone.wait()
        raise SimpulError(Code.PEER_UNREACHABLE, "the link broke")

    cut.consumer._accept = accept  # type: ignore[method-assign]


def unwritten(cut: Cut) -> None:
    """The consumer's connection takes nothing more."""
    cut.consumer._sending._outgoing.next = asyncio.Event().wait  # type: ignore[method-assign,assignment]


def running(cut: Cut) -> None:
    cut.waits = True


def anything(cut: Cut) -> None:
    """Nothing holds it."""


def served(cut: Cut) -> bool:
    return len(cut.two.provider.services.seen) == 2


def held(who: str) -> Reached:
    return lambda cut: bool(getattr(cut.two, who).journal.held)


POINTS = (
    Point(
        "the open waits for credit", no_credit, lambda cut: cut.consumer._calls.waiting == 1,
        code="", served=1, asked=None,
    ),
    Point(
        "the open is sealed and not sent", unwritten,
        lambda cut: bool(cut.consumer._sending._outgoing.waiting_bytes),
        code="", served=1, asked=None,
    ),
    Point(
        "the answer is here before the question is durable", hold("consumer", Direction.SENT),
        lambda cut: held("consumer")(cut) and not cut.consumer._calls,
        code="", served=1, asked=None, answered="heard",
    ),
    Point(
        "the open has come and is not durable there", hold("provider", Direction.RECEIVED),
        held("provider"), code=Code.OUTCOME_UNKNOWN, served=0, asked="not_started",
    ),
    Point(
        "the service runs", running, served,
        code=Code.OUTCOME_UNKNOWN, served=1, asked="arrived",
    ),
    Point(
        "the close is made and not durable there", hold("provider", Direction.SENT),
        held("provider"), code=Code.OUTCOME_UNKNOWN, served=1, asked="arrived", answered="unheard",
    ),
    Point(
        "the close is sent and not read", unread, lambda cut: not cut.reading.is_set(),
        code=Code.OUTCOME_UNKNOWN, served=1, asked="arrived", answered="unheard",
    ),
    Point(
        "the close has come and is not durable here", hold("consumer", Direction.RECEIVED),
        held("consumer"), code="", served=1, asked=None, answered="heard",
    ),
    Point(
        "the answer is told and not acknowledged", anything, lambda cut: not cut.consumer._calls
        and served(cut), code="", served=1, asked=None, answered="heard",
    ),
    Point(
        "a stream is under way", anything, served,
        code=Code.OUTCOME_UNKNOWN, served=1, asked="arrived", streaming=True,
    ),
)  # fmt: skip


def by_consumer(cut: Cut) -> None:
    """The stream is gone; neither node said why."""
    cut.consumer._stream.close()


def by_provider(cut: Cut) -> None:
    cut.provider.cut()


@pytest.mark.parametrize("cutting", [by_consumer, by_provider])
@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name.replace(" ", "-"))
async def test_a_link_that_is_cut_when(point: Point, cutting: Callable[[Cut], None]) -> None:
    async with pair() as two:
        await two.consumer.run(unary())
        # The receipt of the first call is out of the way.
        cut = Cut(two)
        cut.consumer._sending.receipts.ask()
        await until(lambda: not cut.provider._sender.calls.unheard())
        call = FakeCall("Watch", Message(b"q"), HalfClose()) if point.streaming else unary()
        if not point.streaming:
            point.arrange(cut)
        asking = asyncio.create_task(two.consumer.run(call))
        await until(lambda: point.reached(cut))
        await asyncio.sleep(0.02)
        links = (cut.consumer, cut.provider)
        cutting(cut)
        cut.gone.set()
        await asyncio.sleep(0.05)
        two.consumer.journal.release()
        await asyncio.wait([asyncio.ensure_future(link.over()) for link in links], timeout=2)
        two.provider.journal.release()
        await asking
        assert call.error() == point.code
        if not point.code:
            assert call.messages == [b"question"]

        # Whatever was held comes too late to be served.
        cut.release.set()
        two.provider.services.on_unary = None
        await asyncio.sleep(0.05)
        assert len(two.provider.services.seen) == 1 + point.served
        check_journals(two)
        # The first call's answer and, where the app was told one, this call's.
        told = count(two.consumer, Direction.RECEIVED, EntryKind.CLOSE)
        assert told >= 2 if not point.code else told == 1
        assert count(two.provider, Direction.RECEIVED, EntryKind.OPEN) >= 1 + point.served

        # The next link: both ends say what they have of the last one.
        await meet_again(two, streaming=point.streaming)
        of_consumer, of_provider = learned(two.consumer), learned(two.provider)
        call_id = bytes.fromhex(dict(call.trailers.metadata)[CALL_ID].decode())
        assert of_consumer.get(call_id) == point.asked
        if point.code:
            assert of_provider.get(call_id) == point.answered
        elif point.answered is not None:
            assert set(of_provider.values()) == {point.answered}


async def meet_again(two: Pair, *, streaming: bool) -> None:
    """Another call, over whatever link there is then; a stream's connection lives on."""
    call = FakeCall("Watch", HalfClose()) if streaming else unary()
    if streaming:

        async def end(side: ServiceSide) -> None:
            await side.outgoing.put(Trailers(0))

        two.provider.services.on_stream = end
        # So that a new one greets.
        for link in two.consumer.dialler.links:
            link.retire()
        await asyncio.sleep(0)
    assert (await two.consumer.run(call)).trailers.status == 0


def learned(half: Half) -> dict[bytes, str]:
    """What greetings told of each call."""
    found: dict[bytes, str] = {}
    for settled in half.settled:
        found |= {call_id: what.value for call_id, what in settled.note().calls}
    return found


def check_journals(two: Pair) -> None:
    """Each node has received nothing but what the other has on record as sent."""
    for sender, receiver in ((two.consumer, two.provider), (two.provider, two.consumer)):
        sent = {r.header_hash for r in sender.journal.records if r.direction is Direction.SENT}
        got = {r.header_hash for r in receiver.journal.records if r.direction is Direction.RECEIVED}
        assert got <= sent
