"""The links that other nodes open here: a grpcio service over mutual TLS 1.3.

The first frame is a greeting, or the child of a link that was greeted on the same connection. A
bulk connection so begins with a greeted link that carries nothing but its children: that ties
them to the peer, and to this worker process, without a new greeting for each call.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Final

import grpc
import structlog
from grpc import aio

from node.journal.model import LinkEnd
from node.link.frames import max_frame_bytes, parse_frame
from node.link.greet import Greeter, child_context, first_frame, require_spoken_to
from node.link.link import Link
from node.link.model import LinkRooms, draining
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
# Links of one peer at once, those included of which nothing has come yet.
MAX_LINKS_PER_PEER: Final = 20_000
# How long a link that the peer calls broken may take to end here.
BROKEN_TIMEOUT_S: Final = 1.0
# Calls that had links of their own under one greeted link: their ids are kept as long as it lives.
MAX_CHILDREN: Final = 100_000


class LinkServer(grpc.GenericRpcHandler):
    """Accepts links for one worker."""

    def __init__(self, greeter: Greeter, rooms: LinkRooms) -> None:
        self._greeter = greeter
        self._rooms = rooms
        # Greeted links, by id: those that may have children; and the calls that had one.
        self._greeted: dict[bytes, Link] = {}
        self._called: dict[bytes, set[bytes]] = {}
        # By the names in the certificate.
        self._open: dict[frozenset[str], int] = {}
        self._draining = False
        self._running: set[Link] = set()
        rooms.refusals.on_exceeded(self._expel)

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

    def announce_drain(self) -> None:
        """Take no more links, and tell the peers that nothing more is begun on those they have.

        The caller has seen to it that the opener begins nothing.
        """
        self._draining = True
        for link in self.links:
            link.drain()

    async def drain(self) -> None:
        """Take no more links, and end in order those that are up: no call may be under way."""
        self.announce_drain()
        await asyncio.gather(*(link.finish() for link in self.links))

    async def broke(self, peer: NodeId, link_ids: Iterable[bytes]) -> None:
        """The peer says that these links broke; end those that this end thinks alive."""
        wanted = set(link_ids)
        broken = [
            link for link in self.links if link.peer == peer and link.context.link_id in wanted
        ]
        for link in broken:
            link.cut()
        if broken:
            await asyncio.wait(
                [asyncio.ensure_future(link.over()) for link in broken], timeout=BROKEN_TIMEOUT_S
            )

    def sever(self, unwanted: Callable[[NodeId], SimpulError | None]) -> None:
        """Cut the links to nodes that must not be spoken to any more."""
        for link in self.links:
            error = unwanted(link.peer)
            if error is not None:
                link.cut(error)

    def _expel(self, peer: NodeId, error: SimpulError) -> None:
        """A peer spent its budget: every link that it opened ends."""
        for link in self.links:
            if link.peer == peer:
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
            # Looked at, whatever it is: where the peer is gone nobody else asks for it.
            await asyncio.gather(serving, return_exceptions=True)
        if error is not None:
            await abort(context, error)

    async def _serve(
        self, stream: AcceptedStream, context: aio.ServicerContext[bytes, bytes]
    ) -> None:
        # Otherwise they go with the first frame; and where that is given up half-way, grpcio sends
        # them twice, which fails, and the stream gets no end.
        await context.send_initial_metadata(())
        names = _tls_names(context)
        self._open[names] = self._open.get(names, 0) + 1
        try:
            link = await self._begun(stream, names)
            await self._carry(link)
        finally:
            self._open[names] -= 1
            if not self._open[names]:
                del self._open[names]

    async def _begun(self, stream: AcceptedStream, names: frozenset[str]) -> Link:
        """A link, if it may begin; a peer that may not is counted, and logged by its name."""
        peer = _certified(names)
        try:
            self._rooms.refusals.check(peer)
            return await self._begin(stream, names)
        except SimpulError as error:
            self._rooms.metrics.refused(error)
            if error.code is not Code.NODE_DRAINING:
                self._rooms.refusals.complain(peer, error)
            if isinstance(error, LinkFault):
                self._rooms.refusals.spend(peer, error.code)
            raise

    async def _carry(self, link: Link) -> None:
        link_id = link.context.link_id
        self._running.add(link)
        if link.shared:
            self._greeted[link_id] = link
            self._called[link_id] = set()
        try:
            # What was decided while the greeting was under way met no link to end.
            require_spoken_to(self._rooms.current.directory, link.peer)
            if self._draining:
                link.drain()
            await link.run()
        finally:
            self._running.discard(link)
            if link.shared:
                del self._greeted[link_id]
                del self._called[link_id]

    def _check_journal(self) -> None:
        try:
            self._rooms.journal.check()
        except SimpulError as error:
            # Without the error's own text: it names a file of this node's.
            raise SimpulError(
                error.code, "this node can't record calls now; its operators must make room"
            ) from None

    async def _begin(self, stream: AcceptedStream, names: frozenset[str]) -> Link:
        if self._draining:
            raise draining(self._greeter.identity.node)
        if self._open[names] > MAX_LINKS_PER_PEER:
            raise SimpulError(Code.OVERLOADED, "this peer has too many links open here; end some")
        self._check_journal()
        try:
            data = await first_frame(stream)
        except TimeoutError:
            raise LinkFault(Code.GREETING_MALFORMED, "no greeting came", step=1) from None
        if data is None:
            raise LinkFault(Code.GREETING_MALFORMED, "the stream ended before a greeting", step=1)
        frame = parse_frame(data, self._greeter.limits)
        match frame.WhichOneof("kind"):
            case "greeting":
                context = await self._greeter.accept(stream, frame.greeting, names, self.broke)
                _log.info("link accepted", peer=str(context.peer_node), link=context.link_id.hex())
            case "child":
                context = self._child(frame.child, names)
            case _:
                raise LinkFault(
                    Code.GREETING_MALFORMED, "a link begins with a greeting or a child", step=2
                )
        return Link(context, stream, self._rooms, LinkEnd.ACCEPTOR)

    def _child(self, child: exchange_pb2.Child, names: frozenset[str]) -> LinkContext:
        parent = self._greeted.get(child.parent)
        called = self._called.get(child.parent, set())
        if (
            parent is None
            or parent.peer.dns_name not in names
            or not parent.alive
            or len(called) >= MAX_CHILDREN
        ):
            # No fault: a link that ends may cross with a call that begins.
            raise SimpulError(
                Code.LINK_UNKNOWN, "the child's parent is no link of this connection; greet again"
            )
        if child.call_id in called:
            raise LinkFault(
                Code.ENTRY_STATE,
                "a call has had a link of its own already; begin a new call",
                step=10,
                call_id=child.call_id.hex(),
            )
        called.add(child.call_id)
        link = child_link_id(child.parent, child.call_id)
        return child_context(parent.context, link, child.call_id, dialled=False)


def link_server(service: LinkServer, limits: Limits) -> aio.Server:
    """A server for links; the caller adds its port."""
    refuse_old_tls()
    # Twice what a frame may have: of what grpcio itself refuses, nothing here is told, so that it
    # could neither be counted nor logged. Larger still, it ends without a code of ours.
    options = dict(server_options(max_message_bytes=2 * max_frame_bytes(limits)))
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


def _certified(names: frozenset[str]) -> NodeId:
    """The node that a certificate of the federation's was issued to.

    Raises:
        LinkFault: None; no authority of the federation issues such (GREETING_MISADDRESSED).
    """
    for name in sorted(names):
        with contextlib.suppress(SimpulError):
            return NodeId.from_dns_name(name)
    raise LinkFault(
        Code.GREETING_MISADDRESSED,
        "the connection's certificate names no node; use the one that the registry issued",
        step=4,
    )


async def _first_of(one: asyncio.Future[Any], other: asyncio.Future[Any]) -> None:
    await asyncio.wait({one, other}, return_when=asyncio.FIRST_COMPLETED)


def _outcome(serving: asyncio.Future[None]) -> SimpulError | None:
    error = serving.exception()
    if error is None or isinstance(error, SimpulError):
        return error
    _log.error("link failed", exc_info=error)
    return SimpulError(Code.INTERNAL, "the other node failed; its log says why")
