"""The way to one target: its connections, the calls that wait for one, and what keeps both bounded.

Calls share one connection while the service takes more of them on it, and some more connections
where it limits what one may carry. A target that doesn't answer is left alone for a short, growing
pause (`node.provider.breaker`), in which calls fail at once.

Rules: a call is sent once; again only where the service said that it has not begun it, once, and
only a unary one, whose request is whole. Nothing waits without a bound: calls are counted, and
connecting has a time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import Final

import structlog

from node.calls import Trailers
from node.gateway.limits import CallLimits
from node.gateway.refusal import refusal
from node.provider.breaker import Breaker
from node.provider.connection import Connection
from node.provider.dial import CONNECT_TIMEOUT_S, FAULTS, dial, why
from node.provider.faults import Fault, ServiceMetrics
from node.provider.outbound import UnaryCall
from node.provider.stream import Stream
from node.provider.target import Target
from node.provider.tls import ServiceTls
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

# Of an attempt after a failure: the service was down, and calls wait for this.
PROBE_TIMEOUT_S: Final = 1.0
# How long calls join an attempt after a failure; later ones fail at once.
_JOIN_S: Final = 0.25
MAX_CONNECTIONS: Final = 16


class Way:
    """To one target. One for each worker."""

    def __init__(
        self,
        target: Target,
        limits: CallLimits,
        tls: ServiceTls | None,
        metrics: ServiceMetrics,
        max_calls: int,
    ) -> None:
        self._target, self._limits, self._tls, self._metrics = target, limits, tls, metrics
        self._max_calls = max_calls
        self._loop = asyncio.get_running_loop()
        self._breaker = Breaker()
        self._connections: list[Connection] = []
        # Those that are in their last calls.
        self._leaving: set[Connection] = set()
        self._waiting: deque[Stream] = deque()
        self._connecting: asyncio.Task[None] | None = None
        self._connecting_since_s = 0.0
        self._calls = 0
        self._closed = False

    def check(self) -> None:
        """Pass where a call that came now would be sent.

        Raises:
            SimpulError: Too many calls are under way there (OVERLOADED), or the service did not
                answer a moment ago (SERVICE_UNREACHABLE).
        """
        if self._calls >= self._max_calls:
            self._metrics.count(Fault.OVERLOADED)
            raise SimpulError(
                Code.OVERLOADED,
                f"{self._calls} calls are under way at this service of the provider's, which is "
                "the limit; try again in a moment, with fewer at a time",
            )
        self._refuse_in_pause()

    def enter(self, stream: Stream) -> None:
        """Send a call, as soon as there is a connection with room for it.

        Raises:
            SimpulError: As `check`. The call was not sent.
        """
        self.check()
        self._calls += 1
        stream.owner = self
        self._place(stream)

    async def close(self) -> None:
        """End every connection, and every call."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        for connection in (*self._connections, *self._leaving):
            connection.close()
        self._fail_waiting(_unreachable())

    # What streams and connections tell.

    def left(self, fault: Fault | None) -> None:
        """A call is over."""
        self._calls -= 1
        if fault is not None:
            self._metrics.count(fault)

    def on_room(self) -> None:
        """A connection has room for a call that waits."""
        while self._waiting:
            connection = self._roomy()
            if connection is None:
                return
            stream = self._waiting.popleft()
            if stream.end is None:
                connection.begin(stream)

    def on_gone(self, connection: Connection) -> None:
        """A connection takes no more calls."""
        if connection in self._connections:
            self._connections.remove(connection)
            self._leaving.add(connection)
        if self._waiting:
            self._connect()

    def on_closed(self, connection: Connection) -> None:
        """A connection is no more."""
        if connection in self._leaving:
            self._leaving.remove(connection)
            self._metrics.connections.dec()

    def again(self, stream: Stream, reason: Trailers) -> None:
        """The service said that it has not begun this call."""
        # One that has begun to answer has begun the call, whatever it says.
        begun = self._closed or stream.headed
        if not begun and isinstance(stream, UnaryCall) and stream.tries:
            stream.renew()
            self._place(stream)
        else:
            stream.finish(reason, Fault.RESET)

    # Inside.

    def _place(self, stream: Stream) -> None:
        connection = self._roomy()
        if connection is None:
            self._waiting.append(stream)
            self._connect()
        else:
            connection.begin(stream)

    def _roomy(self) -> Connection | None:
        return next((each for each in self._connections if not each.full), None)

    def _refuse_in_pause(self) -> None:
        if self._breaker.closed or self._connections:
            return
        now_s = self._loop.time()
        late = self._connecting is not None and now_s - self._connecting_since_s > _JOIN_S
        left_s = self._breaker.left_s(now_s)
        if late or (left_s and self._connecting is None):
            self._metrics.count(Fault.PAUSED)
            raise SimpulError(
                Code.SERVICE_UNREACHABLE,
                "the provider's node can't reach the service, and tries it again within "
                f"{max(left_s, PROBE_TIMEOUT_S):.1f} s; its operators must start it",
            )

    def _connect(self) -> None:
        if self._closed or self._connecting is not None:
            return
        if self._breaker.left_s(self._loop.time()):
            if not self._connections:
                self._fail_waiting(_unreachable())
            return
        if len(self._connections) < MAX_CONNECTIONS:
            self._connecting_since_s = self._loop.time()
            self._connecting = self._loop.create_task(self._try())

    async def _try(self) -> None:
        """Make one connection; those that wait for it are told when that fails."""
        probing = not self._breaker.closed
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S if probing else CONNECT_TIMEOUT_S):
                connection = await dial(
                    self._target, self._tls, self._limits.max_metadata_bytes, self
                )
        except FAULTS as error:
            self._failed(why(error), probing=probing)
        except Exception as error:  # noqa: BLE001 - logged whole, and nobody waits for ever
            _log.exception("service could not be dialled", target=str(self._target))
            self._failed(type(error).__name__, probing=probing)
        else:
            if probing:
                self._metrics.paused.dec()
                _log.info("service answers again", target=str(self._target))
            self._breaker.succeeded()
            self._metrics.connections.inc()
            if connection.draining:
                self._leaving.add(connection)
                self.on_closed(connection)
            else:
                self._connections.append(connection)
        finally:
            self._connecting = None
        self.on_room()
        if self._waiting:
            self._connect()

    def _failed(self, reason: str, *, probing: bool) -> None:
        pause_s = self._breaker.failed(self._loop.time())
        if not probing:
            self._metrics.paused.inc()
        # Where the service lies is not the app's business: that stands in the log only.
        _log.warning(
            "service unreachable", target=str(self._target), pause_s=round(pause_s, 1),
            why=reason,
        )  # fmt: skip
        if not self._connections:
            self._fail_waiting(_unreachable())

    def _fail_waiting(self, trailers: Trailers) -> None:
        waiting, self._waiting = self._waiting, deque()
        for stream in waiting:
            stream.finish(trailers)


def _unreachable() -> Trailers:
    return refusal(
        SimpulError(
            Code.SERVICE_UNREACHABLE,
            "the provider's node can't reach the service; its operators must start it",
        )
    )
