"""From accepted parcels to their calls: when they are durable, whole, and in order.

On a shared link an entry whose payload still comes in chunks holds up its own call and no other. A
child link has one call, so its delivery waits: for payloads, and for the call to take them; and the
reader waits for the delivery, so that gRPC's flow control reaches the other end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from typing import Final

from node.link.assembly import Assembly
from node.link.model import ReceivedEntry
from security.errors import Code, LinkFault
from security.receiver import AcceptedEntry, AcceptedParcel
from simpul.v1 import exchange_pb2

# Parcels that wait for the disk before the reader does.
MAX_WAITING: Final = 64
# Bytes of one streaming call that wait for it before the reader does.
MAX_WAITING_BYTES: Final = 1024 * 1024

_Wholes = list[asyncio.Future[bytes] | None]
# With the parcel's size, and the time at which it came.
_Pending = tuple[asyncio.Future[None], AcceptedParcel, int, _Wholes, int]


class Delivery:
    """What one link has accepted and not handed on yet."""

    def __init__(
        self,
        *,
        shared: bool,
        durable: Callable[[AcceptedParcel, int], None],
        hand_on: Callable[[ReceivedEntry], Awaitable[None] | None],
        keep: Callable[[AcceptedParcel, int, bytes], asyncio.Future[None] | None],
        now_ns: Callable[[], int],
    ) -> None:
        """`keep` begins to record a payload that is whole, of an entry by its number, if it can."""
        self._now_ns = now_ns
        self._shared = shared
        self._durable = durable
        self._hand_on = hand_on
        self._keep = keep
        self._assembly = Assembly()
        self._pending: asyncio.Queue[_Pending] = asyncio.Queue(MAX_WAITING)
        # What came for a call whose earlier entry is not whole yet.
        self._held: dict[bytes, list[ReceivedEntry]] = {}
        self._handing: set[asyncio.Future[None]] = set()
        self._bytes = 0
        self._room = asyncio.Event()

    async def put(
        self,
        durable: asyncio.Future[None],
        accepted: AcceptedParcel,
        size_bytes: int,
        kept: Collection[int] = (),
    ) -> None:
        """Take a parcel, whose frame had so many bytes; waits while too much waits.

        `kept` are the entries whose content is kept.

        Raises:
            LinkFault: The peer goes on and on while it owes a payload (CREDIT_EXCEEDED, step 4).
        """
        arrived_ns = self._now_ns()
        # Never while a payload is in pieces: its rest comes by the same reader.
        while not self._shared and self._bytes > MAX_WAITING_BYTES and not self._assembly.waiting:
            self._room.clear()
            await self._room.wait()
        if not self._shared and self._assembly.waiting and self._pending.full():
            raise LinkFault(
                Code.CREDIT_EXCEEDED,
                f"{MAX_WAITING} parcels came before the payload of the first; send payloads too",
                step=4,
            )
        wholes = [self._assembly.expect(entry) for entry in accepted.entries]
        for number in kept:
            whole = wholes[number]
            if whole is not None:
                wholes[number] = self._kept_first(whole, accepted, number)
        self._bytes += _weight(accepted)
        await self._pending.put((durable, accepted, size_bytes, wholes, arrived_ns))

    def chunk(self, chunk: exchange_pb2.Chunk) -> int | None:
        """Take a piece of a payload; see `Assembly.take`."""
        return self._assembly.take(chunk)

    async def run(self) -> None:
        """Hand on until cancelled.

        Raises:
            SimpulError: The journal failed.
        """
        while True:
            durable, accepted, size_bytes, wholes, arrived_ns = await self._pending.get()
            await durable
            self._durable(accepted, size_bytes)
            for entry, whole in zip(accepted.entries, wholes, strict=True):
                await self._deliver(ReceivedEntry(entry, accepted.fields.member, arrived_ns), whole)
            self._bytes -= _weight(accepted)
            self._room.set()
            self._pending.task_done()

    async def all_handed_on(self) -> None:
        """Wait until nothing waits."""
        await self._pending.join()

    def cancel(self) -> None:
        """The link is over: what isn't whole never will be."""
        self._assembly.cancel()

    def _kept_first(
        self, whole: asyncio.Future[bytes], accepted: AcceptedParcel, number: int
    ) -> asyncio.Future[bytes]:
        """The payload once it's recorded too: nothing is acted on before.

        Where that fails the link is cut, and this is never done.
        """
        recorded: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def settle(durable: asyncio.Future[None]) -> None:
            if not (recorded.done() or durable.cancelled() or durable.exception()):
                recorded.set_result(whole.result())

        def keep(done: asyncio.Future[bytes]) -> None:
            durable = None if done.cancelled() else self._keep(accepted, number, done.result())
            if durable is not None:
                durable.add_done_callback(settle)

        whole.add_done_callback(keep)
        return recorded

    async def _deliver(self, received: ReceivedEntry, whole: asyncio.Future[bytes] | None) -> None:
        if whole is not None and not self._shared:
            received = _whole(received, await whole)
            whole = None
        if received.accepted.late:
            return
        held = self._held.get(received.call_id)
        if held is not None:
            held.append(received)
        elif whole is not None and not whole.done():
            self._held[received.call_id] = []
            whole.add_done_callback(lambda done: self._now_whole(received, done))
        else:
            handed = self._hand_on(received if whole is None else _whole(received, whole.result()))
            if handed is not None:
                await handed

    def _now_whole(self, received: ReceivedEntry, whole: asyncio.Future[bytes]) -> None:
        held = self._held.pop(received.call_id)
        if whole.cancelled():
            return
        for each in (_whole(received, whole.result()), *held):
            handed = self._hand_on(each)
            if handed is not None:
                # On a shared link nothing that is handed on waits for an app or a service.
                task = asyncio.ensure_future(handed)
                self._handing.add(task)
                task.add_done_callback(self._handing.discard)


def _whole(received: ReceivedEntry, payload: bytes) -> ReceivedEntry:
    return replace(received, accepted=_with_payload(received.accepted, payload))


def _with_payload(entry: AcceptedEntry, payload: bytes) -> AcceptedEntry:
    return replace(entry, sealed=replace(entry.sealed, payload=payload))


def _weight(accepted: AcceptedParcel) -> int:
    """What a parcel's payloads take, whether they are here or still to come."""
    return sum(
        entry.parsed.payload.rounded_bytes
        for entry in accepted.entries
        if entry.parsed.payload is not None
    )
