"""Puts payloads together that came in chunks.

Payloads follow in the order of their entries, one after the other, each in order: so no more than
one is ever in pieces here, whatever a peer sends. A payload is whole when its length rounds up to
what its commitment says; then it must match (docs/spec, "Links: frames").
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from node.link.outgoing import CHUNK_BYTES
from security.commitment import Commitment, check_payload, rounded
from security.errors import Code, LinkFault, SimpulError
from security.receiver import AcceptedEntry
from simpul.v1 import exchange_pb2

# The peer may have 256 KiB on its way, so it hears at half of that.
TELL_AFTER_BYTES: Final = 128 * 1024


@dataclass(slots=True, eq=False)
class _Expected:
    commitment: Commitment
    salt: bytes
    whole: asyncio.Future[bytes]
    data: bytearray = field(default_factory=bytearray)


class Assembly:
    """The payloads that one link still waits for."""

    def __init__(self) -> None:
        self._expected: deque[_Expected] = deque()
        self._taken = self._told = 0

    @property
    def waiting(self) -> bool:
        """Some payload is still to come."""
        return bool(self._expected)

    def expect(self, entry: AcceptedEntry) -> asyncio.Future[bytes] | None:
        """The payload of an entry that came without it; None where there is none to come."""
        commitment = entry.parsed.payload
        if commitment is None or not entry.awaits_payload:
            return None
        whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._expected.append(_Expected(commitment, entry.sealed.payload_salt, whole))
        return whole

    def take(self, chunk: exchange_pb2.Chunk) -> int | None:
        """Take a piece; returns what the peer is to be told, when it is time.

        Raises:
            LinkFault: It belongs nowhere (steps 1, 4), or the payload doesn't match (12).
        """
        expected = self._check(chunk)
        expected.data += chunk.data
        self._taken += len(chunk.data)
        if rounded(len(expected.data)) == expected.commitment.rounded_bytes:
            self._expected.popleft()
            _complete(expected)
        if self._expected and self._taken - self._told < TELL_AFTER_BYTES:
            return None
        self._told = self._taken
        return self._taken

    def cancel(self) -> None:
        """Nothing more comes."""
        for expected in self._expected:
            expected.whole.cancel()
        self._expected.clear()

    def _check(self, chunk: exchange_pb2.Chunk) -> _Expected:
        if not 0 < len(chunk.data) <= CHUNK_BYTES:
            raise LinkFault(
                Code.PARCEL_TOO_LARGE,
                f"a chunk has {len(chunk.data)} bytes, and takes 1 to {CHUNK_BYTES}",
                step=1,
            )
        expected = self._expected[0] if self._expected else None
        if (
            expected is None
            or chunk.commitment != expected.commitment.hash
            or chunk.offset != len(expected.data)
            or len(expected.data) + len(chunk.data) > expected.commitment.rounded_bytes
        ):
            raise LinkFault(
                Code.PARCEL_ORDER,
                "a chunk isn't the next of the payload that was promised first; send them in order",
                step=4,
            )
        return expected


def _complete(expected: _Expected) -> None:
    data = bytes(expected.data)
    try:
        check_payload(expected.commitment, expected.salt, data)
    except SimpulError as error:
        raise LinkFault(error.code, error.message, step=12) from None
    if not expected.whole.done():
        expected.whole.set_result(data)
