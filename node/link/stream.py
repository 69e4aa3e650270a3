"""The two ends of a gRPC stream that carries a link's frames, as one thing.

The dialler's end is a grpc.aio call, the acceptor's a servicer's context; the link sees frames as
bytes and never which end it is. Frames are not parsed here, so that the receiver can look at their
size first (docs/spec, "What a receiver checks", 1).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final, Protocol

import grpc
from grpc import aio

from runtime.grpc_errors import from_rpc_error, message_of, status_of, trailers_of
from security.errors import Code, SimpulError

# How long a writer waits for the reason why it can't write.
STATUS_TIMEOUT_S: Final = 1.0


class FrameStream(Protocol):
    """A stream of frames. One reader and one writer at a time."""

    async def read(self) -> bytes | None:
        """Wait for the next frame; None where the other side ended the stream in order.

        Raises:
            SimpulError: The stream broke, or the other side refused it: then with its code.
        """
        ...

    async def write(self, frame: bytes) -> None:
        """Send one frame; waits for flow control.

        Raises:
            SimpulError: The stream was over before, and nothing of the frame left (NOT_STARTED);
                or it broke meanwhile (PEER_UNREACHABLE).
        """
        ...

    async def finish(self) -> None:
        """Send no more frames; the other side may go on."""
        ...

    def close(self, error: SimpulError | None = None) -> None:
        """End the stream both ways at once; the other side is told the error's code, if any."""
        ...


class DialledStream:
    """The end of the node that opened the stream."""

    def __init__(self, call: aio.StreamStreamCall[bytes, bytes], peer: str) -> None:
        self._call = call
        self._peer = peer

    async def read(self) -> bytes | None:
        """As `FrameStream.read`."""
        try:
            frame = await self._call.read()
        except aio.AioRpcError as error:
            raise from_rpc_error(error, what=self._peer) from error
        except asyncio.CancelledError:
            # A call that this side gave up raises this in its reader; a cancelled task has asked.
            if self._call.cancelled() and not _being_cancelled():
                return None
            raise
        if isinstance(frame, bytes):
            return frame
        await self._raise_status()
        return None

    async def write(self, frame: bytes) -> None:
        """As `FrameStream.write`."""
        if self._call.done():
            raise SimpulError(
                Code.NOT_STARTED, f"the link to {self._peer} is over; the node dials it again"
            )
        try:
            await self._send(frame)
        except (aio.UsageError, aio.InternalError, asyncio.InvalidStateError) as error:
            if self._call.cancelled():
                # By this side, as its reader says too.
                raise asyncio.CancelledError from error
            # The other side's own word says more. It comes after its frames, which this side may
            # have no room to read.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STATUS_TIMEOUT_S):
                    await self._raise_status()
            raise SimpulError(
                Code.PEER_UNREACHABLE, f"the link to {self._peer} broke; the node dials it again"
            ) from error

    async def finish(self) -> None:
        """As `FrameStream.finish`."""
        with contextlib.suppress(
            aio.AioRpcError, aio.UsageError, aio.InternalError, asyncio.InvalidStateError
        ):
            await self._call.done_writing()

    def close(self, error: SimpulError | None = None) -> None:
        """As `FrameStream.close`."""
        del error  # A client can only cancel; the reason stands in this side's log.
        self._call.cancel()

    async def _send(self, frame: bytes) -> None:
        """As `aio.StreamStreamCall.write`, which overwrites the status that the other side gave.

        Where that ended the stream while this side still writes, its reason would be lost, and
        with it that nothing was started. A test beside this sees to it that it isn't.
        """
        call: Any = self._call
        await call._metadata_sent.wait()  # noqa: SLF001 - the version of grpcio is pinned
        if not call.done():
            await call._cython_call.send_serialized_message(frame)  # noqa: SLF001
            return
        raise asyncio.InvalidStateError

    async def _raise_status(self) -> None:
        code = await self._call.code()
        if code is not grpc.StatusCode.OK:
            error = aio.AioRpcError(
                code,
                await self._call.initial_metadata(),
                await self._call.trailing_metadata(),
                details=await self._call.details(),
            )
            raise from_rpc_error(error, what=self._peer)


class AcceptedStream:
    """The end of the node that was dialled; lives as long as the servicer's method."""

    def __init__(
        self,
        context: aio.ServicerContext[bytes, bytes],
        on_close: Callable[[SimpulError | None], None],
    ) -> None:
        self._context = context
        self._on_close = on_close

    async def read(self) -> bytes | None:
        """As `FrameStream.read`."""
        try:
            frame: object = await self._context.read()
        except (aio.InternalError, aio.UsageError) as error:
            raise SimpulError(
                Code.PEER_UNREACHABLE, "the link broke; the other node dials again"
            ) from error
        return frame if isinstance(frame, bytes) else None

    async def write(self, frame: bytes) -> None:
        """As `FrameStream.write`."""
        try:
            await self._context.write(frame)
        except (
            aio.InternalError,
            aio.UsageError,
            aio.AbortError,
            asyncio.InvalidStateError,
        ) as error:
            raise SimpulError(
                Code.PEER_UNREACHABLE, "the link broke; the other node dials again"
            ) from error

    async def finish(self) -> None:
        """As `FrameStream.finish`: the acceptor's direction ends when its method returns."""
        self._on_close(None)

    def close(self, error: SimpulError | None = None) -> None:
        """As `FrameStream.close`."""
        self._on_close(error)


async def abort(context: aio.ServicerContext[bytes, bytes], error: SimpulError) -> None:
    """End an accepted stream with the error's status and code."""
    await context.abort(status_of(error), message_of(error), trailers_of(error))


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
