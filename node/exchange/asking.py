"""Calls that a node makes for itself: the services of package `simpul.v1` at another node.

They travel like any call, sealed and journaled, but without an agreement: offering one is such a
call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from node.calls import (
    CallRequest,
    HalfClose,
    Message,
    RequestEvent,
    ResponseEvent,
    Trailers,
)
from node.exchange.asks import Asked, UnaryAsk
from node.exchange.consuming import Peers
from node.exchange.fields import ALL
from node.exchange.metadata import ERROR, Address
from node.exchange.routing import Route
from security.contract import MethodKind
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.identifiers import SubsystemId

ASK_TIMEOUT_MS: Final = 10_000
_UNARY: Final = MethodKind(client_streaming=False, server_streaming=False)


class _LocalCall:
    """An `InboundCall` whose app is this node itself."""

    def __init__(self, path: str) -> None:
        self.request = CallRequest(path, (), ASK_TIMEOUT_MS)
        self.answer: Message | None = None
        self.trailers: Trailers | None = None

    async def receive(self) -> RequestEvent:
        """Nothing follows the one message that was given to `UnaryAsk`."""
        return HalfClose()

    async def send(self, event: ResponseEvent) -> None:
        """Keep what the node's own call is answered."""
        if isinstance(event, Message):
            self.answer = event
        elif isinstance(event, Trailers):
            self.trailers = event

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Nobody cancels: the deadline ends it."""


async def ask(
    peers: Peers,
    nodes: tuple[NodeView, ...],
    *,
    call_id: bytes,
    consumer: SubsystemId,
    provider: SubsystemId,
    service: str,
    method: str,
    data: bytes,
) -> bytes:
    """Ask a node's own service, and return its answer's bytes.

    Raises:
        SimpulError: What the other node refused with, or why it was not reached.
    """
    route = Route(
        consumer=consumer,
        provider=provider,
        service=service,
        method=method,
        kind=_UNARY,
        agreement=None,
        purpose=None,
        fields=ALL,
        rate=None,
        nodes=nodes,
        address=Address(),
    )
    link = await peers.shared(nodes[0])
    call = _LocalCall(f"/{service}/{method}")
    deadline_s = asyncio.get_running_loop().time() + ASK_TIMEOUT_MS / 1000
    await UnaryAsk(Asked(call, call_id, deadline_s), route, link).run(Message(data))
    return _result(call)


def _result(call: _LocalCall) -> bytes:
    trailers = call.trailers
    if trailers is None or trailers.status != 0 or call.answer is None:
        code, text = Code.INTERNAL, "the other node gave no answer"
        if trailers is not None:
            text = trailers.message or text
            for key, value in trailers.metadata:
                if key == ERROR:
                    code = Code(value.decode())
        raise SimpulError(code, text)
    return call.answer.data
