"""gRPC over HTTP/2, apart from HTTP/2 itself: messages, timeouts, statuses, metadata.

Both legs use it, the gateway and the way to services. It opens no connection and knows no stack:
header lists in and out are pairs of bytes, bodies are bytes.

Rules: a message is carried as it was sent, never decompressed; what a peer says is refused where
the grammar leaves no doubt (timeouts, base64, metadata, message prefixes), and read kindly where
the specification says so (percent-encoding, statuses). Reserved and hop-by-hop headers are
dropped both ways, so neither an app nor a node elsewhere can steer the next hop with them.

Source: gRPC over HTTP/2 (doc/PROTOCOL-HTTP2.md): "Requests", "Responses", "Errors"; HTTP to gRPC
status mapping (doc/http-grpc-status-mapping.md); RFC 9113, section 8.2.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from node.calls import Message
from security.errors import Code, SimpulError
from security.private import Metadata, check_metadatum

HeaderList = Iterable[tuple[bytes, bytes]]

CONTENT_TYPE: Final = b"application/grpc"
PREFIX_BYTES: Final = 5
MAX_LENGTH: Final = 2**32 - 1
# What HTTP/2 counts for each header beside its name and value (RFC 9113, section 6.5.2).
HEADER_OVERHEAD_BYTES: Final = 32
MAX_STATUS: Final = 16
UNKNOWN: Final = 2

# Of HTTP and of one hop: never metadata. The last two are Envoy's words, not the app's.
_HOP: Final = frozenset(
    {
        "te", "content-type", "content-length", "host", "connection", "keep-alive",
        "proxy-connection", "transfer-encoding", "upgrade", "trailer", "accept-encoding",
        "x-forwarded-proto", "x-forwarded-client-cert",
    }
)  # fmt: skip
# Of gRPC and carried from end to end; every other `grpc-` key belongs to one hop.
_CARRIED: Final = frozenset(
    {
        "grpc-encoding", "grpc-accept-encoding", "grpc-status-details-bin", "grpc-trace-bin",
        "grpc-tags-bin",
    }
)  # fmt: skip

_MS_BY_UNIT: Final = {b"H": 3_600_000, b"M": 60_000, b"S": 1000, b"m": 1}
_PARTS_OF_MS: Final = {b"u": 1000, b"n": 1_000_000}
_TIMEOUT: Final = re.compile(rb"([0-9]{1,8})([HMSmun])")
_MAX_DIGITS: Final = 10**8
_STATUS: Final = re.compile(rb"[0-9]{1,2}")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]*")
_REMEMBERED_KEYS: Final = 4096
_TO_ESCAPE: Final = re.compile(rb"[^\x20-\x24\x26-\x7e]")

# doc/http-grpc-status-mapping.md; every other status is UNKNOWN.
_BY_HTTP_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


# Messages.


def print_message(message: Message) -> bytes:
    """A message with its prefix: the compressed flag and four bytes of length."""
    data = message.data
    return (b"\1" if message.compressed else b"\0") + len(data).to_bytes(4, "big") + data


class MessageParser:
    """Cuts a body into messages, however the network cut it.

    Args:
        max_bytes: Of one message.
        hop: Who sends to whom, for the texts: `from the app`.
    """

    __slots__ = ("_buffer", "_hop", "_max_bytes")

    def __init__(self, max_bytes: int, hop: str) -> None:
        self._max_bytes = max_bytes
        self._hop = hop
        self._buffer: bytearray | None = None

    def feed(self, data: bytes) -> list[Message]:
        """Take the next bytes; returns the messages that they complete.

        Raises:
            SimpulError: A message is announced that is over the limit (MESSAGE_TOO_LARGE), before
                it is read; or a flag is neither 0 nor 1 (REQUEST_MALFORMED).
        """
        # By far the most bodies are one whole message.
        if not self._buffer and len(data) >= PREFIX_BYTES:
            compressed, end = self._prefix(data, 0)
            if end == len(data):
                return [Message(bytes(data[PREFIX_BYTES:]), compressed)]
        buffer = self._buffer or bytearray()
        buffer += data
        messages, at = [], 0
        while len(buffer) - at >= PREFIX_BYTES:
            compressed, end = self._prefix(buffer, at)
            if end > len(buffer):
                break
            messages.append(Message(bytes(buffer[at + PREFIX_BYTES : end]), compressed))
            at = end
        del buffer[:at]
        self._buffer = buffer
        return messages

    def end(self) -> None:
        """The body ended here.

        Raises:
            SimpulError: In the middle of a message (REQUEST_MALFORMED).
        """
        if self._buffer:
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                f"the stream {self._hop} ended within a message; send it whole",
            )

    def _prefix(self, data: bytes | bytearray, at: int) -> tuple[bool, int]:
        """The flag of the message at `at`, and where it ends."""
        flag = data[at]
        if flag > 1:
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                f"a message {self._hop} begins with the flag {flag}; gRPC knows 0 and 1",
            )
        length = int.from_bytes(data[at + 1 : at + PREFIX_BYTES], "big")
        if length > self._max_bytes:
            raise SimpulError(
                Code.MESSAGE_TOO_LARGE,
                f"a message {self._hop} has {length} bytes, and the limit is {self._max_bytes}; "
                "split it",
                limit_bytes=str(self._max_bytes),
            )
        return flag == 1, at + PREFIX_BYTES + length


# Timeouts.


def parse_timeout(value: bytes) -> int:
    """`grpc-timeout` in whole milliseconds, rounded up.

    Raises:
        SimpulError: It isn't 1 to 8 digits and a unit (REQUEST_MALFORMED).
    """
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"grpc-timeout {value[:20]!r} isn't 1 to 8 digits and one of H M S m u n; mend it",
        )
    amount, unit = int(match[1]), match[2]
    if unit in _MS_BY_UNIT:
        return amount * _MS_BY_UNIT[unit]
    return -(-amount // _PARTS_OF_MS[unit])


def print_timeout(timeout_ms: int) -> str:
    """`grpc-timeout`, in the finest unit that fits, rounded up; no time at all is 1 ns."""
    if timeout_ms <= 0:
        return "1n"
    for unit, size_ms in (("m", 1), ("S", 1000), ("M", 60_000)):
        amount = -(-timeout_ms // size_ms)
        if amount < _MAX_DIGITS:
            return f"{amount}{unit}"
    return f"{min(-(-timeout_ms // 3_600_000), _MAX_DIGITS - 1)}H"


# Statuses.


def print_status_message(text: str) -> bytes:
    """`grpc-message`: UTF-8, with all but printable ASCII, and `%`, percent-encoded."""
    return _TO_ESCAPE.sub(lambda match: b"%%%02X" % match[0][0], text.encode("utf-8", "replace"))


def parse_status_message(value: bytes) -> str:
    """The text of `grpc-message`. What isn't percent-encoding, or isn't UTF-8, is kept readable."""
    if b"%" in value:
        value = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), value)
    return value.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Status:
    """What a header list says of a call's end."""

    code: int
    message: str


def parse_status(headers: HeaderList) -> Status | None:
    """`grpc-status` and `grpc-message`; None without the first. Nonsense is UNKNOWN, and said."""
    code: bytes | None = None
    message = b""
    for key, value in headers:
        if key == b"grpc-status" and code is None:
            code = value
        elif key == b"grpc-message":
            message = value
    if code is None:
        return None
    text = parse_status_message(message)
    if _STATUS.fullmatch(code) is not None and int(code) <= MAX_STATUS:
        return Status(int(code), text)
    said = code[:20].decode("ascii", "backslashreplace")
    return Status(
        UNKNOWN, f"grpc-status {said!r} is no gRPC status" + (f": {text}" if text else "")
    )


def status_of_http(http_status: int) -> int:
    """The gRPC status for an answer that is plain HTTP."""
    return _BY_HTTP_STATUS.get(http_status, UNKNOWN)


def is_grpc(content_type: bytes) -> bool:
    """Whether a body is gRPC's: `application/grpc`, or that with `+` or `;` and anything."""
    return content_type.startswith(CONTENT_TYPE) and content_type[16:17] in {b"", b"+", b";"}


# Metadata.


def is_metadata(key: str) -> bool:
    """Whether a header is metadata, to be carried from end to end."""
    if key.startswith(("grpc-", ":")):
        return key in _CARRIED
    return key not in _HOP


def parse_metadata(headers: HeaderList, max_bytes: int, hop: str) -> Metadata:
    """A header list's metadata in order, `-bin` values decoded, reserved headers left out.

    Args:
        headers: Names in lower case, as HTTP/2 has them.
        max_bytes: Of all headers, counted as HTTP/2 does.
        hop: Who sends to whom, for the texts: `from the app`.

    Raises:
        SimpulError: METADATA_TOO_LARGE; METADATA_MALFORMED, for a key or value that gRPC can't
            carry, or a `-bin` value that isn't base64.
    """
    found: list[tuple[str, bytes]] = []
    # First the size: nothing of what is too large is looked at.
    size = sum([len(name) + len(value) + HEADER_OVERHEAD_BYTES for name, value in headers])
    if size > max_bytes:
        raise SimpulError(
            Code.METADATA_TOO_LARGE,
            f"the metadata {hop} has {size} bytes, and the limit is {max_bytes}; send less",
            limit_bytes=str(max_bytes),
        )
    for name, value in headers:
        key, binary = _key(name)
        if key is None:
            continue
        if binary:
            # HTTP may join repeated headers with commas; base64 has none.
            found.extend([(key, _decode(part, key)) for part in value.split(b",")])
        else:
            if _PRINTABLE.fullmatch(value) is None:
                check_metadatum(key, value)
            found.append((key, value))
    return tuple(found)


def print_metadata(metadata: Metadata) -> list[tuple[bytes, bytes]]:
    """Metadata as headers, `-bin` values in base64 without padding, reserved keys left out."""
    headers = []
    for key, value in metadata:
        name, binary = _name(key)
        if name is not None:
            headers.append((name, _encode(value) if binary else value))
    return headers


@lru_cache(maxsize=_REMEMBERED_KEYS)
def _key(name: bytes) -> tuple[str | None, bool]:
    """A header's name as a metadata key, None for others; and whether its values are base64."""
    key = name.decode("latin-1")
    if not is_metadata(key):
        return None, False
    check_metadatum(key, b"")
    return key, key.endswith("-bin")


@lru_cache(maxsize=_REMEMBERED_KEYS)
def _name(key: str) -> tuple[bytes | None, bool]:
    """The other way round."""
    return key.encode("ascii") if is_metadata(key) else None, key.endswith("-bin")


def _encode(value: bytes) -> bytes:
    return base64.b64encode(value).rstrip(b"=")


def _decode(value: bytes, key: str) -> bytes:
    bare = value.strip(b" ").rstrip(b"=")
    try:
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except binascii.Error:
        raise SimpulError(
            Code.METADATA_MALFORMED, f"the value of {key} isn't base64; encode it"
        ) from None
