"""The links that this worker opens to other nodes, and the calls' way onto them.

A call to a member that this node hosts itself takes a local link (`local`). To each other node
there is one *shared* link for unary calls, and one *bulk* connection, greeted once,
for the child links of streaming calls: nothing large shares a connection with small calls
Both are dialled when first needed, by one dial for all that wait, and again
when they break.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import grpc
import structlog
from grpc import aio

from node.journal.model import LinkEnd
from node.link.accept import MAX_CHILDREN, METHOD
from node.link.frames import child_frame, max_frame_bytes
from node.link.greet import Greeter, child_context, require_active, require_spoken_to
from node.link.link import Link
from node.link.local import LocalLinks
from node.link.model import LinkRooms, not_started
from node.link.stream import DialledStream
from runtime.grpc_options import channel_options
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.greeting import child_link_id
from security.identifiers import NodeId

_log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 5.0
# A link lives this long; then a new one takes the new calls, so keys and certificates rotate.
MAX_LINK_AGE_S: Final = 3600.0


class _Purpose(StrEnum):
    SHARED = "shared"
    BULK = "bulk"


@dataclass(slots=True, eq=False)
class _Dialled:
    """A connection with its greeted link."""

    channel: aio.Channel
    link: Link
    running: asyncio.Task[None]
    born_s: float
    # The directory's node, as it was dialled.
    node: NodeView
    # Of a bulk connection: the streaming calls on it, and how many there were.
    children: set[asyncio.Future[None]] = field(default_factory=set)
    begun: int = 0

    def serves(self, node: NodeView, now_s: float) -> bool:
        """New calls may go out on it."""
        same = self.node.link_address == node.link_address and self.node.node_key == node.node_key
        young = now_s - self.born_s < MAX_LINK_AGE_S and self.begun < MAX_CHILDREN
        return same and self.link.alive and young


class Dialler:
    """The outgoing links of one worker (`consuming.Peers`)."""

    def __init__(
        self,
        greeter: Greeter,
        rooms: LinkRooms,
        local: LocalLinks,
        credentials: Callable[[], grpc.ChannelCredentials],
    ) -> None:
        self._greeter = greeter
        self._local = local
        self._rooms = rooms
        self._credentials = credentials
        self._dialled: dict[tuple[NodeId, _Purpose], _Dialled] = {}
        self._dialling: dict[tuple[NodeId, _Purpose], asyncio.Task[_Dialled]] = {}
        self._children: set[asyncio.Task[None]] = set()
        self._running: set[Link] = set()

    @property
    def links(self) -> tuple[Link, ...]:
        """The links that are up."""
        return (*self._running, *self._local.links)

    async def shared(self, node: NodeView) -> Link:
        """The link for unary calls to `node`.

        Raises:
            SimpulError: PEER_UNREACHABLE, or what the peer refuses us for.
        """
        if node.id == self._greeter.identity.node:
            return self._local.shared()
        return (await self._get(node, _Purpose.SHARED)).link

    async def child(self, node: NodeView, call_id: bytes) -> Link:
        """A link of its own for one streaming call; its caller ends it with `finish`.

        Raises:
            SimpulError: PEER_UNREACHABLE, or what the peer refuses us for.
        """
        if node.id == self._greeter.identity.node:
            return self._local.child(call_id)
        bulk = await self._get(node, _Purpose.BULK)
        if not bulk.link.alive:
            raise not_started(node.id)
        bulk.begun += 1
        # Until the link runs this stands for it: the connection must not be closed under it.
        beginning: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        bulk.children.add(beginning)
        try:
            return await self._child(bulk, node, call_id)
        finally:
            bulk.children.discard(beginning)
            beginning.set_result(None)

    async def _child(self, bulk: _Dialled, node: NodeView, call_id: bytes) -> Link:
        parent = bulk.link.context
        stream = DialledStream(_stream(bulk.channel), str(node.id))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await stream.write(child_frame(parent.link_id, call_id))
            if not bulk.link.alive:
                # It ended meanwhile: because of what it did, or because of who it is.
                raise not_started(node.id)
        except BaseException as error:
            stream.close()
            if isinstance(error, TimeoutError):
                raise not_started(node.id) from None
            raise
        context = child_context(
            parent, child_link_id(parent.link_id, call_id), call_id, dialled=True
        )
        link = Link(context, stream, self._rooms, LinkEnd.DIALLER)
        running = self._start(link)
        bulk.children.add(running)
        running.add_done_callback(bulk.children.discard)
        return link

    def sever(self, unwanted: Callable[[NodeId], SimpulError | None]) -> None:
        """Cut the links to nodes that must not be spoken to any more."""
        for link in self.links:
            error = unwanted(link.peer)
            if error is not None:
                link.cut(error)

    async def close(self) -> None:
        """End every link in order."""
        for task in self._dialling.values():
            task.cancel()
        await self._local.close()
        await asyncio.gather(*(link.finish() for link in tuple(self._running)))
        await asyncio.gather(*(each.channel.close() for each in self._dialled.values()))

    async def _get(self, node: NodeView, purpose: _Purpose) -> _Dialled:
        key = (node.id, purpose)
        now_s = asyncio.get_running_loop().time()
        found = self._dialled.get(key)
        if found is not None and found.serves(node, now_s):
            return found
        task = self._dialling.get(key)
        if task is None:
            task = asyncio.create_task(self._dial(node, purpose))
            self._dialling[key] = task
            task.add_done_callback(lambda _: self._dialling.pop(key, None))
        return await asyncio.shield(task)

    async def _dial(self, node: NodeView, purpose: _Purpose) -> _Dialled:
        require_active(node)
        options = channel_options(
            max_message_bytes=max_frame_bytes(self._greeter.limits), target_name=node.id.dns_name
        )
        channel = aio.secure_channel(node.link_address, self._credentials(), options=options)
        stream = DialledStream(_stream(channel), str(node.id))
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                context = await self._greeter.dial(stream, node)
        except BaseException as error:
            stream.close()
            await channel.close()
            if isinstance(error, TimeoutError):
                raise SimpulError(
                    Code.PEER_UNREACHABLE,
                    f"{node.id} does not answer at {node.link_address}; is it up?",
                ) from None
            raise
        link = Link(context, stream, self._rooms, LinkEnd.DIALLER)
        dialled = _Dialled(
            channel, link, self._start(link), asyncio.get_running_loop().time(), node
        )
        try:
            # What was decided while the greeting was under way met no link to end.
            require_spoken_to(self._rooms.current.directory, node.id)
        except SimpulError as error:
            link.cut(error)
            self._keep(asyncio.create_task(_see_off(dialled)))
            raise
        _log.info("link dialled", peer=str(node.id), link=context.link_id.hex(), purpose=purpose)
        key = (node.id, purpose)
        old = self._dialled.get(key)
        self._dialled[key] = dialled
        if old is not None:
            old.link.retire()
        self._keep(asyncio.create_task(self._follow(key, dialled)))
        return dialled

    async def _follow(self, key: tuple[NodeId, _Purpose], dialled: _Dialled) -> None:
        """When it takes no more calls, for whatever reason: end it after those it has."""
        await dialled.link.left()
        if self._dialled.get(key) is dialled:
            del self._dialled[key]
        await _see_off(dialled)

    def _start(self, link: Link) -> asyncio.Task[None]:
        self._running.add(link)
        task = asyncio.create_task(link.run())
        task.add_done_callback(lambda _: self._running.discard(link))
        self._keep(task)
        return task

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._children.add(task)
        task.add_done_callback(self._children.discard)


async def _see_off(old: _Dialled) -> None:
    """End a link and its connection when the calls on them are done."""
    await old.link.quiet()
    while old.children:
        await asyncio.wait(set(old.children))
    await old.link.finish()
    with contextlib.suppress(asyncio.CancelledError):
        await old.running
    await old.channel.close()


def _stream(channel: aio.Channel) -> aio.StreamStreamCall[bytes, bytes]:
    return channel.stream_stream(METHOD)()
