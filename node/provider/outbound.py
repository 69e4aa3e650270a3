"""The two kinds of call to a service, as the exchange holds them.

`UnaryCall` gathers a whole answer. `StreamedCall` is `node.calls.OutboundCall`: its reader takes
one event after the other, and the service may be one window ahead of it; its writer waits while
the service reads slowly. The end of the call, whichever side brings it, wakes both.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from node.calls import (
    NO_METADATA,
    HalfClose,
    Headers,
    Message,
    Metadata,
    OutboundRequest,
    ResponseEvent,
    Trailers,
    UnaryAnswer,
)
from node.gateway.framing import MessageParser, print_message
from node.gateway.limits import CallLimits
from node.provider import answer
from node.provider.answer import HOP
from node.provider.faults import Fault
from node.provider.stream import STREAM_WINDOW_BYTES, UNSENT_BYTES, Stream
from security.errors import SimpulError

# Headers of a unary answer wait this long for its message, and then go ahead of it.
EARLY_HEADERS_S: Final = 0.02


class UnaryCall(Stream):
    """A unary call: its request is whole from the beginning."""

    __slots__ = ("_early", "_message", "_on_headers", "_parser", "body", "done", "headers", "tries")

    def __init__(
        self,
        request: OutboundRequest,
        limits: CallLimits,
        message: Message,
        on_headers: Callable[[Metadata], None] | None,
    ) -> None:
        super().__init__(request, limits)
        self.body = print_message(message)
        self.put(self.body)
        self.half_closed = True
        self.headers: Metadata = NO_METADATA
        self.done: asyncio.Future[UnaryAnswer] = asyncio.get_running_loop().create_future()
        # How often it may be sent anew where a service says that it has not begun it.
        self.tries = 1
        self._message: Message | None = None
        self._parser: MessageParser | None = None
        self._on_headers = on_headers
        self._early: asyncio.TimerHandle | None = None

    def renew(self) -> None:
        """Be as before the first attempt: the service has not begun it."""
        self.tries -= 1
        self.window, self.allowed = 0, STREAM_WINDOW_BYTES
        self.local_done = self.queued = False
        self._unsent, self._at = self.body, 0

    def take_data(self, data: bytes, size: int) -> None:
        """A piece of the one message."""
        if self._parser is None:
            self._parser = MessageParser(self.limits.max_message_bytes, HOP)
        try:
            messages = self._parser.feed(data)
        except SimpulError as error:
            self.finish(answer.fault(error))
            return
        self._give_credit(size)
        if not messages:
            return
        if self._message is not None or len(messages) > 1:
            self.finish(answer.too_many())
            return
        self._message = messages[0]
        self._drop_early()

    def _take_headers(self, metadata: Metadata) -> None:
        self.headers = metadata
        if self._on_headers is not None:
            loop = asyncio.get_running_loop()
            self._early = loop.call_later(EARLY_HEADERS_S, self._on_headers, metadata)

    def _take_end(self, trailers: Trailers) -> None:
        if trailers.status == 0 and self._parser is not None:
            try:
                self._parser.end()
            except SimpulError as error:
                trailers = answer.fault(error)
        self.finish(trailers)

    def _ended(self) -> None:
        self._drop_early()
        self.body = b""
        if self.end is not None and not self.done.done():
            self.done.set_result(UnaryAnswer(self.headers, self._message, self.end))

    def _drop_early(self) -> None:
        if self._early is not None:
            self._early.cancel()
            self._early = None


class StreamedCall(Stream):
    """A streaming call (`node.calls.OutboundCall`)."""

    __slots__ = ("_events", "_parser", "_pieces", "_tail", "_taken", "_waiting")

    def __init__(self, request: OutboundRequest, limits: CallLimits) -> None:
        super().__init__(request, limits)
        # What the reader gets next; then what came behind it, not looked at yet.
        self._events: deque[Headers | Message] = deque()
        self._pieces: list[bytes] = []
        self._taken = 0
        self._tail: Trailers | None = None
        self._parser = MessageParser(limits.max_message_bytes, HOP)
        # Reader and writer, asleep.
        self._waiting: list[asyncio.Future[None]] = []

    async def send(self, event: Message | HalfClose) -> None:
        """Send one event; waits while the service reads slowly. A no-op once the call ended."""
        while self.unsent > UNSENT_BYTES and self.end is None:
            await self._change()
        if self.end is not None or self.half_closed:
            return
        if isinstance(event, Message):
            self.put(print_message(event))
        else:
            self.half_closed = True
        if self.line is not None:
            self.line.want(self)

    async def receive(self) -> ResponseEvent:
        """Wait for the next event; trailers come last, and again to whoever asks once more."""
        while True:
            if self._events:
                return self._events.popleft()
            if self._pieces:
                self._read()
            elif self.end is not None:
                return self.end
            elif self._tail is not None:
                self._end_with(self._tail)
            else:
                await self._change()

    def cancel(self) -> None:
        """Give the call up: the stream is reset, `receive` ends with CANCELLED (1)."""
        self._events.clear()
        self._pieces.clear()
        super().cancel()

    def take_data(self, data: bytes, size: int) -> None:
        """A piece of the answer's messages; looked at when the reader comes to it."""
        self._pieces.append(data)
        self._taken += size
        self._wake()

    def went(self) -> None:
        """The writer may go on."""
        if self._waiting and self.unsent <= UNSENT_BYTES:
            self._wake()

    def lose(self, trailers: Trailers, fault: Fault | None) -> None:
        """The connection is gone; an answer that has come whole stays one."""
        self.line = None
        if self._tail is None:
            self.finish(trailers, fault)

    def _read(self) -> None:
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        size, self._taken = self._taken, 0
        try:
            self._events.extend(self._parser.feed(data))
        except SimpulError as error:
            self.finish(answer.fault(error))
            return
        self._give_credit(size)

    def _take_headers(self, metadata: Metadata) -> None:
        self._events.append(Headers(metadata))
        self._wake()

    def _take_end(self, trailers: Trailers) -> None:
        # Its messages come first.
        self._tail = trailers
        if not self._pieces and not self._events:
            self._end_with(trailers)
        self._wake()

    def _end_with(self, trailers: Trailers) -> None:
        if trailers.status == 0:
            try:
                self._parser.end()
            except SimpulError as error:
                trailers = answer.fault(error)
        self.finish(trailers)

    def _ended(self) -> None:
        self._wake()

    async def _change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
