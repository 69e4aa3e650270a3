"""Frames as bytes. LinkRequest and LinkResponse have one encoding, so one pair of functions serves.

Source: simpul/v1/exchange.proto, `Frame`; docs/spec, "Links: frames".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from security.entry import SealedEntry
from security.errors import Code, LinkFault, SimpulError
from security.limits import INLINE_MAX_BYTES, Limits
from security.parcel import to_wire
from security.strict import parse
from simpul.v1 import exchange_pb2

# The frame's own tags and lengths.
_FRAME_BYTES: Final = 64


def parse_frame(data: bytes, limits: Limits) -> exchange_pb2.Frame:
    """Read a frame strictly: the receiver's checks 1 and 2 for all that is around a parcel.

    Raises:
        LinkFault: Too large (step 1), or no frame (step 2).
    """
    max_bytes = max_frame_bytes(limits)
    if len(data) > max_bytes:
        raise LinkFault(
            Code.PARCEL_TOO_LARGE,
            f"a frame has {len(data)} bytes and may have {max_bytes}; keep to the limits",
            step=1,
        )
    try:
        frame = parse(exchange_pb2.LinkRequest, data, max_bytes, code=Code.PARCEL_MALFORMED).frame
    except SimpulError as error:
        raise LinkFault(error.code, error.message, step=2) from None
    if frame.WhichOneof("kind") is None:
        raise LinkFault(
            Code.PARCEL_MALFORMED, "a frame is empty; send greetings and parcels", step=2
        )
    return frame


def parcel_frame(header: bytes, seal: bytes, entries: Sequence[SealedEntry]) -> bytes:
    """A sealed parcel as it travels: payloads over 64 KiB are left out, and follow in chunks."""
    wire = to_wire(header, seal, entries, inline_max_bytes=INLINE_MAX_BYTES)
    return _frame(exchange_pb2.Frame(parcel=wire))


def greeting_frame(signed: exchange_pb2.SignedGreeting) -> bytes:
    """A link's first frame."""
    return _frame(exchange_pb2.Frame(greeting=signed))


def child_frame(parent: bytes, call_id: bytes) -> bytes:
    """A child link's first frame."""
    return _frame(exchange_pb2.Frame(child=exchange_pb2.Child(parent=parent, call_id=call_id)))


def chunk_frame(commitment: bytes, offset: int, data: bytes) -> bytes:
    """A piece of a payload."""
    chunk = exchange_pb2.Chunk(commitment=commitment, offset=offset, data=data)
    return _frame(exchange_pb2.Frame(chunk=chunk))


def taken_frame(taken_bytes: int) -> bytes:
    """How many bytes of the peer's chunks were taken in all."""
    return _frame(exchange_pb2.Frame(taken=exchange_pb2.Taken(bytes=taken_bytes)))


def max_frame_bytes(limits: Limits) -> int:
    """The largest frame: a parcel, and what is around it."""
    return limits.max_parcel_bytes + _FRAME_BYTES


def _frame(frame: exchange_pb2.Frame) -> bytes:
    return exchange_pb2.LinkRequest(frame=frame).SerializeToString()
