"""A node's links, steered by hand: what the checks of this room speak through.

What is sent may break the standard; what comes is judged by all of it. A probe keeps no journal
and has no services: it asks nothing that a service could act on, and grants the other side nothing.

Source: docs/spec, "Greetings", "What a receiver checks".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import grpc
from grpc import aio

from node.calls import new_call_id
from node.link.accept import METHOD
from node.link.frames import child_frame, greeting_frame, max_frame_bytes, parcel_frame, parse_frame
from node.link.greet import child_context
from node.link.stream import DialledStream
from runtime.grpc_options import channel_options
from security.directory import DirectoryView
from security.entry import ENTRY_SALT_BYTES, SealedEntry
from security.errors import Code, LinkFault, SimpulError
from security.greeting import (
    NONCE_BYTES,
    Expected,
    GreetingFields,
    child_link_id,
    greeting_hash,
    link_id,
    make_greeting,
    verify_greeting,
)
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import PrivateKey
from security.kinds import Kind, Open, Refuse
from security.limits import Limits
from security.parcel import HeaderFields, Received, header_hash, make_header
from security.receiver import AcceptedParcel, Receiver
from security.seal import make_seals
from security.sender import LinkContext, OutgoingEntry, PreparedParcel, Sender
from simpul.v1 import exchange_pb2

# For a greeting, an answer, and the end of a link.
ANSWER_TIMEOUT_S: Final = 8.0
# No agreement has it: an open under it is refused, and no service ever sees it.
NO_AGREEMENT: Final = bytes(32)
SERVICE: Final = "conformance.v1.Conformance"
SUBSYSTEM: Final = "conformance"


@dataclass(frozen=True, slots=True)
class Parties:
    """Who checks, and who is checked."""

    node: NodeId
    member: MemberId
    node_key: PrivateKey
    seal_key: PrivateKey
    # The node under check, and one member that it hosts.
    peer: NodeId
    peer_member: MemberId
    address: str
    directory: DirectoryView
    credentials: grpc.ChannelCredentials = field(repr=False)
    now_ms: Callable[[], int]

    @property
    def limits(self) -> Limits:
        """What the checking node says it takes."""
        return Limits().lower(self.directory.policy.limits)


@dataclass(slots=True)
class Probe:
    """One stream to the node under check."""

    parties: Parties
    channel: aio.Channel
    stream: DialledStream

    def greeting(self, **changed: object) -> exchange_pb2.SignedGreeting:
        """A good greeting, signed, but for what is changed."""
        parties = self.parties
        fields = GreetingFields(
            federation=parties.node.federation,
            node=parties.node,
            peer=parties.peer,
            nonce=os.urandom(NONCE_BYTES),
            in_reply_to=None,
            directory_version=parties.directory.version,
            directory_hash=parties.directory.hash,
            credit=0,
            sent_at_ms=parties.now_ms(),
            limits=parties.limits,
        )
        return make_greeting(replace(fields, **changed), parties.node_key)  # type: ignore[arg-type]

    async def greet(self, mine: exchange_pb2.SignedGreeting | None = None) -> ProbeLink:
        """Greet, and judge the answer.

        Raises:
            SimpulError: The answer breaks the standard, or the greeting was refused.
        """
        mine = self.greeting() if mine is None else mine
        parties = self.parties
        await self.stream.write(greeting_frame(mine))
        data = await self.read()
        if data is None:
            raise SimpulError(Code.GREETING_MALFORMED, "the link ended in order without a greeting")
        frame = parse_frame(data, parties.limits)
        if frame.WhichOneof("kind") != "greeting":
            raise LinkFault(Code.GREETING_MALFORMED, "no greeting came first", step=2)
        expected = Expected(
            parties.node.federation, parties.node, parties.peer, greeting_hash(mine.greeting)
        )
        verified = verify_greeting(
            frame.greeting,
            expected=expected,
            directory=parties.directory,
            now_ms=parties.now_ms(),
        )
        context = LinkContext(
            federation=parties.node.federation,
            my_node=parties.node,
            peer_node=parties.peer,
            link_id=link_id(mine.greeting, verified.greeting),
            hosted=frozenset({parties.member}),
            limits=parties.limits.lower(verified.fields.limits),
            credit_given=0,
            credit_taken=verified.fields.credit,
            version=verified.version,
        )
        return ProbeLink(self, Sender(context))

    async def read(self) -> bytes | None:
        """The next frame, or None at an end in order; TimeoutError where nothing comes."""
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await self.stream.read()


class ProbeLink:
    """A link that was greeted in order."""

    def __init__(self, probe: Probe, sender: Sender) -> None:
        self.probe = probe
        self.sender = sender
        self._receiver = Receiver(sender)

    @property
    def parties(self) -> Parties:
        """Both sides."""
        return self.probe.parties

    def new_call_id(self) -> bytes:
        """A call id of now."""
        return new_call_id(self.parties.now_ms(), os.urandom(10))

    def open_kind(self, **changed: object) -> Open:
        """An open of a service that nobody has, under an agreement that nobody has."""
        kind = Open(
            consumer=SubsystemId(self.parties.member, SUBSYSTEM),
            service=ServiceId(SubsystemId(self.parties.peer_member, SUBSYSTEM), SERVICE),
            method="Check",
            agreement=NO_AGREEMENT,
            purpose="conformance",
            unary=True,
        )
        return replace(kind, **changed)  # type: ignore[arg-type]

    def opening(self, call_id: bytes | None = None, **changed: object) -> OutgoingEntry:
        """That open as the next entry."""
        kind = self.open_kind(**changed)
        payload = b"conformance" if kind.unary else None
        return self.say(kind, call_id or self.new_call_id(), payload)

    def say(self, kind: Kind, call_id: bytes, payload: bytes | None = None) -> OutgoingEntry:
        """The next entry of a call, good in its place."""
        return self.sender.add(kind, call_id, os.urandom(ENTRY_SALT_BYTES), payload=payload)

    def parcel(self, *entries: OutgoingEntry) -> PreparedParcel:
        """The next parcel."""
        member = entries[0].member if entries else self.parties.member
        return self.sender.prepare(
            entries,
            member=member,
            seal_key_id=self.parties.seal_key.public.key_id,
            directory_hash=self.parties.directory.hash,
            now_ms=self.parties.now_ms(),
        )

    async def send(self, parcel: PreparedParcel) -> None:
        """Seal a parcel and send it."""
        await self.send_sealed(parcel.header, parcel.entries)

    async def send_changed(self, parcel: PreparedParcel, **changed: object) -> None:
        """Send a parcel with another header, sealed as it is then."""
        fields: HeaderFields = replace(parcel.fields, **changed)  # type: ignore[arg-type]
        await self.send_sealed(make_header(fields), parcel.entries)

    async def send_sealed(
        self, header: bytes, entries: tuple[SealedEntry, ...], key: PrivateKey | None = None
    ) -> None:
        """Seal whatever stands for a header, and send it."""
        seal = make_seals(key or self.parties.seal_key, [header_hash(header)])[0]
        await self.write(parcel_frame(header, seal, entries))

    async def write(self, frame: bytes) -> None:
        """Send any bytes as a frame."""
        await self.probe.stream.write(frame)

    async def hear(self) -> AcceptedParcel | None:
        """The other side's next parcel, judged in all twelve steps; None at an end in order."""
        data = await self.probe.read()
        if data is None:
            return None
        frame = parse_frame(data, self.sender.context.limits)
        if frame.WhichOneof("kind") != "parcel":
            raise LinkFault(Code.PARCEL_MALFORMED, "a frame came that is no parcel", step=2)
        accepted = self._receiver.accept(
            frame.parcel,
            now_ms=self.parties.now_ms(),
            directory=self.parties.directory,
            fetched=True,
        )
        if accepted.fault is not None:
            raise accepted.fault
        self.sender.durable(Received(accepted.fields.number, accepted.header_hash))
        return accepted

    async def answer(self) -> str:
        """The code of the next refuse; another entry's kind; `end` where the link ends in order."""
        while (parcel := await self.hear()) is not None:
            for entry in parcel.entries:
                kind = entry.parsed.kind
                return kind.code if isinstance(kind, Refuse) else kind.kind.value
        return "end"

    async def ended(self) -> str:
        """How a link ends on which a bad parcel was sent; a parcel with entries says it was taken.

        What comes is not judged: it may receipt what no honest node sends.

        Raises:
            SimpulError: The code with which it ended.
        """
        while (data := await self.probe.read()) is not None:
            frame = parse_frame(data, self.sender.context.limits)
            if len(frame.parcel.entries) > 0:
                return "taken"
        return "end"

    async def receipt(self) -> int | None:
        """The number of our last parcel that the other side says is durable there."""
        while (parcel := await self.hear()) is not None:
            if parcel.fields.received is not None:
                return parcel.fields.received.number
        return None

    async def finish(self) -> None:
        """End the link in order, with a last receipt."""
        await self.send(self.parcel())
        await self.probe.stream.finish()
        while await self.hear() is not None:
            pass

    async def child(self, call_id: bytes) -> ProbeLink:
        """A child link for one call, on the same connection."""
        parent = self.sender.context
        stream = _stream(self.probe.channel, self.parties)
        await stream.write(child_frame(parent.link_id, call_id))
        link = child_link_id(parent.link_id, call_id)
        probe = Probe(self.parties, self.probe.channel, stream)
        return ProbeLink(probe, Sender(child_context(parent, link, call_id, dialled=True)))


@asynccontextmanager
async def connected(parties: Parties) -> AsyncIterator[Probe]:
    """A connection of its own, and one stream on it; both end with the block."""
    options = channel_options(
        # What is too large must leave this end.
        max_message_bytes=2 * max_frame_bytes(parties.limits),
        target_name=parties.peer.dns_name,
    )
    async with aio.secure_channel(parties.address, parties.credentials, options=options) as channel:
        stream = _stream(channel, parties)
        try:
            yield Probe(parties, channel, stream)
        finally:
            stream.close()


def _stream(channel: aio.Channel, parties: Parties) -> DialledStream:
    return DialledStream(channel.stream_stream(METHOD)(), str(parties.peer))
