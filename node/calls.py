"""Calls as events: the boundary between the HTTP/2 stacks and the exchange.

A call comes in from an app (`InboundCall`, made by the gateway) and goes out to a service
(`OutboundCall`, made by the provider's side). Both speak the same five events, so the exchange
knows nothing of HTTP/2, and a stack can be changed without touching it. The events are gRPC's
own: headers, messages, half-close, trailers, cancellation (gRPC over HTTP/2, "Requests" and
"Responses").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from security import private
from security.errors import SimpulError

# Keys and values in wire order, repeated keys kept; the values of `-bin` keys are the bytes
# themselves, all others printable ASCII.
Metadata = private.Metadata

NO_METADATA: Final[Metadata] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """One gRPC message, never parsed; `compressed` as its length prefix says."""

    data: bytes
    compressed: bool = False


@dataclass(frozen=True, slots=True)
class HalfClose:
    """The side that asks sends no more messages."""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The app is gone: it cancelled, its deadline passed, or its connection broke."""


@dataclass(frozen=True, slots=True)
class Headers:
    """Initial metadata of an answer, at most once and before its first message."""

    metadata: Metadata = NO_METADATA


@dataclass(frozen=True, slots=True)
class Trailers:
    """The end of an answer: a gRPC status (0 to 16), its message and the trailing metadata."""

    status: int
    message: str = ""
    metadata: Metadata = NO_METADATA
    # Where this node, and not the service, ended the call.
    error: SimpulError | None = None
    # The call may have reached the service; otherwise it has certainly not heard of it.
    sent: bool = True


RequestEvent = Message | HalfClose | Cancelled
ResponseEvent = Headers | Message | Trailers


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What the gateway knows of a call when its headers have arrived."""

    # `/wisata.v1.Wisata/Get`, as the app sent it.
    path: str
    metadata: Metadata
    # The app's own deadline, counted from now; None where it set none.
    deadline_left_ms: int | None
    # What the app proves itself with; both may be absent.
    token: str | None = None
    certificate_sha256: bytes | None = None
    # The app reached the gateway over loopback or a Unix socket.
    local: bool = False
    details: dict[str, str] = field(default_factory=dict)


class InboundCall(Protocol):
    """A call that an app makes through this node's gateway."""

    @property
    def request(self) -> CallRequest:
        """What the gateway knew when the call's headers had arrived."""
        ...

    async def receive(self) -> RequestEvent:
        """Wait for the next event. After HalfClose only Cancelled can follow."""
        ...

    async def send(self, event: ResponseEvent) -> None:
        """Send one event; waits while the app reads slowly. After Trailers nothing may follow.

        An app that is gone makes this a no-op: the cancellation is told by `receive` or
        `on_cancel`.
        """
        ...

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Ask for `callback`, once, when the app is gone while nobody waits in `receive`."""
        ...


class OutboundCall(Protocol):
    """A call that this node makes to a service of its own member."""

    async def send(self, event: Message | HalfClose) -> None:
        """Send one event; waits while the service reads slowly. A no-op once the call has ended."""
        ...

    async def receive(self) -> ResponseEvent:
        """Wait for the next event. Trailers come exactly once and last, whatever happens."""
        ...

    def cancel(self) -> None:
        """Give the call up. `receive` then ends with Trailers of status CANCELLED (1)."""
        ...


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """What a service gets to see of a call before its first message."""

    path: str
    metadata: Metadata
    timeout_ms: int | None


@dataclass(frozen=True, slots=True)
class UnaryAnswer:
    """All of a unary answer; `message` is None where the service sent none, as with an error."""

    headers: Metadata
    message: Message | None
    trailers: Trailers


class Services(Protocol):
    """The way to the services behind this node."""

    def check(self, target: str) -> None:
        """Pass where a call that came now would be sent.

        Raises:
            SimpulError: It has too many calls (OVERLOADED), or did not answer a moment ago
                (SERVICE_UNREACHABLE).
        """
        ...

    async def unary(
        self,
        target: str,
        request: OutboundRequest,
        message: Message,
        on_headers: Callable[[Metadata], None] | None = None,
    ) -> UnaryAnswer:
        """Call a unary method and wait for the whole answer.

        Cancelling the waiting task cancels the call. `on_headers` is told of headers that no
        message follows soon.

        Raises:
            SimpulError: The call was not sent: the service has not heard of it.
        """
        ...

    def start(self, target: str, request: OutboundRequest) -> OutboundCall:
        """Begin a streaming call. One that can't be sent ends with trailers that carry the error.

        Raises:
            SimpulError: That is known at once.
        """
        ...


def new_call_id(at_ms: int, randomness: bytes) -> bytes:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of time, 74 of `randomness` (10 bytes)."""
    return (
        at_ms.to_bytes(6, "big")
        + bytes([0x70 | randomness[0] & 0x0F, randomness[1], 0x80 | randomness[2] & 0x3F])
        + randomness[3:]
    )
