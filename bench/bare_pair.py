"""The bare pair: two pass-through proxies on grpc.aio with mutual TLS between them, nothing else.

What a good engineer writes in an hour instead of choosing Simpul: raw bytes, metadata, deadlines
and statuses go through; nothing is signed, checked or recorded. It is given every advantage that
costs a few lines: uvloop, and grpc.aio's unary path for the methods that are unary, which is two
and a half times as fast as its streams.

    python -m bench.bare_pair far  --tls DIR --route bench.v1.Bench=127.0.0.1:P …
    python -m bench.bare_pair near --tls DIR --peer 127.0.0.1:P

Each prints `listening on HOST:PORT` when it serves.
"""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop
from grpc import aio

from bench.tls import NAME
from runtime.grpc_options import channel_options, server_options

# Their own headers of each hop, which the library sets.
_HOP: Final = frozenset({"user-agent", "te", "content-type", "host"})
Metadata = tuple[tuple[str, str | bytes], ...]


def _passed_on(metadata: Any) -> Metadata:  # noqa: ANN401 - grpcio's metadata has no one type
    return tuple(
        (key, value)
        for key, value in metadata or ()
        if key not in _HOP and not key.startswith("grpc-")
    )


class PassThrough(grpc.GenericRpcHandler):
    """Hands every call on by the longest prefix of its path; "" is the way for all."""

    def __init__(self, ways: Mapping[str, aio.Channel]) -> None:
        self._ways = ways

    def service(self, details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - no public base
        """Choose the handler of a call."""
        path = str(details.method)
        service, _, method = path[1:].partition("/")
        channel = self._ways.get(service) or self._ways[""]
        if method.startswith("Unary"):
            return grpc.unary_unary_rpc_method_handler(_unary(channel, path))
        return grpc.stream_stream_rpc_method_handler(_stream(channel, path))


def _unary(channel: aio.Channel, path: str) -> Any:  # noqa: ANN401 - raw bytes, no stubs
    way: Any = channel.unary_unary(path)

    async def handle(request: bytes, context: Any) -> Any:  # noqa: ANN401
        call = way(
            request,
            metadata=_passed_on(context.invocation_metadata()),
            timeout=context.time_remaining(),
        )
        try:
            answer = await call
        except aio.AioRpcError as error:
            trailers = _passed_on(error.trailing_metadata())
            await context.abort(error.code(), error.details() or "", trailers)
            return None
        # They have arrived with the answer, so neither is waited for.
        if head := _passed_on(await call.initial_metadata()):
            await context.send_initial_metadata(head)
        if trailers := _passed_on(await call.trailing_metadata()):
            context.set_trailing_metadata(trailers)
        return answer

    return handle


def _stream(channel: aio.Channel, path: str) -> Any:  # noqa: ANN401
    way: Any = channel.stream_stream(path)

    async def handle(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[Any]:  # noqa: ANN401
        call = way(
            requests,
            metadata=_passed_on(context.invocation_metadata()),
            timeout=context.time_remaining(),
        )
        try:
            await context.send_initial_metadata(_passed_on(await call.initial_metadata()))
            async for answer in call:
                yield answer
        except aio.AioRpcError as error:
            trailers = _passed_on(error.trailing_metadata())
            await context.abort(error.code(), error.details() or "", trailers)
        context.set_trailing_metadata(_passed_on(await call.trailing_metadata()))

    return handle


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    key, chain, authority = (
        (options.tls / name).read_bytes() for name in ("key.pem", "cert.pem", "ca.pem")
    )
    server = aio.server(options=server_options())
    if options.end == "near":
        credentials = grpc.ssl_channel_credentials(authority, key, chain)
        peer = aio.secure_channel(
            options.peer, credentials, options=channel_options(target_name=NAME)
        )
        ways = {"": peer}
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        ways = {
            service: aio.insecure_channel(target, options=channel_options())
            for service, _, target in (route.partition("=") for route in options.route)
        }
        port = server.add_secure_port(
            "127.0.0.1:0",
            grpc.ssl_server_credentials([(key, chain)], authority, require_client_auth=True),
        )
    server.add_generic_rpc_handlers((PassThrough(ways),))
    await server.start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    await server.stop(0)
    await asyncio.gather(*(channel.close() for channel in ways.values()))


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("end", choices=["near", "far"])
    parser.add_argument("--tls", type=Path, required=True)
    parser.add_argument("--peer", default="")
    parser.add_argument("--route", action="append", default=[])
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
