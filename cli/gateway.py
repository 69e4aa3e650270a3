"""One call through a node's gateway, as raw bytes, of any of the four kinds.

It knows no contract and no JSON. Rules: requests and answers travel side by side, neither waits for
the other; a request that can't be made ends the call and is what is raised; how a call ended is
told apart: by Simpul (a stable code), by the service (its own status), or not reached at all.
"""

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from cli.output import CommandError, Failure, failure_of, refusal
from runtime.grpc_errors import from_rpc_error
from runtime.grpc_options import channel_options
from security.errors import Code, SimpulError

CALL_ID = "simpul-call-id"
ERROR = "simpul-error"
# The federation's policy sets the limit; the command adds none of its own.
MAX_MESSAGE_BYTES = 2**31 - 1
SERVICE_SAID = "The service itself ended the call: what it means is for its contract to say."

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[ -~]*")

Metadata = tuple[tuple[str, str | bytes], ...]
RawStream = grpc.aio.StreamStreamCall[bytes, bytes]
RawAnswers = grpc.aio.UnaryStreamCall[bytes, bytes] | RawStream


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes and what goes with it. `timeout_s` None: no deadline."""

    gateway: str
    path: str
    metadata: Metadata
    timeout_s: float | None
    client_streaming: bool = True


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended well: its id, initial and trailing metadata."""

    call_id: str | None
    headers: Metadata
    trailers: Metadata


async def run_call(
    target: Target, requests: AsyncIterator[bytes], on_message: Callable[[bytes], None]
) -> Ending:
    """Makes the call and hands over each answer as it arrives.

    Raises:
        SimpulError: what making a request raised.
        CommandError: the call failed, by whomever; the call's id is in the failure's `extra`.
    """
    options = channel_options(max_message_bytes=MAX_MESSAGE_BYTES)
    async with grpc.aio.insecure_channel(target.gateway, options=options) as channel:
        stream, sending = await _begin(channel, target, requests)
        try:
            await _receive(stream, on_message)
        except asyncio.CancelledError:
            # Cancelled by `_send`, because a request can't be made; or by the user.
            if sending.done() and not sending.cancelled() and (why := sending.exception()):
                raise why from None
            raise
        except grpc.aio.AioRpcError as error:
            raise CommandError(_failure(error, target)) from error
        finally:
            stream.cancel()
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, SimpulError):
                await sending
        headers = _metadata(await stream.initial_metadata())
        trailers = _metadata(await stream.trailing_metadata())
        return Ending(_text(trailers, CALL_ID), headers, trailers)


def header(text: str) -> tuple[str, str | bytes]:
    """Metadata from `key=value`; the value of a `-bin` key is base64.

    Raises:
        SimpulError: METADATA_MALFORMED.
    """
    key, sign, value = text.partition("=")
    if not sign:
        raise refusal(Code.METADATA_MALFORMED, f"{text!r} has no =: write metadata as key=value")
    return entry(key, value)


def entry(key: str, value: str) -> tuple[str, str | bytes]:
    """One pair of metadata, checked: gRPC itself refuses without saying which.

    Raises:
        SimpulError: METADATA_MALFORMED.
    """
    if _KEY.fullmatch(key) is None or key.startswith("grpc-"):
        raise refusal(
            Code.METADATA_MALFORMED,
            f"{key!r} is no metadata key: lower-case letters, digits and - _ . only, "
            "and not beginning with grpc-",
        )
    if key.endswith("-bin"):
        try:
            return key, base64.b64decode(value, validate=True)
        except ValueError as error:
            raise refusal(
                Code.METADATA_MALFORMED, f"the value of {key} is not base64, as a -bin key needs"
            ) from error
    if _VALUE.fullmatch(value) is None:
        raise refusal(
            Code.METADATA_MALFORMED,
            f"the value of {key} is not plain ASCII: use a key that ends in -bin, with base64",
        )
    return key, value


def shown(metadata: Metadata) -> dict[str, list[str]]:
    """Metadata for JSON: each key with its values in order; bytes as base64."""
    found: dict[str, list[str]] = {}
    for key, value in metadata:
        text = base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
        found.setdefault(key, []).append(text)
    return found


async def _begin(
    channel: grpc.aio.Channel, target: Target, requests: AsyncIterator[bytes]
) -> tuple[RawAnswers, "asyncio.Task[None]"]:
    """The call, and the task that sends its messages.

    One message goes out in one piece with the call: where messages are written one by one, grpcio
    forgets the status of a call that was refused before a message was.
    """
    metadata = grpc.aio.Metadata(*target.metadata)
    if target.client_streaming:
        stream = _streaming(channel, target.path)(metadata=metadata, timeout=target.timeout_s)
        return stream, asyncio.create_task(_send(stream, requests))
    asked = [request async for request in requests]
    call = _asking(channel, target.path)(asked[0], metadata=metadata, timeout=target.timeout_s)
    return call, asyncio.create_task(asyncio.sleep(0))


def _streaming(
    channel: grpc.aio.Channel, path: str
) -> "grpc.aio.StreamStreamMultiCallable[bytes, bytes]":
    # Whether one message comes back or many is the same on the wire.
    return channel.stream_stream(path, request_serializer=None, response_deserializer=None)


def _asking(
    channel: grpc.aio.Channel, path: str
) -> "grpc.aio.UnaryStreamMultiCallable[bytes, bytes]":
    return channel.unary_stream(path, request_serializer=None, response_deserializer=None)


async def _send(stream: RawStream, requests: AsyncIterator[bytes]) -> None:
    try:
        async for request in requests:
            await stream.write(request)
        await stream.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        # The call has ended meanwhile: the receiving side says how.
        return
    except BaseException:
        stream.cancel()
        raise


async def _receive(stream: RawAnswers, on_message: Callable[[bytes], None]) -> None:
    while True:
        data = await stream.read()
        # grpcio's mark for the end is an object of a private class.
        if not isinstance(data, bytes):
            return
        on_message(data)


def _failure(error: grpc.aio.AioRpcError, target: Target) -> Failure:
    trailers = _metadata(error.trailing_metadata())
    call_id = _text(trailers, CALL_ID)
    status = error.code()
    if _text(trailers, ERROR) is not None:
        base = failure_of(from_rpc_error(error, what="the gateway"))
    elif call_id is not None:
        base = Failure(status.name, error.details() or "no message", SERVICE_SAID)
    elif status is grpc.StatusCode.UNAVAILABLE:
        base = failure_of(
            SimpulError(Code.NOT_RUNNING, f"the gateway at {target.gateway} does not answer")
        )
    else:
        # Ended on this side: a deadline, say.
        base = failure_of(from_rpc_error(error, what="the gateway"))
    by_simpul = base.action is not SERVICE_SAID
    extra = {
        "call_id": call_id,
        "grpc_status": status.name,
        "ended_by": "simpul" if by_simpul else "service",
        "trailers": shown(trailers),
    }
    return Failure(base.code, base.message, base.action, extra)


def _metadata(raw: Iterable[tuple[str, Any]] | None) -> Metadata:
    return tuple((key, value) for key, value in raw or ())


def _text(metadata: Metadata, key: str) -> str | None:
    return next((v for k, v in metadata if k == key and isinstance(v, str)), None)
