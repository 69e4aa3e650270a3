"""What a service's answer means, whatever it is: headers, messages, and trailers once at the end.

Pure. Rules: never an exception for what a service does. It answers plain HTTP, breaks gRPC, resets
the stream, goes away, is too slow or says too much: each is the gRPC status that the specification
names. `simpul-error` stands only where this node, and not the service, ended the call.

Source: gRPC over HTTP/2, "Responses" and "HTTP2 Transport Mapping, Errors"; HTTP to gRPC status
mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node.calls import Headers, Metadata, Trailers
from node.gateway.framing import (
    UNKNOWN,
    HeaderList,
    Status,
    is_grpc,
    parse_metadata,
    parse_status,
    status_of_http,
)
from node.gateway.refusal import refusal
from node.provider.frames import Reset
from security.errors import Code, SimpulError

HOP: Final = "from the service"

_OK: Final = 200
_INFORMATIONAL: Final = range(100, 200)
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14
# Statuses for a reset stream; every other code is INTERNAL.
_BY_RESET: Final = {
    Reset.REFUSED_STREAM: 14,
    Reset.CANCEL: 1,
    Reset.ENHANCE_YOUR_CALM: 8,
    Reset.INADEQUATE_SECURITY: 7,
}
_WITHOUT_STATUS: Final = Trailers(UNKNOWN, "the service ended the call without a status")


@dataclass(frozen=True, slots=True)
class Block:
    """What one header list of a service says, at the beginning of an answer or at its end."""

    # None where the list has none that is a number: it can begin no answer.
    http_status: int | None
    content_type: bytes
    status: Status | None
    # Or why it can't be carried.
    metadata: Metadata | SimpulError

    @property
    def informational(self) -> bool:
        """It comes before the answer, and says nothing of it."""
        return self.http_status in _INFORMATIONAL


def read_block(fields: HeaderList, max_metadata_bytes: int) -> Block:
    """Understand a header list."""
    fields = list(fields)
    http_status: int | None = None
    content_type = b""
    for name, value in fields:
        if name == b":status" and value.isdigit():
            http_status = int(value[:4])
        elif name == b"content-type":
            content_type = value
    try:
        metadata: Metadata | SimpulError = parse_metadata(fields, max_metadata_bytes, HOP)
    except SimpulError as error:
        metadata = error
    return Block(http_status, content_type, parse_status(fields), metadata)


def too_large_block(max_metadata_bytes: int) -> Block:
    """A header list that was not read, because it is far over the limit."""
    error = SimpulError(
        Code.METADATA_TOO_LARGE,
        f"the metadata {HOP} is over {max_metadata_bytes} bytes, which is the limit; send less",
        limit_bytes=str(max_metadata_bytes),
    )
    return Block(_OK, b"application/grpc", Status(UNKNOWN, ""), error)


def begin(block: Block) -> Headers | Trailers:
    """What an answer's first header list says: trailers where it is also the end."""
    if block.http_status != _OK or not is_grpc(block.content_type):
        return _plain_http(block)
    if block.status is not None:
        # Trailers-Only.
        return end(block)
    if isinstance(block.metadata, SimpulError):
        return fault(block.metadata)
    return Headers(block.metadata)


def end(block: Block | None) -> Trailers:
    """What an answer's last header list says; None where the stream ended without."""
    if block is None:
        return _WITHOUT_STATUS
    if isinstance(block.metadata, SimpulError):
        return fault(block.metadata)
    if block.status is None:
        return _WITHOUT_STATUS
    return Trailers(block.status.code, block.status.message, block.metadata)


def fault(error: SimpulError) -> Trailers:
    """The end of a call for a fault that this node found in the answer."""
    if error.code in {Code.REQUEST_MALFORMED, Code.METADATA_MALFORMED}:
        # A fault in what the service says is not the app's fault.
        error = SimpulError(Code.INTERNAL, f"the service breaks gRPC: {error.message}")
    return refusal(error)


def reset(code: int) -> Trailers:
    """The service gave the stream up."""
    try:
        known = Reset(code)
    except ValueError:
        return Trailers(_INTERNAL, f"the service reset the stream: {code}")
    status = _BY_RESET.get(known, _INTERNAL)
    return Trailers(status, f"the service reset the stream: {known.name}")


def not_begun() -> Trailers:
    """The service is about to stop, and said that it has not looked at the call."""
    return Trailers(_UNAVAILABLE, "the service is about to stop, and has not begun the call")


def lost() -> Trailers:
    """The connection ended before the answer did."""
    return Trailers(_UNAVAILABLE, "the connection to the service broke during the call")


def broken() -> Trailers:
    """The service's end of the connection breaks HTTP/2."""
    return Trailers(_INTERNAL, "the service's answer breaks HTTP/2; mend the service")


def too_late() -> Trailers:
    """The call's time is up."""
    return refusal(SimpulError(Code.DEADLINE_EXCEEDED, "the service did not answer in time"))


def too_many() -> Trailers:
    """A second message in a unary answer: enough is known, and a stream would fill the memory."""
    return refusal(
        SimpulError(
            Code.INTERNAL,
            "the service answered a unary call with many messages; mend its contract",
        )
    )


def _plain_http(block: Block) -> Trailers:
    """Something answered that is no gRPC server, or a proxy before one."""
    if block.status is not None:
        return Trailers(block.status.code, block.status.message)
    if block.http_status is None:
        return broken()
    said = block.content_type[:60].decode("ascii", "replace")
    return Trailers(
        status_of_http(block.http_status),
        f"the service answered HTTP {block.http_status} with content-type {said!r}, "
        "which is not gRPC",
    )
