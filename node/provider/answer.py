"""A service's answer, whatever it is, as events: headers, messages, and trailers once at the end.

Rules: never an exception for what a service does. It answers plain HTTP, breaks gRPC, resets the
stream, goes away, is too slow or says too much: each is the gRPC status that the specification
names. `simpul-error` stands only where this node, and not the service, ended the call.

Source: gRPC over HTTP/2, "Responses" and "HTTP2 Transport Mapping, Errors"; HTTP to gRPC status
mapping.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from pyqwest import (
    HTTPTransport,
    ReadError,
    RemoteProtocolError,
    Request,
    Response,
    StreamError,
    StreamErrorCode,
    WriteError,
)

from node.calls import Headers, Message, Trailers
from node.gateway.framing import (
    HEADER_OVERHEAD_BYTES,
    UNKNOWN,
    HeaderList,
    MessageParser,
    is_grpc,
    parse_metadata,
    parse_status,
    status_of_http,
)
from node.gateway.limits import CallLimits
from node.gateway.refusal import refusal
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

HOP: Final = "from the service"
Emit = Callable[[Headers | Message], Awaitable[None]]

# What pyqwest takes in one block of headers, and what it says of a breach of HTTP/2.
MAX_HEADERS_KIB: Final = 16
MAX_TRAILERS_BYTES: Final = 15 * 1024
_BREACHES: Final = ("protocol error detected", "header compression context")
_OK: Final = 200
_INTERNAL: Final = 13
_UNAVAILABLE: Final = 14
# Statuses for a reset stream; every other code is INTERNAL.
_BY_RESET: Final = {
    StreamErrorCode.REFUSED_STREAM: 14,
    StreamErrorCode.CANCEL: 1,
    StreamErrorCode.ENHANCE_YOUR_CALM: 8,
    StreamErrorCode.INADEQUATE_SECURITY: 7,
}


async def ask(
    transport: HTTPTransport,
    request: Request,
    limits: CallLimits,
    timeout_ms: int | None,
    emit: Emit,
) -> Trailers:
    """Send a request, give the answer's events to `emit` as they come, and return its end.

    Cancelling the waiting task resets the stream; that is the one exception which leaves.
    """
    timeout = asyncio.timeout(None if timeout_ms is None else timeout_ms / 1000)
    try:
        async with timeout:
            response = await transport.execute(request)
            try:
                return await _read(response, limits, emit)
            finally:
                await response.aclose()
    except SimpulError as error:
        return refusal(_as_ours(error))
    except StreamError as error:
        status = _BY_RESET.get(error.code, _INTERNAL)
        return Trailers(status, f"the service reset the stream: {error.code.name}")
    except (ConnectionError, TimeoutError) as error:
        if timeout.expired():
            return refusal(
                SimpulError(Code.DEADLINE_EXCEEDED, "the service did not answer in time")
            )
        return _unreachable(request, error)
    except (ReadError, WriteError, RemoteProtocolError) as error:
        _log.info("service broke off", url=request.url, why=str(error))
        return _broken(error)
    except Exception:  # noqa: BLE001 - logged whole, and the provider's side still ends in order
        _log.exception("service could not be called", url=request.url)
        return refusal(SimpulError(Code.INTERNAL, "the provider's node failed; its log says why"))


async def _read(response: Response, limits: CallLimits, emit: Emit) -> Trailers:
    head = _pairs(response)
    content_type = response.headers.get("content-type", "").encode("latin-1", "replace")
    if response.status != _OK or not is_grpc(content_type):
        return _plain_http(response.status, content_type, head)
    metadata = parse_metadata(head, limits.max_metadata_bytes, HOP)
    status = parse_status(head)
    if status is not None:
        # Trailers-Only: the stream ended with its headers.
        return Trailers(status.code, status.message, metadata)
    await emit(Headers(metadata))
    parser = MessageParser(limits.max_message_bytes, HOP)
    async for chunk in response.content:
        for message in parser.feed(bytes(chunk)):
            await emit(message)
    tail = [(key.encode(), value.encode("latin-1")) for key, value in response.trailers.items()]
    _check_trailers(tail)
    status = parse_status(tail)
    if status is None:
        return Trailers(UNKNOWN, "the service ended the call without a status")
    if status.code == 0:
        parser.end()
    return Trailers(
        status.code, status.message, parse_metadata(tail, limits.max_metadata_bytes, HOP)
    )


def _check_trailers(tail: list[tuple[bytes, bytes]]) -> None:
    """Refuse trailers that are about as large as any that come whole.

    Of larger ones the library drops those past its limit without a word, so what is left is near
    it, unless a single one is larger than all the rest may be.
    """
    size = sum(len(key) + len(value) + HEADER_OVERHEAD_BYTES for key, value in tail)
    if size > MAX_TRAILERS_BYTES:
        raise SimpulError(
            Code.METADATA_TOO_LARGE,
            f"the trailing metadata {HOP} has over {MAX_TRAILERS_BYTES} bytes, which is the limit "
            "there; send less",
            limit_bytes=str(MAX_TRAILERS_BYTES),
        )


def _pairs(response: Response) -> HeaderList:
    return [(key.encode(), value.encode("latin-1")) for key, value in response.headers.items()]


def _plain_http(http_status: int, content_type: bytes, head: HeaderList) -> Trailers:
    """Something answered that is no gRPC server, or a proxy before one."""
    status = parse_status(head)
    if status is not None:
        return Trailers(status.code, status.message)
    said = content_type[:60].decode("ascii", "replace")
    return Trailers(
        status_of_http(http_status),
        f"the service answered HTTP {http_status} with content-type {said!r}, which is not gRPC",
    )


def _as_ours(error: SimpulError) -> SimpulError:
    """A fault in what the service says is not the app's fault."""
    if error.code in {Code.REQUEST_MALFORMED, Code.METADATA_MALFORMED}:
        return SimpulError(Code.INTERNAL, f"the service breaks gRPC: {error.message}")
    return error


def _broken(error: BaseException) -> Trailers:
    # The library has one type for a service that went away and for one that breaks HTTP/2, and for
    # headers past its own limit, which it tells every service.
    if isinstance(error, RemoteProtocolError) or any(each in str(error) for each in _BREACHES):
        return Trailers(
            _INTERNAL,
            f"the service's answer breaks HTTP/2, or its headers are over {MAX_HEADERS_KIB} KiB, "
            "which is the limit from the service to the provider's node; mend the service",
        )
    return Trailers(_UNAVAILABLE, "the connection to the service broke during the call")


def _unreachable(request: Request, error: BaseException) -> Trailers:
    # Where the service lies is not the app's business: that stands in the log only.
    _log.warning("service unreachable", url=request.url, why=str(error))
    return refusal(
        SimpulError(
            Code.SERVICE_UNREACHABLE,
            "the provider's node can't reach the service; its operators must start it",
        )
    )
