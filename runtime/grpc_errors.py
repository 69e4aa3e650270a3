"""Errors over gRPC: one interceptor that sends them, one function that reads them back.

Outwards a `SimpulError` becomes its code's gRPC status, its message, the trailer `simpul-error`,
and `grpc-status-details-bin` with a google.rpc.ErrorInfo (domain `simpul`, reason the code,
metadata the details). Anything else that a handler raises becomes INTERNAL with a fixed text; its
own text and its traceback go to the log only, because they may hold what the peer must not see.

Inwards `from_rpc_error` makes the same `SimpulError` again. What a peer says is bounded and
cleaned, and a failure that is not Simpul's (a connection that breaks, a proxy's status) gets a text
of ours.

Rules: handlers are coroutines or asynchronous generators; a handler's own `abort` stays as it is; a
cancelled handler always leaves a status behind, because gRPC sends none by itself, and the caller
would wait until its deadline. Source: the wire standard, "Metadata the app sees";
google/rpc/status.proto.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from security.errors import ERRORS, Code, SimpulError

DOMAIN: Final = "simpul"
ERROR_TRAILER: Final = "simpul-error"
DETAILS_TRAILER: Final = "grpc-status-details-bin"

INTERNAL_TEXT: Final = "internal error: the log of the program that answered says more"
STOPPED_TEXT: Final = "the call was stopped here: try again"

# Everything below travels in headers, which have a limit of their own.
MAX_MESSAGE_CHARS: Final = 1_000
MAX_DETAILS: Final = 16
MAX_DETAIL_CHARS: Final = 300

_STATUS: Final = {status.value[0]: status for status in grpc.StatusCode}

# What a status means that carries no code of ours, seen by the side that called.
_FALLBACK: Final = {
    grpc.StatusCode.CANCELLED: Code.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Code.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Code.OVERLOADED,
    grpc.StatusCode.UNIMPLEMENTED: Code.METHOD_UNKNOWN,
}

# Names that SimpulError takes for itself: a peer that sends one as a detail does not get it.
_RESERVED: Final = frozenset({"self", "code", "message", "step"})

Trailers = tuple[tuple[str, str | bytes], ...]
Handler = Callable[[Any, Any], Any]
# Quoted: this class takes type arguments in its stubs only.
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context = grpc.aio.ServicerContext[Any, Any]

_log = structlog.stdlib.get_logger(__name__)


def status_of(error: SimpulError) -> grpc.StatusCode:
    """The gRPC status that the table names for the error's code."""
    return _STATUS[ERRORS[error.code].grpc_status]


def message_of(error: SimpulError) -> str:
    """The error's message as it may travel: one line, valid UTF-8, bounded."""
    return _clean(error.message, MAX_MESSAGE_CHARS)


def trailers_of(error: SimpulError) -> Trailers:
    """The two trailers that carry the code and the details."""
    info = error_details_pb2.ErrorInfo(reason=error.code.value, domain=DOMAIN)
    for key, value in sorted(error.details.items())[:MAX_DETAILS]:
        info.metadata[_clean(key, MAX_DETAIL_CHARS)] = _clean(str(value), MAX_DETAIL_CHARS)
    packed = any_pb2.Any()
    packed.Pack(info)
    status = status_pb2.Status(
        code=ERRORS[error.code].grpc_status, message=message_of(error), details=[packed]
    )
    return (
        (ERROR_TRAILER, error.code.value),
        (DETAILS_TRAILER, status.SerializeToString(deterministic=True)),
    )


def from_rpc_error(
    error: grpc.aio.AioRpcError,
    *,
    what: str = "the other side",
    unreachable: Code = Code.PEER_UNREACHABLE,
) -> SimpulError:
    """The `SimpulError` that the other side raised, or the one that says how the call failed.

    Args:
        error: What a `grpc.aio` call raised. Raise the result `from` it.
        what: Whom the call was for, for the texts of ours: `the registry`.
        unreachable: The code for a connection that can't be made or broke.
    """
    status = error.code()
    trailers = tuple(error.trailing_metadata() or ())
    reason = _reason(trailers)
    info = _error_info(trailers, reason)
    code = _known(reason)
    # The code and the status say one thing, or the code is not believed.
    if code is not None and _STATUS[ERRORS[code].grpc_status] is status:
        details = {} if info is None else _bounded(info)
        return SimpulError(code, _clean(error.details() or "", MAX_MESSAGE_CHARS), **details)
    if status is grpc.StatusCode.UNAVAILABLE:
        return SimpulError(unreachable, f"{what} can't be reached: {ERRORS[unreachable].action}")
    code = _FALLBACK.get(status, Code.INTERNAL)
    return SimpulError(code, f"{what} answered {status.name}: {ERRORS[code].action}")


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """The one place where an exception becomes a status. First in the server's list."""

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[MethodHandler | None]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        """Wraps the method's handler. An unknown method stays gRPC's own UNIMPLEMENTED."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        for kind in ("unary_unary", "unary_stream", "stream_unary", "stream_stream"):
            inner: Handler | None = getattr(handler, kind)
            if inner is not None:
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                wrapped: MethodHandler = make(
                    _wrap(inner, method),
                    request_deserializer=handler.request_deserializer,
                    response_serializer=handler.response_serializer,
                )
                return wrapped
        return handler


def _wrap(inner: Handler, method: str) -> Handler:
    if inspect.isasyncgenfunction(inner):

        async def stream(request: object, context: Context) -> AsyncIterator[object]:
            try:
                async with aclosing(inner(request, context)) as answers:
                    async for answer in answers:
                        yield answer
            except BaseException as error:  # noqa: BLE001  (every one is raised again, or sent)
                await _send(error, context, method)

        return stream

    async def call(request: object, context: Context) -> object:
        try:
            return await inner(request, context)
        except BaseException as error:  # noqa: BLE001  (every one is raised again, or sent)
            await _send(error, context, method)

    return call


async def _send(error: BaseException, context: Context, method: str) -> NoReturn:
    """Ends the call with the status of `error`. Always raises."""
    match error:
        case grpc.aio.AbortError() | GeneratorExit() | KeyboardInterrupt() | SystemExit():
            raise error
        case asyncio.CancelledError():
            await _abort_quietly(context)
            raise error
        case SimpulError():
            set_before = tuple(context.trailing_metadata() or ())
            trailers = (*set_before, *trailers_of(error))
            await context.abort(status_of(error), message_of(error), trailers)
        case grpc.aio.BaseError() if context.done():
            # A write to a peer that is gone: nobody is left to tell.
            raise error
        case _:
            _log.error("handler failed", method=method, exc_info=error)
            internal = SimpulError(Code.INTERNAL, INTERNAL_TEXT)
            await context.abort(status_of(internal), INTERNAL_TEXT, trailers_of(internal))


async def _abort_quietly(context: Context) -> None:
    try:
        await context.abort(grpc.StatusCode.UNAVAILABLE, STOPPED_TEXT)
    except grpc.aio.BaseError:
        # AbortError: sent. InternalError, UsageError: the peer had gone, which is why we are here.
        return


def _error_info(trailers: Trailers, reason: str) -> error_details_pb2.ErrorInfo | None:
    for key, value in trailers:
        if key != DETAILS_TRAILER or not isinstance(value, bytes):
            continue
        try:
            status = status_pb2.Status.FromString(value)
            for packed in status.details:
                info = error_details_pb2.ErrorInfo()
                if packed.Unpack(info) and (info.domain, info.reason) == (DOMAIN, reason):
                    return info
        except DecodeError:
            return None
    return None


def _reason(trailers: Trailers) -> str:
    """The short trailer alone says whose error it is.

    A service may put what it likes into the details, and they are carried as they are; its
    `simpul-error` never passes a node.
    """
    return next((str(value) for key, value in trailers if key == ERROR_TRAILER), "")


def _known(reason: str) -> Code | None:
    try:
        return Code(reason)
    except ValueError:
        return None


def _bounded(info: error_details_pb2.ErrorInfo) -> dict[str, str]:
    return {
        _clean(key, MAX_DETAIL_CHARS): _clean(value, MAX_DETAIL_CHARS)
        for key, value in sorted(info.metadata.items())[:MAX_DETAILS]
        if key not in _RESERVED
    }


def _clean(text: str, max_chars: int) -> str:
    """One line of printable text: a peer's control characters don't reach a terminal or a log."""
    valid = text.encode("utf-8", "replace").decode("utf-8")
    printable = "".join(c if c.isprintable() else " " for c in valid)
    return printable if len(printable) <= max_chars else printable[: max_chars - 1] + "…"
