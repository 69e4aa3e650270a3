"""The services behind this node, over HTTP/2: `node.calls.Services`.

One way for each target, kept. Messages and metadata pass as they are: nothing is decompressed,
redirected or sent to a proxy. docs/adr/0009 says why this is a stack of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry

from node.calls import Message, OutboundCall, OutboundRequest, UnaryAnswer
from node.gateway.limits import CallLimits
from node.provider.faults import ServiceMetrics
from node.provider.outbound import StreamedCall, UnaryCall
from node.provider.target import parse_target
from node.provider.tls import ServiceTls
from node.provider.way import Way
from security.private import Metadata

MAX_CALLS: Final = 15_000


class HttpServices:
    """The way to every service of this node. One for each worker.

    Args:
        limits: Of messages and metadata.
        tls: For targets that are reached by TLS.
        max_calls: Under way at one target at once; more are refused.
        registry: Of the metrics.
    """

    def __init__(
        self,
        limits: CallLimits,
        tls: ServiceTls | None = None,
        *,
        max_calls: int = MAX_CALLS,
        registry: CollectorRegistry | None = None,
    ) -> None:
        self._limits, self._tls, self._max_calls = limits, tls, max_calls
        self._metrics = ServiceMetrics(registry or CollectorRegistry())
        self._ways: dict[str, Way] = {}

    def check(self, target: str) -> None:
        """Pass where a call that came now would be sent.

        Raises:
            SimpulError: As `Way.check`; the target is none (CONFIG_INVALID).
        """
        self._way(target).check()

    async def unary(
        self,
        target: str,
        request: OutboundRequest,
        message: Message,
        on_headers: Callable[[Metadata], None] | None = None,
    ) -> UnaryAnswer:
        """Call a unary method and wait for the whole answer; cancelling the task resets the call.

        `on_headers` is told of headers that no message follows within 20 ms.

        Raises:
            SimpulError: The call was not sent: the target is none (CONFIG_INVALID), too many calls
                are under way there (OVERLOADED), it can't be reached (SERVICE_UNREACHABLE), or not
                in time (DEADLINE_EXCEEDED).
        """
        way = self._way(target)
        call = UnaryCall(request, self._limits, message, on_headers)
        try:
            way.enter(call)
            answer = await call.done
            if not answer.trailers.sent and answer.trailers.error is not None:
                raise answer.trailers.error
            return answer
        finally:
            call.cancel()

    def start(self, target: str, request: OutboundRequest) -> OutboundCall:
        """Begin a streaming call.

        Raises:
            SimpulError: As `unary`, where that is known at once.
        """
        way = self._way(target)
        call = StreamedCall(request, self._limits)
        try:
            way.enter(call)
        except BaseException:
            call.cancel()
            raise
        return call

    async def close(self) -> None:
        """Close every connection."""
        ways, self._ways = self._ways, {}
        await asyncio.gather(*(way.close() for way in ways.values()))

    def _way(self, target: str) -> Way:
        way = self._ways.get(target)
        if way is None:
            way = Way(parse_target(target), self._limits, self._tls, self._metrics, self._max_calls)
            self._ways[target] = way
        return way
