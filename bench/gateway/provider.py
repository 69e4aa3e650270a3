"""The provider's leg: an ASGI hop that forwards by grpc.aio or by pyqwest, as `TRIAL_LEG` says.

The service's address is `TRIAL_SERVICE`. Unary only on grpc.aio; every kind on pyqwest.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import grpc
import grpc.aio
from pyqwest import Headers, HTTPTransport, HTTPVersion, Request

from bench.gateway.app import Call, Receive, Scope, Send, _body

_SERVICE = os.environ.get("TRIAL_SERVICE", "")
_state: dict[str, Any] = {}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI entry point."""
    if scope["type"] == "lifespan":
        await receive()
        options = [("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        _state["channel"] = grpc.aio.insecure_channel(_SERVICE, options)
        _state["http"] = HTTPTransport(
            http_version=HTTPVersion.HTTP2,
            enable_gzip=False,
            enable_brotli=False,
            enable_zstd=False,
            follow_redirects=False,
            enable_otel=False,
        )
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await _state["channel"].close()
        await send({"type": "lifespan.shutdown.complete"})
    elif os.environ["TRIAL_LEG"] == "grpc.aio":
        message = (await _body(receive))[5:]
        answer = await _state["channel"].unary_unary(scope["path"])(message)
        await Call(send).unary(answer)
    else:
        await _forward(scope, receive, send)


async def _forward(scope: Scope, receive: Receive, send: Send) -> None:
    hop = (b"host",)
    headers = [(k.decode(), v.decode("latin-1")) for k, v in scope["headers"] if k not in hop]
    body: Any = _stream(receive) if os.environ["TRIAL_LEG"] == "streamed" else await _body(receive)
    request = Request("POST", f"http://{_SERVICE}{scope['path']}", Headers(headers), body)
    async with await _state["http"].execute(request) as response:
        head = _pairs(response.headers.items())
        only = any(k == b"grpc-status" for k, _ in head)
        start = {"type": "http.response.start", "status": response.status, "headers": head}
        await send({**start, "trailers": not only})
        if not only and os.environ["TRIAL_LEG"] == "streamed":
            await send({"type": "http.response.body", "body": b"", "more_body": True})
        if os.environ["TRIAL_LEG"] == "streamed":
            async for chunk in response.content:
                await send({"type": "http.response.body", "body": bytes(chunk), "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        else:
            parts = [bytes(chunk) async for chunk in response.content]
            await send({"type": "http.response.body", "body": b"".join(parts)})
        if not only:
            tail = _pairs(response.trailers.items())
            await send({"type": "http.response.trailers", "headers": tail})


def _pairs(items: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(k.encode(), v.encode()) for k, v in items]


async def _stream(receive: Receive, gone: Callable[[], None] | None = None) -> AsyncIterator[bytes]:
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            if gone is not None:
                gone()
            raise ConnectionError
        more = event.get("more_body", False)
        if event.get("body"):
            yield event["body"]
