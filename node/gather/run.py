"""One gather under way: parts are begun, their answers become one stream, and the end is counted.

Answers leave in the order in which they came, each part's in its own order, through a queue of one:
an app that reads slowly holds up the parts, whose links then hold up the services. What is in
memory at once is bounded by that: of each part at most two messages and its link's window.

Rules: no part waits for another, but for room at the app; a part ends by its own deadline; where
the app goes, or has enough, every part is given up, and cancelled at its provider.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Protocol

import structlog

from node.calls import Cancelled, InboundCall, Message
from node.exchange.asks import Asked
from node.exchange.refused import RefusedCalls
from node.gather.chosen import Chosen
from node.gather.pace import Pace
from node.gather.part import Part, PartEnd
from node.gather.plan import Planned, Terms
from runtime.grpc_errors import INTERNAL_TEXT
from security.errors import ERRORS, Code, SimpulError

_log = structlog.get_logger(__name__)

# After so long a silence a part no longer keeps others from being begun.
PATIENCE_S: Final = 0.05
# Before the app's own deadline, so that it hears what there is.
MARGIN_S: Final = 0.2
MARGIN_SHARE: Final = 0.1


class Sink(Protocol):
    """Where the answers go."""

    async def message(self, part: Part, message: Message) -> None:
        """A part said this; waits while the app reads slowly."""
        ...

    async def ended(self, part: Part, end: PartEnd) -> None:
        """A part ended; nothing more comes of it."""
        ...


class Over(Enum):
    """Why a gather begins no more parts, and gives up those under way."""

    ENOUGH = auto()
    TIME = auto()
    APP = auto()


@dataclass(frozen=True, slots=True)
class Counts:
    """What came of it. `why`: how many parts are missing, by code or gRPC status."""

    parts: int
    answered: int
    missing: int
    messages: int
    why: Counter[str]


@dataclass(frozen=True, slots=True)
class Way:
    """How parts are made and called."""

    make: Callable[[Planned, Callable[[Part, Message], Awaitable[None]], float], Part]
    carry: Callable[[Asked, Part], Awaitable[int]]
    refused: RefusedCalls
    new_call_id: Callable[[], bytes]
    # Told of each part's end: the code or the status that it ended with.
    count: Callable[[str], None]


class GatherRun:
    """Made for one gather, and run once."""

    def __init__(
        self,
        call: InboundCall,
        gather_id: bytes,
        plan: tuple[Planned, ...],
        terms: Terms,
        way: Way,
        sink: Sink,
        deadline_s: float | None,
    ) -> None:
        self._call = call
        self._gather_id = gather_id
        self._plan = plan
        self._terms = terms
        self._way = way
        self._sink = sink
        self._deadline_s = deadline_s
        self._pace = Pace()
        self._chosen = Chosen(terms.first)
        self._need = min(terms.first or len(plan), len(plan))
        self._tasks: dict[asyncio.Task[None], Part] = {}
        self._out: asyncio.Queue[tuple[Part, Message | PartEnd]] = asyncio.Queue(1)
        self._over: Over | None = None
        self._answered = self._missing = self._messages = 0
        self._why: Counter[str] = Counter()

    async def run(self) -> Counts:
        """Begin the parts, and wait for their ends, or for enough of them."""
        loop = asyncio.get_running_loop()
        timer = None
        if self._deadline_s is not None:
            timer = loop.call_at(self._deadline_s, self._stop, Over.TIME)
        beside = [
            loop.create_task(work)
            for work in (self._watch_app(), self._watch_silence(), self._write())
        ]
        try:
            await self._begin_all()
            while self._tasks:
                await asyncio.wait(self._tasks)
            await self._out.join()
        finally:
            if timer is not None:
                timer.cancel()
            self._stop(Over.APP)
            for task in (*beside, *self._tasks):
                task.cancel()
            await asyncio.gather(*beside, *self._tasks, return_exceptions=True)
        return Counts(len(self._plan), self._answered, self._missing, self._messages, self._why)

    @property
    def app_gone(self) -> bool:
        """Nobody hears the end."""
        return self._over is Over.APP

    @property
    def enough(self) -> bool:
        """As many answered as the app wants."""
        return self._answered >= self._need

    async def _begin_all(self) -> None:
        loop = asyncio.get_running_loop()
        for number, planned in enumerate(self._plan):
            await self._pace.take()
            if self._over is not None:
                await self._never_begun(self._plan[number:])
                return
            part = self._way.make(planned, self._deliver, loop.time())
            task = loop.create_task(self._one(part))
            self._tasks[task] = part
            task.add_done_callback(self._tasks.pop)

    async def _never_begun(self, plan: tuple[Planned, ...]) -> None:
        """Parts that there was no time for are missing, and recorded so."""
        if self._over is not Over.TIME:
            return
        error = SimpulError(Code.DEADLINE_EXCEEDED, "the deadline passed before it was asked")
        parts = [self._way.make(planned, self._deliver, 0) for planned in plan]
        await asyncio.gather(*(self._refuse(self._asked(part), error) for part in parts))
        for part in parts:
            end = PartEnd(b"", ERRORS[error.code].grpc_status, error.code, error.message, 0, 0)
            await self._missed(part, end)

    async def _one(self, part: Part) -> None:
        asked = self._asked(part)
        try:
            if part.planned.refusal is not None:
                raise part.planned.refusal
            status = await self._way.carry(asked, part)
        except SimpulError as error:
            await self._refuse(asked, error)
            end = self._end(part, asked, ERRORS[error.code].grpc_status, error.code, error.message)
        except Exception:  # noqa: BLE001 - logged; one part's fault is no other's
            _log.exception("a part of a gather failed here", call_id=asked.call_id.hex())
            end = self._end(part, asked, 13, Code.INTERNAL, INTERNAL_TEXT)
        else:
            said = "" if part.trailers is None else part.trailers.message
            end = self._end(part, asked, status, "", said)
        if asked.route is not None:
            part.provider = asked.route.provider
        self._give_turn(part)
        await self._ended(part, end)

    async def _ended(self, part: Part, end: PartEnd) -> None:
        if end.status == 0 and await self._chosen.enter(part):
            self._answered += 1
            self._way.count("0")
            await self._out.put((part, end))
            if self._terms.first is not None and self.enough:
                self._stop(Over.ENOUGH)
            return
        self._chosen.leave(part)
        if part.given_up and self._over is not Over.TIME:
            # It isn't missed: the app has enough, or is gone.
            self._way.count("given up")
            return
        await self._missed(part, end)

    async def _missed(self, part: Part, end: PartEnd) -> None:
        self._missing += 1
        self._why[end.code or f"status {end.status}"] += 1
        self._way.count(end.code or str(end.status))
        await self._out.put((part, end))

    async def _refuse(self, asked: Asked, error: SimpulError) -> None:
        await self._way.refused.settle(asked, error)
        _log.debug("part refused", call_id=asked.call_id.hex(), code=error.code)

    def _asked(self, part: Part) -> Asked:
        return Asked(
            part,
            self._way.new_call_id(),
            self._part_deadline_s(),
            gather_id=self._gather_id,
            region=part.region,
        )

    def _part_deadline_s(self) -> float | None:
        if self._terms.part_ms is None:
            return self._deadline_s
        at_s = asyncio.get_running_loop().time() + self._terms.part_ms / 1000
        return at_s if self._deadline_s is None else min(at_s, self._deadline_s)

    def _end(self, part: Part, asked: Asked, status: int, code: str, message: str) -> PartEnd:
        took_s = asyncio.get_running_loop().time() - part.began_s
        return PartEnd(asked.call_id, status, code, message, part.messages, int(took_s * 1000))

    async def _deliver(self, part: Part, message: Message) -> None:
        part.heard_s = asyncio.get_running_loop().time()
        if not await self._chosen.enter(part):
            return
        part.delivering = True
        try:
            await self._out.put((part, message))
        finally:
            part.delivering = False
        part.heard_s = asyncio.get_running_loop().time()
        part.messages += 1
        self._messages += 1

    async def _write(self) -> None:
        """Only this sends to the app: whoever gives a part up leaves no message half sent."""
        while True:
            part, event = await self._out.get()
            try:
                if isinstance(event, Message):
                    await self._sink.message(part, event)
                else:
                    await self._sink.ended(part, event)
            except Exception:  # noqa: BLE001 - logged, and the gather ends
                _log.exception("an answer could not be sent")
                self._stop(Over.APP)
            finally:
                self._out.task_done()

    async def _watch_app(self) -> None:
        """The app has said all: what follows is that it is gone."""
        if isinstance(await self._call.receive(), Cancelled):
            self._stop(Over.APP)

    async def _watch_silence(self) -> None:
        now_s = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(PATIENCE_S / 2)
            late_s = now_s() - PATIENCE_S
            for part in tuple(self._tasks.values()):
                if part.has_turn and not part.delivering and part.heard_s <= late_s:
                    self._give_turn(part)

    def _give_turn(self, part: Part) -> None:
        if part.has_turn:
            part.has_turn = False
            self._pace.give()

    def _stop(self, why: Over) -> None:
        if self._over is None:
            self._over = why
        self._pace.open()
        if why is Over.TIME:
            # Each part has this deadline itself, and says so.
            return
        for part in self._tasks.values():
            part.give_up()


def ends_at_s(deadline_left_ms: int | None, now_s: float) -> float | None:
    """When a gather must be over, in the event loop's time: a little before its app gives it up."""
    if deadline_left_ms is None:
        return None
    left_s = deadline_left_ms / 1000
    return now_s + left_s - min(MARGIN_S, left_s * MARGIN_SHARE)
