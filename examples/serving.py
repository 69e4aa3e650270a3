"""What the demo's two servers share: an address to listen on, a clean stop, and error statuses.

`run` prints one line, `listening on ADDRESS`, when calls are taken, and returns after SIGTERM or
SIGINT. Each servicer wraps its work in `answering`, which turns errors.py into gRPC statuses, and
reads a stream whose end matters through `until_half_close`.
There is no TLS and no login here: a service is reached on loopback or a Unix socket, by its node.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias, TypeVar

import grpc

from examples.errors import InvalidArgumentError, NotFoundError, TooMuchError

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request")

STOP_GRACE_S: Final = 1.0
# Two were enough in trials of cancelled and expired calls.
READS_PAST_END: Final = 8
SERVER_OPTIONS: Final = (
    # Without this a second server on the same port would start, and silently share its calls.
    ("grpc.so_reuseport", 0),
)
_STATUS: Final[dict[type[Exception], grpc.StatusCode]] = {
    InvalidArgumentError: grpc.StatusCode.INVALID_ARGUMENT,
    NotFoundError: grpc.StatusCode.NOT_FOUND,
    TooMuchError: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@asynccontextmanager
async def answering(context: Context) -> AsyncIterator[None]:
    """End the call with the status and message of an error that errors.py names."""
    try:
        yield
    except tuple(_STATUS) as error:
        await context.abort(_STATUS[type(error)], str(error))


async def until_half_close(
    requests: AsyncIterator[Request], context: Context
) -> AsyncIterator[Request]:
    """Yield the caller's messages, and end only where the caller has half-closed.

    grpc.aio ends the messages of a caller who cancelled, or whose time ran out, in just the same
    way, and cancels the handler a little later. Reading past the end lets that come first.
    """
    async for request in requests:
        yield request
    for _ in range(READS_PAST_END):
        await context.read()


def run(listen: str, add_services: Callable[[grpc.aio.Server], None]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 0 stopped, 1 could not listen.

    `listen` is HOST:PORT (port 0: a free one) or unix:PATH. Calls under way at the signal have
    STOP_GRACE_S to end.
    """
    return asyncio.run(_serve(listen, add_services))


async def _serve(listen: str, add_services: Callable[[grpc.aio.Server], None]) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = grpc.aio.server(options=SERVER_OPTIONS)
    add_services(server)
    try:
        address = _bind(server, listen)
    except RuntimeError:  # grpc's error for a bad address, a port in use, a missing folder.
        sys.stderr.write(f"can't listen on {listen}: in use, or no address of this machine\n")
        return 1
    await server.start()
    sys.stdout.write(f"listening on {address}\n")
    sys.stdout.flush()
    await stop.wait()
    await server.stop(STOP_GRACE_S)
    return 0


def _bind(server: grpc.aio.Server, listen: str) -> str:
    port = server.add_insecure_port(listen)
    if listen.startswith("unix:"):
        return listen
    return f"{listen.rpartition(':')[0]}:{port}"
