"""A node with a good certificate whose links are steered by hand; for the tests beside it."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import pytest
from grpc import aio

from node.calls import new_call_id
from node.link.accept import METHOD
from node.link.frames import child_frame, max_frame_bytes, parcel_frame, parse_frame
from node.link.greet import child_context
from node.link.stream import DialledStream
from node.policy.rules import find_agreement
from runtime.grpc_options import channel_options
from security.entry import ENTRY_SALT_BYTES
from security.errors import Code, SimpulError
from security.greeting import child_link_id
from security.identifiers import ServiceId, SubsystemId
from security.kinds import Kind, Open
from security.parcel import Received, header_hash
from security.receiver import AcceptedParcel, Receiver
from security.seal import make_seals
from security.sender import LinkContext, OutgoingEntry, PreparedParcel, Sender
from tests.conformance import fixed
from tests.support.agreements import TERMS
from tests.support.pair import Half, Pair, unary

SEAL = fixed.key(f"{fixed.MINISTRY} seal")
# No agreement has it: what is opened under it is refused.
NO_AGREEMENT = bytes(32)


@dataclass
class Hostile:
    """The consumer's node, steered by hand: its stream to the provider's, and its next parcels."""

    stream: DialledStream
    sender: Sender
    agreement: bytes = NO_AGREEMENT
    channel: aio.Channel | None = None

    def opening(
        self,
        *,
        payload: bytes = b"question",
        unary: bool = True,
        call_id: bytes | None = None,
        provider: SubsystemId = fixed.TOURISM,
    ) -> OutgoingEntry:
        """One good open."""
        kind = Open(
            consumer=fixed.SUPER_APP,
            service=ServiceId(provider, fixed.SERVICE),
            method="Get" if unary else "Watch",
            agreement=self.agreement,
            purpose=TERMS.purposes[0].id,
            unary=unary,
        )
        return self.sender.add(
            kind,
            call_id or new_call_id(fixed.NOW_MS, os.urandom(10)),
            os.urandom(ENTRY_SALT_BYTES),
            payload=payload if unary else None,
        )

    def parcel(self, *entries: OutgoingEntry) -> PreparedParcel:
        """A parcel with these."""
        return self.sender.prepare(
            entries,
            member=fixed.MINISTRY,
            seal_key_id=SEAL.public.key_id,
            directory_hash=bytes(32),
            now_ms=fixed.NOW_MS,
        )

    def prepare(
        self, opens: int = 1, payload: bytes = b"question", *, unary: bool = True
    ) -> PreparedParcel:
        """A parcel with so many good opens."""
        return self.parcel(*(self.opening(payload=payload, unary=unary) for _ in range(opens)))

    async def send(self, parcel: PreparedParcel) -> bytes:
        """Seal and send it; returns the frame."""
        seal = make_seals(SEAL, [parcel.header_hash])[0]
        frame = parcel_frame(parcel.header, seal, parcel.entries)
        await self.stream.write(frame)
        return frame

    def say(self, kind: Kind, call_id: bytes, payload: bytes | None = None) -> OutgoingEntry:
        """A further entry of a call, in its turn."""
        return self.sender.add(kind, call_id, os.urandom(ENTRY_SALT_BYTES), payload=payload)

    async def refusal(self) -> Code:
        """How the provider's node ends the link."""
        async with asyncio.timeout(5):
            with pytest.raises(SimpulError) as caught:
                while await self.stream.read() is not None:
                    pass
        return caught.value.code

    async def hear(self, half: Half) -> AcceptedParcel:
        """The provider's next parcel, which this end then has, as its later headers say."""
        receiver = self.__dict__.setdefault("receiver", Receiver(self.sender))
        async with asyncio.timeout(5):
            data = await self.stream.read()
        assert data is not None
        frame = parse_frame(data, self.sender.context.limits)
        accepted: AcceptedParcel = receiver.accept(
            frame.parcel, now_ms=fixed.NOW_MS, directory=half.current.snapshot.directory
        )
        number = accepted.fields.number
        self.sender.durable(Received(number, header_hash(accepted.header)))
        return accepted

    async def child(self, call_id: bytes) -> "Hostile":
        """A child link, of which the first frame was sent."""
        assert self.channel is not None
        parent = self.sender.context
        stream = DialledStream(self.channel.stream_stream(METHOD)(), "provider")
        await stream.write(child_frame(parent.link_id, call_id))
        link = child_link_id(parent.link_id, call_id)
        context = child_context(parent, link, call_id, dialled=True)
        return Hostile(stream, Sender(context), self.agreement, self.channel)


@asynccontextmanager
async def connected(half: Half, peer: Half) -> AsyncIterator[aio.Channel]:
    """A connection of one node to another's link port."""
    options = (
        *channel_options(
            # More than the other side takes.
            max_message_bytes=3 * max_frame_bytes(half.greeter.limits),
            target_name=peer.node.dns_name,
        ),
        # Otherwise grpcio shares one connection among all channels to an address.
        ("grpc.use_local_subchannel_pool", 1),
    )
    credentials: grpc.ChannelCredentials = half.credentials
    async with aio.secure_channel(peer.address, credentials, options=options) as channel:
        yield channel


@asynccontextmanager
async def raw(half: Half, peer: Half) -> AsyncIterator[DialledStream]:
    """A stream from one node to another's port, on which nothing was said yet."""
    async with connected(half, peer) as channel:
        stream = DialledStream(channel.stream_stream(METHOD)(), str(peer.node))
        try:
            yield stream
        finally:
            stream.close()


@asynccontextmanager
async def greeted(
    two: Pair, credit: int | None = None, *, agreed: bool = False
) -> AsyncIterator[Hostile]:
    """A link that was greeted in order; what follows is up to the test.

    `agreed`: its opens are under the agreement that the provider has.
    """
    async with connected(two.consumer, two.provider) as channel:
        stream = DialledStream(channel.stream_stream(METHOD)(), str(two.provider.node))
        node = two.consumer.current.snapshot.directory.node(two.provider.node)
        context: LinkContext = await two.consumer.greeter.dial(stream, node)
        if credit is not None:
            context = replace(context, credit_taken=credit)
        agreement = agreed_upon(two) if agreed else NO_AGREEMENT
        try:
            yield Hostile(stream, Sender(context), agreement, channel)
        finally:
            stream.close()


def agreed_upon(two: Pair) -> bytes:
    """The hash of the pair's agreement."""
    found, _ = find_agreement(
        two.consumer.current.snapshot.agreements,
        consumer=fixed.SUPER_APP,
        provider=fixed.TOURISM,
        service=fixed.SERVICE,
        method="Get",
        purpose=None,
        now_ms=fixed.NOW_MS,
    )
    return found


async def lives_on(two: Pair) -> None:
    """An honest link of the same peer goes on."""
    assert (await two.consumer.run(unary())).trailers.status == 0


async def until(look: object, timeout_s: float = 5.0) -> None:
    """Wait until `look()` is true."""
    assert callable(look)
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.005)


def counted(half: Half, name: str, **labels: str) -> float:
    """What a node counted."""
    return half.registry.get_sample_value(name, labels) or 0.0
