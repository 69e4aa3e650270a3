"""HTTP/2 frames by hand, right and wrong: what no library would send.

Source: RFC 9113, sections 4 to 6; RFC 7541, section 6.2.2 (fields that no table knows).
"""

import socket
import struct
from collections.abc import Iterator, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION = 9
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20
CANCEL = 8

GRPC = (
    (":method", "POST"), (":scheme", "http"), (":path", "/t.T/Bidi"), (":authority", "x"),
    ("content-type", "application/grpc"), ("te", "trailers"),
)  # fmt: skip


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame; its length is right."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def fields(pairs: Sequence[tuple[str, str]] = GRPC) -> bytes:
    """A block of headers without any compression, so that it may be sent over and over."""
    return b"".join(
        b"\0" + _text(key.encode("latin-1")) + _text(value.encode("latin-1"))
        for key, value in pairs
    )


def begun(settings: bytes = b"") -> bytes:
    """What a client says first."""
    return PREFACE + frame(SETTINGS, 0, 0, settings)


def call(stream: int, pairs: Sequence[tuple[str, str]] = GRPC, flags: int = END_HEADERS) -> bytes:
    """The headers of a call."""
    return frame(HEADERS, flags, stream, fields(pairs))


class Frames:
    """Reads frames from a socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = bytearray()

    def __iter__(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, stream, payload; to the connection's end."""
        while True:
            while len(self._buffer) >= 9:
                length = int.from_bytes(self._buffer[:3], "big")
                if len(self._buffer) < 9 + length:
                    break
                kind, flags, stream = struct.unpack(">BBI", self._buffer[3:9])
                payload = bytes(self._buffer[9 : 9 + length])
                del self._buffer[: 9 + length]
                yield kind, flags, stream, payload
            data = self._connection.recv(262_144)
            if not data:
                return
            self._buffer += data


def _text(data: bytes) -> bytes:
    """A string of HPACK, not in Huffman's code."""
    return _integer(len(data)) + data


def _integer(number: int) -> bytes:
    """HPACK's integers with a prefix of 7 bits."""
    if number < 127:
        return bytes([number])
    found, number = bytearray([127]), number - 127
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    found.append(number)
    return bytes(found)
