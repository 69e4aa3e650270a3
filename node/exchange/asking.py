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
from node.exchange.attempts import Peers
from node.exchange.fields import ALL
from node.exchange.metadata import ERROR, Address
from node.exchange.routing import Route
from node.model import speaker_of
from security.contract import MethodKind
from security.directory import DirectoryView, NodeView
from security.errors import Code, SimpulError
from security.identifiers import NodeId, SubsystemId
from simpul.node.v1 import control_pb2

ASK_TIMEOUT_MS: Final = 10_000
_UNARY: Final = MethodKind(client_streaming=False, server_streaming=False)


class _LocalCall:
    """An `InboundCall` whose app is this node itself."""

    def __init__(self, path: str, timeout_ms: int) -> None:
        self.request = CallRequest(path, (), timeout_ms)
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
    method: tuple[str, str],
    data: bytes,
    timeout_ms: int = ASK_TIMEOUT_MS,
) -> bytes:
    """Ask a node's own service and its method, and return its answer's bytes.

    Raises:
        SimpulError: What the other node refused with, or why it was not reached.
    """
    service, name = method
    route = Route(
        consumer=consumer,
        provider=provider,
        service=service,
        method=name,
        kind=_UNARY,
        agreement=None,
        purpose=None,
        fields=ALL,
        rate=None,
        nodes=nodes,
        address=Address(),
    )
    link = await peers.shared(nodes[0])
    call = _LocalCall(f"/{service}/{name}", timeout_ms)
    deadline_s = asyncio.get_running_loop().time() + timeout_ms / 1000
    await UnaryAsk(Asked(call, call_id, deadline_s), route, link).run(Message(data))
    return _result(call)


async def ask_question(
    peers: Peers,
    directory: DirectoryView,
    own: NodeId,
    question: control_pb2.Question,
    *,
    call_id: bytes,
    at_ms: int,
) -> bytes:
    """Ask what the supervisor has to ask of another node.

    Raises:
        SimpulError: NODE_UNKNOWN, NODE_REVOKED; MEMBER_UNKNOWN where a node serves no member; as
            `ask`.
    """
    node = directory.require_active_node(NodeId.parse(question.node))
    consumer, provider = (
        SubsystemId.parse(named) if named else _speaker(directory, of, at_ms)
        for named, of in ((question.sender, own), (question.receiver, node.id))
    )
    return await ask(
        peers,
        (node,),
        call_id=call_id,
        consumer=consumer,
        provider=provider,
        method=(question.service, question.method),
        data=question.data,
        timeout_ms=question.timeout_ms,
    )


def _speaker(directory: DirectoryView, node: NodeId, at_ms: int) -> SubsystemId:
    """In whose name a node speaks for itself: any subsystem of a member that it serves will do."""
    members = directory.members_on(node, at_ms)
    if len(members) == 0:
        raise SimpulError(
            Code.MEMBER_UNKNOWN, f"{node} serves no member now; ask its operators to list its keys"
        )
    return speaker_of(directory, members[0])


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
