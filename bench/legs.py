"""What carries a call to a service, measured alone: the numbers of docs/adr/0009.

    python -m bench.legs

One process with one event loop asks nginx, which answers with a framed file: unary calls of 1 KiB,
1, 32 and 256 at once, in turn, several rounds, medians, with the processor time that a call costs
this process, its threads included. Then 100 server streams of 2,000 messages of 20 bytes, at once,
from a service on grpc.aio.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop
from grpc import aio
from pyqwest import Headers as HttpHeaders
from pyqwest import HTTPTransport, HTTPVersion, Request

from bench.load import find_nginx
from bench.services import BENCH, frame, write_files
from bench.ways import free_port
from node.calls import Headers, Message, OutboundRequest, Trailers
from node.gateway.framing import MessageParser
from node.gateway.limits import CallLimits
from node.provider.services import HttpServices
from runtime.grpc_options import channel_options

ROUNDS: Final = 5
CALLS: Final = {1: 1000, 32: 6000, 256: 12_000}
STREAMS: Final = 100
MESSAGES: Final = 2000
PATH: Final = f"/{BENCH}/Unary1k"
METADATA: Final = (("x-request", b"1"), ("simpul-from", b"ID/KEMENTERIAN/KOMDIGI/superapp"))

Unary = Callable[[bytes], Awaitable[bytes]]
Stream = Callable[[], Awaitable[int]]


class Legs:
    """The three ways to ask."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._services = HttpServices(CallLimits())
        self._channel = aio.insecure_channel(target, options=channel_options())
        self._grpc: Any = self._channel.unary_unary(PATH)
        self._grpc_stream: Any = self._channel.unary_stream("/t.T/Many")
        self._http = HTTPTransport(
            http_version=HTTPVersion.HTTP2, enable_gzip=False, enable_brotli=False,
            enable_zstd=False, enable_otel=False,
        )  # fmt: skip

    async def close(self) -> None:
        """All of them."""
        await self._services.close()
        await self._channel.close()
        await self._http.aclose()

    async def ours(self, data: bytes) -> bytes:
        """`node.provider`."""
        request = OutboundRequest(PATH, METADATA, 10_000)
        got = await self._services.unary(self._target, request, Message(data))
        assert got.trailers.status == 0, got.trailers
        assert got.message is not None
        return got.message.data

    async def grpc_aio(self, data: bytes) -> bytes:
        """A channel of grpcio's."""
        metadata = tuple((key, value.decode()) for key, value in METADATA)
        answer: bytes = await self._grpc(data, metadata=metadata, timeout=10)
        return answer

    async def pyqwest(self, data: bytes) -> bytes:
        """hyper, in Rust."""
        headers = [
            ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "10S"),
            *((key, value.decode()) for key, value in METADATA),
        ]  # fmt: skip
        url = f"http://{self._target}{PATH}"
        response = await self._http.execute(Request("POST", url, HttpHeaders(headers), frame(data)))
        body = b"".join([bytes(chunk) async for chunk in response.content])
        assert response.trailers["grpc-status"] == "0"
        return body[5:]

    async def ours_stream(self) -> int:
        """Counts the messages of a server stream."""
        call = self._services.start(self._target, OutboundRequest("/t.T/Many", (), None))
        await call.send(Message(b""))
        count = 0
        while not isinstance(event := await call.receive(), Trailers):
            count += not isinstance(event, Headers)
        assert event.status == 0, event
        return count

    async def grpc_aio_stream(self) -> int:
        """The same."""
        return len([None async for _ in self._grpc_stream(b"")])

    async def pyqwest_stream(self) -> int:
        """The same."""
        headers = [("content-type", "application/grpc"), ("te", "trailers")]
        url = f"http://{self._target}/t.T/Many"
        response = await self._http.execute(Request("POST", url, HttpHeaders(headers), frame(b"")))
        parser = MessageParser(1 << 20, "")
        count = 0
        async for chunk in response.content:
            count += len(parser.feed(bytes(chunk)))
        return count


async def measure(ask: Unary, concurrency: int) -> tuple[float, float]:
    """Calls a second, and microseconds of processor time for each."""
    left = CALLS[concurrency]
    data = bytes(1024)

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            assert len(await ask(data)) == len(data)

    began, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one() for _ in range(concurrency)))
    took, used = time.perf_counter() - began, time.process_time() - used
    return CALLS[concurrency] / took, used / CALLS[concurrency] * 1e6


async def _many(_request: bytes, _context: object) -> AsyncIterator[bytes]:
    for _ in range(MESSAGES):
        yield b"x" * 20


class _Many(grpc.GenericRpcHandler):
    def service(self, _details: grpc.HandlerCallDetails) -> Any:  # noqa: ANN401 - no public base
        return grpc.unary_stream_rpc_method_handler(_many)


async def _unary(target: str) -> None:
    legs = Legs(target)
    asks = {"ours": legs.ours, "grpc.aio": legs.grpc_aio, "pyqwest": legs.pyqwest}
    print("leg         at once   calls/s   us of processor time for a call")
    for concurrency in CALLS:
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in asks}
        for _ in range(ROUNDS):
            for name, ask in asks.items():
                found[name].append(await measure(ask, concurrency))
        for name, samples in found.items():
            rate, used = (statistics.median(column) for column in zip(*samples, strict=True))
            print(f"{name:10} {concurrency:8}  {rate:8,.0f}  {used:8.0f}")
    await legs.close()


async def _streams() -> None:
    server = aio.server()
    server.add_generic_rpc_handlers((_Many(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    legs = Legs(f"127.0.0.1:{port}")
    print(f"\n{STREAMS} server streams of {MESSAGES} small messages at once: whole ones, seconds")
    asks = {
        "ours": legs.ours_stream, "grpc.aio": legs.grpc_aio_stream, "pyqwest": legs.pyqwest_stream
    }  # fmt: skip
    for name, ask in asks.items():
        began = time.perf_counter()
        counts = await asyncio.gather(*(ask() for _ in range(STREAMS)), return_exceptions=True)
        whole = sum(count == MESSAGES for count in counts)
        broken = {str(count)[:90] for count in counts if isinstance(count, BaseException)}
        print(f"{name:10} {whole:4}  {time.perf_counter() - began:6.1f} s  {broken or ''}")
    await legs.close()
    await server.stop(0)


async def main() -> None:
    """Both."""
    with tempfile.TemporaryDirectory(prefix="legs-") as place:
        port = free_port()
        config = write_files(Path(place), port)
        nginx = await asyncio.create_subprocess_exec(find_nginx(), "-c", config)
        try:
            await asyncio.sleep(0.5)
            await _unary(f"127.0.0.1:{port}")
        finally:
            nginx.terminate()
            await nginx.wait()
    await _streams()


if __name__ == "__main__":
    uvloop.run(main())
