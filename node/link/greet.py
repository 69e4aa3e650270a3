"""The two greetings that begin a link, from either end.

Who may be spoken to is decided here: a node that the directory lists as active and whose TLS
certificate bears its name. What a greeting must be is `security.greeting`'s list of nine.

Only the dialler of a link may open calls on it: the acceptor's greeting grants credit, the
dialler's grants none.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from node.link.frames import greeting_frame, parse_frame
from node.link.stream import FrameStream
from node.link.unsettled import Unsettled
from node.model import Current, NodeIdentity
from security.directory import DirectoryView, NodeState, NodeView
from security.errors import Code, LinkFault, SimpulError
from security.greeting import (
    NONCE_BYTES,
    Expected,
    GreetingFields,
    VerifiedGreeting,
    greeting_hash,
    link_id,
    make_greeting,
    verify_greeting,
)
from security.greeting import Unsettled as UnsettledLink
from security.identifiers import NodeId
from security.keys import PrivateKey
from security.limits import Limits
from security.sender import LinkContext
from simpul.v1 import exchange_pb2

# A peer that opens a stream and says nothing is cut off after so many looks, this far apart: 5 s.
# A loop that is too busy to look takes longer over each, so it does not take its own lateness for
# the peer's silence: under 200 streams on a starved machine whole loops took longer than 5 s.
GREETING_LOOKS: Final = 10
GREETING_LOOK_S: Final = 0.5
# Opens under way on one link; the rest wait at the consumer's node.
CREDIT: Final = 1024


@dataclass(slots=True)
class Greeter:
    """What this worker says of itself when it greets.

    `node_key` is replaced when the directory lists a newer key of this node.
    """

    identity: NodeIdentity
    node_key: PrivateKey
    current: Current
    # Of this node's configuration; the federation's policy may be stricter.
    own_limits: Limits
    worker: int
    workers: int
    now_ms: Callable[[], int]
    # Asks for the directory with this hash; at most 2 s.
    refresh: Callable[[bytes], Awaitable[None]]
    unsettled: Unsettled

    @property
    def limits(self) -> Limits:
        """What this node takes, by its configuration and by the federation's policy."""
        return self.own_limits.lower(self.current.directory.policy.limits)

    async def dial(self, stream: FrameStream, peer: NodeView) -> LinkContext:
        """Greet first, and take the acceptor's answer.

        Raises:
            SimpulError: The peer is not who it should be, does not answer, or refuses.
        """
        named = self.unsettled.name(peer.id)
        mine = make_greeting(
            self._fields(peer.id, in_reply_to=None, credit=0, unsettled=named), self.node_key
        )
        await stream.write(greeting_frame(mine))
        theirs = await _first_greeting(stream, self.limits)
        expected = Expected(
            self.identity.federation, self.identity.node, peer.id, greeting_hash(mine.greeting)
        )
        verified = await self._verified(theirs, expected)
        await self.unsettled.learn(peer.id, verified.fields.unsettled)
        self.unsettled.hear(peer.id, verified.fields.unsettled)
        return self._context(verified, link_id(mine.greeting, verified.greeting), given=0)

    async def accept(
        self,
        stream: FrameStream,
        theirs: exchange_pb2.SignedGreeting,
        tls_names: frozenset[str],
        broke: Callable[[NodeId, Iterable[bytes]], Awaitable[None]],
    ) -> LinkContext:
        """Take a dialler's greeting, and answer it.

        `broke` ends the links that the peer says broke, and that this end may think alive.

        Raises:
            SimpulError: The peer is not who it says, or not one to speak to.
        """
        expected = Expected(self.identity.federation, self.identity.node, None, None)
        verified = await self._verified(theirs, expected)
        peer = verified.fields.node
        if peer.dns_name not in tls_names:
            raise LinkFault(
                Code.GREETING_MISADDRESSED,
                f"{peer} greets over a connection whose certificate bears another name; "
                "use the certificate that the registry issued to this node",
                step=4,
            )
        require_spoken_to(self.current.directory, peer)
        named = verified.fields.unsettled
        await broke(peer, (each.link_id for each in named))
        await self.unsettled.learn(peer, named)
        reply = self._fields(
            peer,
            in_reply_to=greeting_hash(theirs.greeting),
            credit=CREDIT,
            unsettled=self.unsettled.name(peer, named),
        )
        self.unsettled.hear(peer, named)
        mine = make_greeting(reply, self.node_key)
        await stream.write(greeting_frame(mine))
        return self._context(verified, link_id(theirs.greeting, mine.greeting), given=CREDIT)

    async def _verified(
        self, theirs: exchange_pb2.SignedGreeting, expected: Expected
    ) -> VerifiedGreeting:
        """A peer that is new, or whose key is, may go by a directory that is not here yet."""
        try:
            return self._verify(theirs, expected)
        except LinkFault as fault:
            if fault.code not in {Code.NODE_UNKNOWN, Code.GREETING_SIGNATURE}:
                raise
            await self.refresh(b"")
            return self._verify(theirs, expected)

    def _verify(self, theirs: exchange_pb2.SignedGreeting, expected: Expected) -> VerifiedGreeting:
        return verify_greeting(
            theirs,
            expected=expected,
            directory=self.current.directory,
            now_ms=self.now_ms(),
        )

    def _fields(
        self,
        peer: NodeId,
        *,
        in_reply_to: bytes | None,
        credit: int,
        unsettled: tuple[UnsettledLink, ...],
    ) -> GreetingFields:
        directory = self.current.directory
        return GreetingFields(
            federation=self.identity.federation,
            node=self.identity.node,
            peer=peer,
            nonce=os.urandom(NONCE_BYTES),
            in_reply_to=in_reply_to,
            directory_version=directory.version,
            directory_hash=directory.hash,
            credit=credit,
            sent_at_ms=self.now_ms(),
            worker=self.worker,
            workers=self.workers,
            limits=self.limits,
            unsettled=unsettled,
        )

    def _context(self, theirs: VerifiedGreeting, link: bytes, *, given: int) -> LinkContext:
        return LinkContext(
            federation=self.identity.federation,
            my_node=self.identity.node,
            peer_node=theirs.fields.node,
            link_id=link,
            hosted=self.identity.members,
            limits=self.limits.lower(theirs.fields.limits),
            credit_given=given,
            credit_taken=theirs.fields.credit,
            version=theirs.version,
        )


def child_context(
    parent: LinkContext, child_link: bytes, call_id: bytes, *, dialled: bool
) -> LinkContext:
    """The context of a link of its own for one call, under a greeted parent."""
    return replace(
        parent,
        link_id=child_link,
        credit_given=0 if dialled else 1,
        credit_taken=1 if dialled else 0,
        child_call_id=call_id,
    )


def require_spoken_to(directory: DirectoryView, node: NodeId) -> None:
    """Raise SimpulError NODE_UNKNOWN or NODE_REVOKED for a node that isn't to be spoken to."""
    require_active(directory.node(node))


def require_active(node: NodeView) -> None:
    """Raise SimpulError NODE_REVOKED for a node that is no longer to be spoken to."""
    if node.state is not NodeState.ACTIVE:
        raise SimpulError(
            Code.NODE_REVOKED, f"{node.id} was revoked; its operators must enrol it again"
        )


async def first_frame(stream: FrameStream) -> bytes | None:
    """What the peer says first, as `FrameStream.read`.

    Raises:
        TimeoutError: Nothing, in `GREETING_LOOKS` looks.
    """
    reading = asyncio.ensure_future(stream.read())
    try:
        for _ in range(GREETING_LOOKS):
            done, _ = await asyncio.wait({reading}, timeout=GREETING_LOOK_S)
            if done:
                return reading.result()
        raise TimeoutError
    finally:
        reading.cancel()


async def _first_greeting(stream: FrameStream, limits: Limits) -> exchange_pb2.SignedGreeting:
    try:
        data = await first_frame(stream)
    except TimeoutError:
        raise SimpulError(
            Code.PEER_UNREACHABLE, "the other node does not answer the greeting; is it overloaded?"
        ) from None
    if data is None:
        raise SimpulError(
            Code.PEER_UNREACHABLE, "the other node ended the link at once; see its log"
        )
    frame = parse_frame(data, limits)
    if frame.WhichOneof("kind") != "greeting":
        raise LinkFault(Code.GREETING_MALFORMED, "a link begins with a greeting", step=2)
    return frame.greeting
