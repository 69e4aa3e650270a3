"""The services behind this node, over HTTP/2 without TLS: `node.calls.Services`.

One connection pool for each target, kept. Nothing is ever sent twice, decompressed or redirected,
and no proxy is asked: the worker's environment holds none (`node.processes`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from pyqwest import Headers as HttpHeaders
from pyqwest import HTTPTransport, HTTPVersion, Request

from node.calls import (
    Headers,
    Message,
    OutboundCall,
    OutboundRequest,
    Trailers,
    UnaryAnswer,
)
from node.gateway.framing import print_message, print_metadata, print_timeout
from node.gateway.limits import CallLimits
from node.provider.answer import Emit, ask
from node.provider.outbound import StreamedCall
from node.provider.target import check_target
from security.errors import Code, SimpulError
from security.private import Metadata

CONNECT_TIMEOUT_S: Final = 5.0
# Headers of a unary answer wait this long for its message, and then go ahead of it.
EARLY_HEADERS_S: Final = 0.02


class HttpServices:
    """The way to every service of this node. One for each worker."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._transports: dict[str, HTTPTransport] = {}

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
            SimpulError: The target can't be called at all (CONFIG_INVALID).
        """
        headers: Metadata = ()
        messages: list[Message] = []
        timer: asyncio.TimerHandle | None = None

        async def take(event: Headers | Message) -> None:
            nonlocal headers, timer
            if isinstance(event, Headers):
                headers = event.metadata
                if on_headers is not None:
                    loop = asyncio.get_running_loop()
                    timer = loop.call_later(EARLY_HEADERS_S, on_headers, headers)
            else:
                if timer is not None:
                    timer.cancel()
                messages.append(event)
                if len(messages) > 1:
                    # Enough is known, and a stream would fill the memory.
                    raise SimpulError(
                        Code.INTERNAL,
                        "the service answered a unary call with many messages; mend its contract",
                    )

        http = _request(target, request, print_message(message))
        transport = self._transport(target)
        try:
            trailers = await ask(transport, http, self._limits, request.timeout_ms, take)
        finally:
            if timer is not None:
                timer.cancel()
        return UnaryAnswer(headers, messages[0] if messages else None, trailers)

    def start(self, target: str, request: OutboundRequest) -> OutboundCall:
        """Begin a streaming call.

        Raises:
            SimpulError: The target can't be called at all (CONFIG_INVALID).
        """
        transport = self._transport(target)

        async def carry(body: AsyncIterator[bytes], emit: Emit) -> Trailers:
            http = _request(target, request, body)
            return await ask(transport, http, self._limits, request.timeout_ms, emit)

        return StreamedCall(carry)

    async def close(self) -> None:
        """Close every connection."""
        transports, self._transports = self._transports, {}
        await asyncio.gather(*(transport.aclose() for transport in transports.values()))

    def _transport(self, target: str) -> HTTPTransport:
        transport = self._transports.get(target)
        if transport is None:
            check_target(target)
            transport = self._transports[target] = HTTPTransport(
                http_version=HTTPVersion.HTTP2,
                connect_timeout=CONNECT_TIMEOUT_S,
                enable_gzip=False,
                enable_brotli=False,
                enable_zstd=False,
                follow_redirects=False,
                enable_cookie_store=False,
                enable_otel=False,
            )
        return transport


def _request(target: str, request: OutboundRequest, body: bytes | AsyncIterator[bytes]) -> Request:
    headers = [("content-type", "application/grpc"), ("te", "trailers")]
    if request.timeout_ms is not None:
        headers.append(("grpc-timeout", print_timeout(request.timeout_ms)))
    headers.extend(
        (key.decode(), value.decode()) for key, value in print_metadata(request.metadata)
    )
    return Request("POST", f"http://{target}{request.path}", HttpHeaders(headers), body)
