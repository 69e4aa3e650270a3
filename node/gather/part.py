"""One part of a gather: the app of one call, as the exchange sees it, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from node.calls import (
    CallRequest,
    Cancelled,
    HalfClose,
    Message,
    RequestEvent,
    ResponseEvent,
    Trailers,
)
from node.gather.plan import Planned
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId


@dataclass(frozen=True, slots=True)
class PartEnd:
    """How a part ended. `code` is empty where the service itself ended it."""

    call_id: bytes
    status: int
    code: str
    message: str
    messages: int
    duration_ms: int


class Part:
    """An `InboundCall` with one request; its answers go to `deliver`, one at a time."""

    def __init__(
        self,
        planned: Planned,
        request: CallRequest,
        message: Message,
        deliver: Callable[[Part, Message], Awaitable[None]],
        began_s: float,
    ) -> None:
        self.planned = planned
        self._request = request
        self._events: list[RequestEvent] = [HalfClose(), message]
        self._deliver = deliver
        self._gone = asyncio.Event()
        self._on_cancel: Callable[[], None] | None = None
        self.provider: SubsystemId | None = planned.provider
        self.trailers: Trailers | None = None
        self.messages = 0
        self.began_s = self.heard_s = began_s
        # It has a turn of the gather's pace.
        self.has_turn = True
        # It has an answer on its way to the app.
        self.delivering = False
        # Of a gather that wants a few: this is one of them, or waits to be.
        self.chosen = False
        self.waiting: asyncio.Future[bool] | None = None

    @property
    def request(self) -> CallRequest:
        """The app's own, with the part's region or provider in place of all of them."""
        return self._request

    @property
    def given_up(self) -> bool:
        """The gather wants nothing more of it."""
        return self._gone.is_set()

    @property
    def region(self) -> str:
        """The region that answers, or that was asked for."""
        return self.planned.region

    async def receive(self) -> RequestEvent:
        """The request, and then nothing until the part is given up."""
        if self._events:
            return self._events.pop()
        await self._gone.wait()
        return Cancelled()

    async def send(self, event: ResponseEvent) -> None:
        """Take what the service says; waits while the app reads slowly."""
        if isinstance(event, Trailers):
            self.trailers = event
        elif isinstance(event, Message):
            if event.compressed:
                # Each part would have its own encoding, and the app is told of one.
                raise SimpulError(
                    Code.INTERNAL, "the service compressed its answer, which was not asked for"
                )
            await self._deliver(self, event)

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Ask for `callback` when the part is given up."""
        self._on_cancel = callback
        if self._gone.is_set():
            asyncio.get_running_loop().call_soon(callback)

    def give_up(self) -> None:
        """The gather wants nothing more of it. Never waits."""
        if self._gone.is_set():
            return
        self._gone.set()
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(False)
        if self._on_cancel is not None:
            self._on_cancel()
