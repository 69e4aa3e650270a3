"""The links that other nodes open here: a grpcio service over mutual TLS 1.3.

The first frame is a greeting, or the child of a link that was greeted on the same connection. A
bulk connection so begins with a greeted link that carries nothing but its children: that ties
them to the peer, and to this worker process, without a new greeting for each call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from node.journal.model import LinkEnd
from node.link.frames import max_frame_bytes, parse_frame
from node.link.greet import GREETING_TIMEOUT_S, Greeter, child_context
from node.link.link import Link
from node.link.model import LinkRooms
from node.link.stream import AcceptedStream, abort
from runtime.grpc_options import refuse_old_tls, server_options
from security.errors import Code, LinkFault, SimpulError
from security.greeting import child_link_id
from security.identifiers import NodeId
from security.limits import Limits
from security.sender import LinkContext
from simpul.v1 import exchange_pb2

_log = structlog.get_logger(__name__)

METHOD: Final = "/simpul.v1.Exchange/Link"
# Greeted links and children of one peer at once, over all its workers.
MAX_LINKS_PER_PEER: Final = 20_000


class LinkServer(grpc.GenericRpcHandler):
    """Accepts links for one worker."""

    def __init__(self, greeter: Greeter, rooms: LinkRooms) -> None:
        self._greeter = greeter
        self._rooms = rooms
        # Greeted links, by id: those that may have children.
        self._greeted: dict[bytes, Link] = {}
        self._open: dict[NodeId, int] = {}
        self._draining = False
        self._running: set[Link] = set()

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that are up."""
        return tuple(self._running)

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """The one method, with frames as bytes."""
        if handler_call_details.method != METHOD:
            return None
        return grpc.stream_stream_rpc_method_handler(self._link)

    async def drain(self) -> None:
        """Take no more links, and end in order those that have no call left."""
        self._draining = True
        await asyncio.gather(*(link.finish() for link in self.links))

    def sever(self, unwanted: Callable[[NodeId], SimpulError | None]) -> None:
        """Cut the links to nodes that must not be spoken to any more."""
        for link in self.links:
            error = unwanted(link.peer)
            if error is not None:
                link.cut(error)

    async def _link(
        self, _requests: AsyncIterator[bytes], context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        closed: asyncio.Future[SimpulError | None] = asyncio.get_running_loop().create_future()

        def close(error: SimpulError | None) -> None:
            if not closed.done():
                closed.set_result(error)

        stream = AcceptedStream(context, close)
        serving: asyncio.Future[None] = asyncio.create_task(self._serve(stream, context))
        error: SimpulError | None
        try:
            await _first_of(serving, closed)
            error = closed.result() if closed.done() else _outcome(serving)
        except asyncio.CancelledError:
            error = None
        finally:
            serving.cancel()
            await asyncio.wait({serving})
        if error is not None:
            await abort(context, error)

    async def _serve(
        self, stream: AcceptedStream, context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        # Otherwise they go with the first frame; and where that is given up half-way, grpcio sends
        # them twice, which fails, and the stream gets no end.
        await context.send_initial_metadata(())
        link = await self._begin(stream, _tls_names(context))
        peer = link.peer
        self._open[peer] = self._open.get(peer, 0) + 1
        self._running.add(link)
        if link.shared:
            self._greeted[link.context.link_id] = link
        try:
            await link.run()
        finally:
            self._running.discard(link)
            self._greeted.pop(link.context.link_id, None)
            self._open[peer] -= 1
            if not self._open[peer]:
                del self._open[peer]

    def _check_journal(self) -> None:
        try:
            self._rooms.journal.check()
        except SimpulError as error:
            # Without the error's own text: it names a file of this node's.
            raise SimpulError(
                error.code, "this node can't record calls now; its operators must make room"
            ) from None

    async def _begin(self, stream: AcceptedStream, tls_names: frozenset[str]) -> Link:
        if self._draining:
            raise SimpulError(Code.NODE_DRAINING, "this node is about to stop; dial again later")
        self._check_journal()
        try:
            data = await asyncio.wait_for(stream.read(), GREETING_TIMEOUT_S)
        except TimeoutError:
            raise LinkFault(Code.GREETING_MALFORMED, "no greeting came", step=1) from None
        if data is None:
            raise LinkFault(Code.GREETING_MALFORMED, "the stream ended before a greeting", step=1)
        frame = parse_frame(data, self._greeter.limits)
        match frame.WhichOneof("kind"):
            case "greeting":
                context = await self._greeter.accept(
                    stream, frame.greeting, tls_names, self._rooms.refusals.check
                )
                _log.info("link accepted", peer=str(context.peer_node), link=context.link_id.hex())
            case "child":
                context = self._child(frame.child, tls_names)
            case _:
                raise LinkFault(
                    Code.GREETING_MALFORMED, "a link begins with a greeting or a child", step=2
                )
        if self._open.get(context.peer_node, 0) >= MAX_LINKS_PER_PEER:
            raise SimpulError(
                Code.OVERLOADED, f"{context.peer_node} has too many links open here; end some"
            )
        return Link(context, stream, self._rooms, LinkEnd.ACCEPTOR)

    def _child(self, child: exchange_pb2.Child, tls_names: frozenset[str]) -> LinkContext:
        parent = self._greeted.get(child.parent)
        if parent is None or parent.peer.dns_name not in tls_names:
            raise LinkFault(
                Code.LINK_UNKNOWN, "the child's parent is no link of this connection; greet again",
                step=3,
            )  # fmt: skip
        link = child_link_id(child.parent, child.call_id)
        return child_context(parent.context, link, child.call_id, dialled=False)


def link_server(service: LinkServer, limits: Limits) -> aio.Server:
    """A server for links; the caller adds its port."""
    refuse_old_tls()
    options = dict(server_options(max_message_bytes=max_frame_bytes(limits)))
    # The workers of a node share its link port; whether it was free, their supervisor has seen.
    options["grpc.so_reuseport"] = 1
    return aio.server(handlers=(service,), options=tuple(options.items()))


def _tls_names(context: aio.ServicerContext[bytes, bytes]) -> frozenset[str]:
    """The DNS names of the peer's certificate, which TLS has verified.

    That the connection is TLS 1.3 is `runtime.grpc_options.refuse_old_tls`'s doing: this version of
    grpcio doesn't tell.
    """
    about = context.auth_context()
    return frozenset(name.decode("ascii", "replace") for name in about.get("peer_dns", ()))


async def _first_of(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    await asyncio.wait({one, other}, return_when=asyncio.FIRST_COMPLETED)


def _outcome(serving: asyncio.Future[None]) -> SimpulError | None:
    error = serving.exception()
    if error is None or isinstance(error, SimpulError):
        if isinstance(error, LinkFault):
            _log.warning("link refused", code=error.code, step=error.step, why=error.message)
        return error
    _log.error("link failed", exc_info=error)
    return SimpulError(Code.INTERNAL, "the other node failed; its log says why")
