"""HTTP/2 frames and header blocks, as a client of gRPC services needs them. Pure.

A frame is 9 bytes and a payload:

    length (3) | kind (1) | flags (1) | stream (4, the first bit unused) | payload (length)

Header blocks are printed without Huffman coding and without the dynamic table: they travel inside
one agency's network, and a block that refers to no other can be made, and understood, alone.
For the same reason this side allows its peer no dynamic table, and a block that was understood
once is not decoded again.

Rules: a length, a kind of frame at a place or a setting that RFC 9113 forbids raises `Http2Error`;
what a peer may choose is bounded. What is unknown is left out, as the RFC wants it.

Source: RFC 9113 (HTTP/2), sections 4 and 6; RFC 7541 (HPACK).
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from node.gateway.framing import HeaderList
from security.limits import KIB

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES: Final = 9
# What RFC 9113 lets every frame have, and what either side has before the first SETTINGS.
DEFAULT_FRAME_BYTES: Final = 16 * KIB
DEFAULT_WINDOW_BYTES: Final = 65_535
MAX_WINDOW_BYTES: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1
_MAX_FRAME_BYTES: Final = 2**24 - 1

_HEAD: Final = struct.Struct(">BHBBI")
_SETTING: Final = struct.Struct(">HI")


class Kind(IntEnum):
    """Section 6 of RFC 9113."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Flag(IntEnum):
    """Of which frames know some; several are a plain number. IntFlag would make each `&` slow."""

    NONE = 0
    END_STREAM = 1
    ACK = 1
    END_HEADERS = 4
    PADDED = 8
    PRIORITY = 0x20


class Reset(IntEnum):
    """Why a stream or a connection ends (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class Setting(IntEnum):
    """Section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Http2Error(Exception):
    """The peer breaks HTTP/2: the connection ends with this code."""

    def __init__(self, code: Reset, text: str) -> None:
        super().__init__(text)
        self.code = code


class TooLargeError(Exception):
    """A header list over the limit. The connection goes on."""


class Frame(NamedTuple):
    """One frame; `kind` and `flags` as they came, known or not."""

    kind: int
    flags: int
    stream: int
    payload: bytes


# Frames.


def print_frame(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return print_head(len(payload), kind, flags, stream) + payload


def print_head(length: int, kind: int, flags: int, stream: int) -> bytes:
    """The nine bytes before a payload."""
    return _HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def print_settings(settings: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(_SETTING.pack(key, value) for key, value in settings.items())
    return print_frame(Kind.SETTINGS, Flag.NONE, 0, payload)


def print_number(kind: Kind, stream: int, number: int) -> bytes:
    """A RST_STREAM or WINDOW_UPDATE frame."""
    return print_frame(kind, Flag.NONE, stream, number.to_bytes(4, "big"))


class FrameParser:
    """Cuts what arrives into frames, however the network cut it.

    Args:
        max_bytes: Of a frame's payload, as this side's SETTINGS say.
    """

    __slots__ = ("_max_bytes", "_rest")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; returns the frames that they complete.

        Raises:
            Http2Error: A frame is announced that is over the limit.
        """
        if self._rest:
            data = self._rest + data
        frames, at, size = [], 0, len(data)
        while size - at >= HEAD_BYTES:
            high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
            length = high << 16 | low
            if length > self._max_bytes:
                raise Http2Error(Reset.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            end = at + HEAD_BYTES + length
            if end > size:
                break
            frames.append(Frame(kind, flags, stream & MAX_STREAM_ID, data[at + HEAD_BYTES : end]))
            at = end
        self._rest = data[at:]
        return frames


def parse_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says, unknown settings included.

    Raises:
        Http2Error: It is cut, or a value is out of its range.
    """
    if len(payload) % _SETTING.size:
        raise Http2Error(Reset.FRAME_SIZE_ERROR, "SETTINGS that are cut")
    settings = dict(_SETTING.iter_unpack(payload))
    if settings.get(Setting.INITIAL_WINDOW_SIZE, 0) > MAX_WINDOW_BYTES:
        raise Http2Error(Reset.FLOW_CONTROL_ERROR, "an initial window that is too large")
    frame = settings.get(Setting.MAX_FRAME_SIZE, DEFAULT_FRAME_BYTES)
    if not DEFAULT_FRAME_BYTES <= frame <= _MAX_FRAME_BYTES:
        raise Http2Error(Reset.PROTOCOL_ERROR, f"frames of {frame} bytes at most")
    return settings


def parse_number(payload: bytes) -> int:
    """What a RST_STREAM or WINDOW_UPDATE frame says.

    Raises:
        Http2Error: It hasn't four bytes.
    """
    if len(payload) != 4:  # noqa: PLR2004
        raise Http2Error(Reset.FRAME_SIZE_ERROR, "a number that hasn't four bytes")
    return int.from_bytes(payload, "big")


def parse_goaway(payload: bytes) -> tuple[int, int]:
    """The last stream that the peer has heard of, and why it goes.

    Raises:
        Http2Error: It is cut.
    """
    if len(payload) < 8:  # noqa: PLR2004
        raise Http2Error(Reset.FRAME_SIZE_ERROR, "a GOAWAY that is cut")
    return int.from_bytes(payload[:4], "big") & MAX_STREAM_ID, int.from_bytes(payload[4:8], "big")


def unpadded(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding, and without what HEADERS say of priority.

    Raises:
        Http2Error: There is more padding than payload.
    """
    payload, flags = frame.payload, frame.flags
    begin, padding = 0, 0
    if flags & Flag.PADDED:
        padding, begin = (payload[0] if payload else 1), 1
    if frame.kind == Kind.HEADERS and flags & Flag.PRIORITY:
        begin += 5
    end = len(payload) - padding
    if end < begin:
        raise Http2Error(Reset.PROTOCOL_ERROR, "more padding than payload")
    return payload[begin:end]


# Header blocks.

# Of RFC 7541, appendix A.
_POST: Final = b"\x83"
_SCHEMES: Final = {"http": b"\x86", "https": b"\x87"}
_NO_TABLE: Final = b"\x20"
_LENGTH_PREFIX: Final = 0x7F
_SEVEN_BITS: Final = 0x7F


def print_request(scheme: str, authority: str, path: str) -> bytes:
    """The beginning of a request's block: what every call of a method has."""
    return (
        _POST
        + _SCHEMES[scheme]
        + b"\x04"
        + _text(path.encode("ascii"))
        + b"\x01"
        + _text(authority.encode("ascii"))
        + print_fields([(b"content-type", b"application/grpc"), (b"te", b"trailers")])
    )


def print_fields(fields: HeaderList) -> bytes:
    """The rest of a block: each field as a literal that is not to be remembered."""
    return b"".join([b"\x00" + _text(name) + _text(value) for name, value in fields])


def print_no_table() -> bytes:
    """Before the first block to a peer that named a size of its table: none of it is used."""
    return _NO_TABLE


def print_block(stream: int, block: bytes, max_bytes: int, flags: int) -> bytes:
    """A block as one HEADERS frame and as many CONTINUATION frames as it needs."""
    if len(block) <= max_bytes:
        return print_frame(Kind.HEADERS, flags | Flag.END_HEADERS, stream, block)
    parts = [block[at : at + max_bytes] for at in range(0, len(block), max_bytes)]
    last = len(parts) - 1
    return b"".join(
        print_frame(
            Kind.CONTINUATION if number else Kind.HEADERS,
            (0 if number else flags) | (Flag.END_HEADERS if number == last else 0),
            stream,
            part,
        )
        for number, part in enumerate(parts)
    )


class BlockParser:
    """Understands a peer's header blocks.

    Args:
        max_list_bytes: Of a header list, counted as HTTP/2 does.
    """

    def __init__(self, max_list_bytes: int) -> None:
        self._decoder = Decoder(max_list_bytes)

    @property
    def alone(self) -> bool:
        """The peer keeps no table: equal blocks say the same, now and later."""
        return bool(self._decoder.header_table_size == 0)

    def parse(self, block: bytes) -> HeaderList:
        """A header list, names in lower case as HTTP/2 has them.

        Raises:
            TooLargeError: It is over the limit.
            Http2Error: It is no header block.
        """
        try:
            fields = self._decoder.decode(block, raw=True)
        except OversizedHeaderListError as error:
            if not self.alone:
                # Some of it may be missing in the table, which both sides must have alike.
                raise Http2Error(Reset.ENHANCE_YOUR_CALM, "a header list too large") from error
            raise TooLargeError from error
        except (HPACKError, IndexError, UnicodeError) as error:
            raise Http2Error(Reset.COMPRESSION_ERROR, "headers that are none") from error
        return [(bytes(name), bytes(value)) for name, value in fields]


def _text(value: bytes) -> bytes:
    """A string literal, not Huffman-coded, after its length (RFC 7541, 5.1 and 5.2)."""
    size = len(value)
    if size < _LENGTH_PREFIX:
        return bytes((size,)) + value
    size -= _LENGTH_PREFIX
    head = bytearray((_LENGTH_PREFIX,))
    while size > _SEVEN_BITS:
        head.append(size & _SEVEN_BITS | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + value
