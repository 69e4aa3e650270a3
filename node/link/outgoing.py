"""What waits for a link's connection: parcels, and large payloads in pieces.

A payload over 64 KiB follows its parcel in chunks. At most 256 KiB of them are on their way that
the peer has not said it took, so that a small call's parcel never waits behind more than that
(757 ms instead of 2, on a line of 50 Mbit/s, was measured behind one bulk stream).

On a shared link parcels pass by the chunks that wait. On a child link there is one call, whose
order is kept: a parcel waits for the payloads before it, and so the peer never has to hold more
than one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from node.link.frames import chunk_frame
from security.errors import Code, LinkFault

CHUNK_BYTES: Final = 64 * 1024
MAX_UNTAKEN_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to be written; `parcel` is the number of the parcel in it, if there is one."""

    data: bytes
    parcel: int | None = None


@dataclass(slots=True, eq=False)
class _Payload:
    commitment: bytes
    data: bytes
    offset: int = 0


class Outgoing:
    """One link's frames in line for its writer."""

    def __init__(self, *, shared: bool) -> None:
        self._shared = shared
        # What goes first; and on a child link, what keeps its place behind payloads.
        self._frames: deque[Frame] = deque()
        self._payloads: deque[_Payload | Frame] = deque()
        self._changed = asyncio.Event()
        self._finished = False
        self._chunked = self._taken = 0
        self._bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """How much waits."""
        return self._bytes

    def put(self, data: bytes, parcel: int) -> None:
        """The frame of our parcel of this number."""
        frame = Frame(data, parcel)
        if self._shared or not self._payloads:
            self._frames.append(frame)
        else:
            self._payloads.append(frame)
        self._bytes += len(data)
        self._changed.set()

    def put_first(self, data: bytes) -> None:
        """A frame without which the peer can't go on: it waits for nothing."""
        self._frames.appendleft(Frame(data))
        self._bytes += len(data)
        self._changed.set()

    def put_payload(self, commitment: bytes, data: bytes) -> None:
        """A payload that goes in chunks, after the frame of its parcel."""
        self._payloads.append(_Payload(commitment, data))
        self._bytes += len(data)
        self._changed.set()

    def taken(self, taken_bytes: int) -> None:
        """The peer says how much it took in all.

        Raises:
            LinkFault: More than was sent, or less than before (step 4).
        """
        if not self._taken <= taken_bytes <= self._chunked:
            raise LinkFault(
                Code.PARCEL_ORDER,
                f"the peer says it took {taken_bytes} bytes of chunks, of {self._chunked} sent",
                step=4,
            )
        self._taken = taken_bytes
        self._changed.set()

    @property
    def finished(self) -> bool:
        """Nothing more will be put."""
        return self._finished

    def finish(self) -> None:
        """Nothing more will be put."""
        self._finished = True
        self._changed.set()

    async def next(self) -> Frame | None:
        """Wait for the next frame to send; None at the end."""
        while True:
            if self._frames:
                frame = self._frames.popleft()
                self._bytes -= len(frame.data)
                return frame
            if self._payloads:
                first = self._payloads[0]
                if isinstance(first, Frame):
                    self._payloads.popleft()
                    self._frames.append(first)
                    continue
                if self._chunked - self._taken < MAX_UNTAKEN_BYTES:
                    return self._chunk(first)
            if self._finished and not self._payloads:
                return None
            self._changed.clear()
            await self._changed.wait()

    def _chunk(self, payload: _Payload) -> Frame:
        data = payload.data[payload.offset : payload.offset + CHUNK_BYTES]
        frame = Frame(chunk_frame(payload.commitment, payload.offset, data))
        payload.offset += len(data)
        self._chunked += len(data)
        self._bytes -= len(data)
        if payload.offset == len(payload.data):
            self._payloads.popleft()
        return frame
