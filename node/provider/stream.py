"""One call's stream to a service: what it has still to send, and what has come of its answer.

A connection feeds it (`node.provider.connection`); the two kinds of it, `UnaryCall` and
`StreamedCall`, are what the exchange holds. No task of its own: a call costs its buffers.

Rules: a call that is given up resets its stream, and its request never ends as if it were complete.
What the service may send ahead of its reader is one window, counted here; what is under way to the
service is at most one message over `UNSENT_BYTES`.

Source: RFC 9113, sections 5.1, 5.2 and 8.1; gRPC over HTTP/2.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Final, Protocol

from node.calls import OutboundRequest, Trailers
from node.gateway.limits import CallLimits
from node.provider import answer
from node.provider.answer import Block
from node.provider.faults import Fault, fault_of
from node.provider.frames import Reset
from security.limits import KIB

# What one service may send of one call before its reader has taken any.
STREAM_WINDOW_BYTES: Final = 128 * KIB
# What a call may have unsent and still take the next message.
UNSENT_BYTES: Final = 64 * KIB

_CANCELLED: Final = Trailers(1, "the call was given up")


class Line(Protocol):
    """The connection that a stream is on."""

    def want(self, stream: Stream) -> None:
        """The stream has something to send."""
        ...

    def credit(self, stream: Stream, size: int) -> None:
        """So many bytes of the stream were taken: the service may send as many more."""
        ...

    def forget(self, stream: Stream, code: Reset | None) -> None:
        """The stream is over; with a code, the service has yet to hear of it."""
        ...


class Owner(Protocol):
    """What counts a target's calls."""

    def left(self, fault: Fault | None) -> None:
        """A call is over."""
        ...


class Stream(ABC):
    """The base of both kinds of call."""

    __slots__ = (
        "_at", "_credit", "_timer", "_unsent", "allowed", "end", "half_closed", "headed", "id",
        "limits", "line", "local_done", "owner", "queued", "remote_done", "request", "window",
    )  # fmt: skip

    def __init__(self, request: OutboundRequest, limits: CallLimits) -> None:
        self.request = request
        self.limits = limits
        # Of the connection, once it is on one.
        self.id = 0
        self.line: Line | None = None
        self.owner: Owner | None = None
        # How much the service takes now, and how much it may send.
        self.window = 0
        self.allowed = STREAM_WINDOW_BYTES
        # In the connection's row of those that have something to send.
        self.queued = False
        self.half_closed = False
        self.local_done = self.remote_done = False
        # How the call ended.
        self.end: Trailers | None = None
        # The answer has begun.
        self.headed = False
        self._unsent: bytes | bytearray = b""
        self._at = 0
        self._credit = 0
        self._timer: asyncio.TimerHandle | None = None
        if request.timeout_ms is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(request.timeout_ms, 0) / 1000, self._expire)

    # What is to be sent.

    @property
    def unsent(self) -> int:
        """How many bytes are to be sent."""
        return len(self._unsent) - self._at

    def put(self, data: bytes) -> None:
        """Have more to send."""
        if not self.unsent:
            self._unsent, self._at = data, 0
            return
        if not isinstance(self._unsent, bytearray):
            self._unsent, self._at = bytearray(self._unsent[self._at :]), 0
        self._unsent += data

    def take(self, size: int) -> bytes | bytearray:
        """The next bytes to send, for good."""
        unsent, begin, end = self._unsent, self._at, self._at + size
        if end < len(unsent):
            self._at = end
            return unsent[begin:end]
        self._unsent, self._at = b"", 0
        return unsent[begin:] if begin else unsent

    def went(self) -> None:  # noqa: B027 - a unary call has no next message
        """Some of it was sent: there may be room for more."""

    # What the connection brings.

    def take_block(self, block: Block, *, last: bool) -> None:
        """A header list came; with `last` nothing follows it."""
        if self.headed:
            self._take_end(answer.end(block) if last else answer.broken())
            return
        if block.informational and not last:
            return
        self.headed = True
        begun = answer.begin(block)
        if isinstance(begun, Trailers):
            self.finish(begun)
        elif last:
            self._take_end(answer.end(block))
        else:
            self._take_headers(begun.metadata)

    @abstractmethod
    def take_data(self, data: bytes, size: int) -> None:
        """A piece of the answer's body came, which counts `size` bytes of the window."""

    def take_end(self) -> None:
        """The answer ended with its body, without trailers."""
        self._take_end(answer.end(None))

    def take_reset(self, code: int) -> None:
        """The service gave the stream up."""
        self.remote_done = self.local_done = True
        self.finish(answer.reset(code), Fault.RESET)

    def lose(self, trailers: Trailers, fault: Fault | None) -> None:
        """The connection is gone."""
        self.line = None
        self.finish(trailers, fault)

    @abstractmethod
    def _take_headers(self, metadata: tuple[tuple[str, bytes], ...]) -> None: ...

    @abstractmethod
    def _take_end(self, trailers: Trailers) -> None: ...

    # The end.

    def finish(self, trailers: Trailers, fault: Fault | None = None) -> None:
        """End the call, once: whoever waits is told, and the service where it has to know."""
        if self.end is not None:
            return
        self.end = trailers if self.id else replace(trailers, sent=False)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._unsent, self._at = b"", 0
        if self.line is not None:
            code = Reset.NO_ERROR if self.remote_done else Reset.CANCEL
            done = self.remote_done and self.local_done
            self.line.forget(self, None if done else code)
            self.line = None
        if self.owner is not None:
            self.owner.left(fault or fault_of(trailers))
        self._ended()

    def cancel(self) -> None:
        """Give the call up: the stream is reset."""
        self.finish(_CANCELLED)

    @abstractmethod
    def _ended(self) -> None:
        """Tell whoever waits."""

    def _expire(self) -> None:
        self._timer = None
        self.finish(answer.too_late(), Fault.TOO_LATE)

    def _give_credit(self, size: int) -> None:
        """Let the service send on. Small pieces are gathered up to half a window."""
        self._credit += size
        if self._credit >= STREAM_WINDOW_BYTES // 2 and self.line is not None:
            size, self._credit = self._credit, 0
            self.line.credit(self, size)
