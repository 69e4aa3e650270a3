"""Reads protobuf messages from outside, and refuses what our own printer would not print.

Refused: more bytes than the format allows, bytes that are no message, unknown fields at any depth,
singular fields given twice, numbers longer than they need be, defaults written out.

Not judged: the order of fields and the packing of repeated numbers, in which the protobuf
libraries of different languages differ. That is safe, because everything is hashed and signed as
the bytes that came, never as written anew. Nor are presence, lengths and values of fields judged:
each format's own `parse_...` does that.

Source: docs/spec, "Strict parsing".
"""

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from security.errors import Code, SimpulError

MessageT = TypeVar("MessageT", bound=Message)


def parse(
    cls: type[MessageT],
    data: bytes,
    max_bytes: int,
    *,
    code: Code = Code.REQUEST_MALFORMED,
    too_large: Code | None = None,
) -> MessageT:
    """Parse `data` as a message of `cls`, strictly.

    Raises:
        SimpulError: `too_large` (`code` where none is given) for more than `max_bytes`; `code` for
            everything else that is refused.
    """
    name = cls.DESCRIPTOR.name
    if len(data) > max_bytes:
        raise SimpulError(
            code if too_large is None else too_large,
            f"{name} has {len(data)} bytes and may have {max_bytes}; send less",
        )
    message = cls()
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise SimpulError(code, f"{name} can't be parsed; send valid protobuf") from None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(data):
        raise SimpulError(
            code,
            f"{name} has unknown, repeated or needlessly long fields; print it by the published "
            "protos, of the version that it names",
        )
    return message
