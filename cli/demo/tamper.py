"""A captured consumer's node: it speaks the wire correctly, and then cheats.

It dials a provider's link port with the home of a consumer's node (its TLS certificate, node key
and seal key), greets as that node would, and sends what no honest node sends. It is made of the
node's own parts, so everything about a parcel is right but the one thing that is changed.

What the provider must do with it: wire standard, "What a receiver checks", steps 4 and 6.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from node.calls import new_call_id
from node.config import load_config
from node.directory.folder import CURRENT
from node.directory.load import load_view
from node.home import KeyName, NodeHome
from node.link.accept import METHOD
from node.link.frames import max_frame_bytes, parcel_frame, parse_frame
from node.link.greet import Greeter
from node.link.stream import DialledStream
from node.link.unsettled import Unsettled
from node.model import Current, NodeIdentity, Snapshot
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from runtime.clock import now_ms
from runtime.grpc_options import channel_options
from security.certificate import to_pem
from security.directory import DirectoryView
from security.entry import ENTRY_SALT_BYTES
from security.errors import SimpulError
from security.identifiers import NodeId
from security.keys import PrivateKey
from security.kinds import EntryKind, Open
from security.limits import Limits
from security.receiver import AcceptedEntry, Receiver
from security.seal import make_seals
from security.sender import LinkContext, Sender
from simpul.v1 import parcel_pb2

# A second greeting from one worker would not be told from the first's; this one has no such number.
WORKER: Final = 63
WORKERS: Final = 64
ANSWER_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A sealed parcel, ready to travel: its frame, and its one entry's bytes."""

    call_id: bytes
    frame: bytes
    entry: bytes

    def with_one_byte_changed(self) -> bytes:
        """The frame, with one byte of its entry's salt changed: it parses as well as before."""
        salt = parcel_pb2.Entry.FromString(self.entry).salt
        changed = self.entry.replace(salt, salt[:-1] + bytes([salt[-1] ^ 1]))
        return self.frame.replace(self.entry, changed)


class CapturedNode:
    """One greeted link from a captured node to a provider's."""

    def __init__(
        self, stream: DialledStream, context: LinkContext, key: PrivateKey, view: DirectoryView
    ) -> None:
        self._stream = stream
        self._limits = context.limits
        self._key = key
        self._view = view
        self._sender = Sender(context)
        self._receiver = Receiver(self._sender)

    def parcel(self, opened: Open, payload: bytes, call_id: bytes | None = None) -> Parcel:
        """A correct parcel, with the open of one call; of a new one unless its id is given."""
        if call_id is None:
            call_id = new_call_id(now_ms(), os.urandom(10))
        entry = self._sender.add(opened, call_id, os.urandom(ENTRY_SALT_BYTES), payload=payload)
        made = self._sender.prepare(
            [entry],
            member=opened.consumer.member,
            seal_key_id=self._key.public.key_id,
            directory_hash=self._view.hash,
            now_ms=now_ms(),
        )
        (seal,) = make_seals(self._key, [made.header_hash])
        frame = parcel_frame(made.header, seal, made.entries)
        return Parcel(call_id, frame, made.entries[0].entry)

    async def send(self, frame: bytes) -> None:
        """Sends a frame, whatever it is."""
        await self._stream.write(frame)

    async def answer(self) -> AcceptedEntry:
        """Waits for the close or refusal of a call, verified.

        Raises:
            SimpulError: The link was refused, or what came is not right.
            TimeoutError: Nothing came.
        """
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            while (data := await self._stream.read()) is not None:
                parcel = parse_frame(data, self._limits).parcel
                accepted = self._receiver.accept(parcel, now_ms=now_ms(), directory=self._view)
                for entry in accepted.entries:
                    if entry.parsed.kind.kind in {EntryKind.CLOSE, EntryKind.REFUSE}:
                        return entry
        raise EOFError("the provider ended the link and answered nothing")

    async def refusal(self) -> SimpulError:
        """Waits until the provider's node ends the link with an error; returns it.

        Raises:
            EOFError: It ended the link in order, or answered.
            TimeoutError: Nothing came.
        """
        try:
            await self.answer()
        except SimpulError as error:
            return error
        raise EOFError("the provider answered a parcel that it had to refuse")


@asynccontextmanager
async def captured(path: Path, peer: NodeId) -> AsyncIterator[CapturedNode]:
    """A link from the node whose home is `path` to `peer`, greeted as that node greets.

    The home is only read, and its node may be running.

    Raises:
        SimpulError: The home is none; `peer` is not listed, or does not take the greeting.
    """
    home = NodeHome.open(path)
    config = load_config(home, {})
    view = await asyncio.to_thread(load_view, (home.directory / CURRENT).resolve())
    listed = view.require_active_node(peer)
    greeter = Greeter(
        NodeIdentity(config.node_id, frozenset(config.member_ids)),
        home.read_key(KeyName.NODE),
        Current(Snapshot(view, AgreementBook(), AppBook(), {})),
        Limits(),
        WORKER,
        WORKERS,
        now_ms,
        _nothing_newer,
        Unsettled(lambda _: None),
    )
    credentials = grpc.ssl_channel_credentials(
        to_pem(*view.policy.tls_authorities), home.read_pem(KeyName.TLS), home.read_chain()
    )
    options = channel_options(
        max_message_bytes=max_frame_bytes(greeter.limits), target_name=peer.dns_name
    )
    async with grpc.aio.secure_channel(
        listed.link_address, credentials, options=options
    ) as channel:
        stream = DialledStream(channel.stream_stream(METHOD)(), str(peer))
        try:
            context = await greeter.dial(stream, listed)
            yield CapturedNode(stream, context, home.read_key(KeyName.SEAL), view)
        finally:
            stream.close()


async def _nothing_newer(_directory_hash: bytes) -> None:
    """It goes by the directory that it has."""
