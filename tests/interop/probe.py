"""A service whose behaviour each test says: one method of each kind, messages of any bytes.

It runs in a thread with an event loop of its own, beside the service of the interoperability cases.
A test registers a coroutine, and the call that names it in `x-probe` is answered by that: it gets a
`Side`, which reads, writes and ends as it likes, and keeps what it saw for the test to look at.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc import aio

from tests.interop import service

SERVICE = "simpul.testing.v1.Probe"
KEY = "x-probe"
UNARY, SERVER, CLIENT, BIDI = KINDS = ("Unary", "ServerStream", "ClientStream", "BidiStream")
WAIT_S = 10.0

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass
class Side:
    """One call, as the service sees it."""

    context: Any
    method: str
    metadata: Metadata
    timeout_s: float | None
    received: list[bytes] = field(default_factory=list)
    # The request stream's end was seen; a Python server can't tell a clean one from an abort.
    half_closed: bool = False
    cancelled_at: float | None = None
    done: "Future[Side]" = field(default_factory=Future)

    async def read(self) -> bytes | None:
        """The next request; None at the end."""
        message = await self.context.read()
        if isinstance(message, bytes):
            self.received.append(message)
            return message
        self.half_closed = True
        return None

    async def read_all(self) -> list[bytes]:
        """Every request to the end."""
        while await self.read() is not None:
            pass
        return self.received

    async def write(self, message: bytes) -> None:
        """One answer."""
        await self.context.write(message)

    async def headers(self, *metadata: tuple[str, str | bytes]) -> None:
        """Initial metadata, now."""
        await self.context.send_initial_metadata(metadata)

    def trailers(self, *metadata: tuple[str, str | bytes]) -> None:
        """Trailing metadata, with the end."""
        self.context.set_trailing_metadata(metadata)

    async def abort(self, code: int, message: str, *metadata: tuple[str, str | bytes]) -> None:
        """End with this status."""
        found = next(each for each in grpc.StatusCode if each.value[0] == code)
        await self.context.abort(found, message, metadata)

    def values(self, key: str) -> list[str | bytes]:
        """What the caller sent under `key`."""
        return [value for name, value in self.metadata if name == key]


Behaviour = Callable[[Side], Awaitable[None]]


class Probe:
    """The service, from the tests' side."""

    def __init__(self) -> None:
        self._behaviours: dict[str, Behaviour] = {}
        self._calls: dict[str, list[Side]] = {}
        self._number = 0

    def behave(self, behaviour: Behaviour) -> str:
        """What calls with the returned value in `x-probe` are answered by."""
        self._number += 1
        name = f"{self._number}"
        self._behaviours[name], self._calls[name] = behaviour, []
        return name

    def calls(self, name: str) -> list[Side]:
        """The calls that came for it so far."""
        return list(self._calls[name])

    def wait(self, name: str, count: int = 1) -> list[Side]:
        """Waits until so many calls have ended at the service."""
        deadline = time.monotonic() + WAIT_S
        while len(self._calls[name]) < count:
            assert time.monotonic() < deadline, f"{len(self._calls[name])} of {count} calls came"
            time.sleep(0.002)
        found = self.calls(name)
        for side in found:
            side.done.result(max(0.0, deadline - time.monotonic()))
        return found

    def handlers(self) -> grpc.GenericRpcHandler:
        """For a server: every method reads and writes as it likes."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {kind: grpc.stream_stream_rpc_method_handler(self._handler(kind)) for kind in KINDS},
        )

    def _handler(self, method: str) -> Any:
        async def handle(_requests: object, context: Any) -> None:
            metadata = tuple((k, v) for k, v in context.invocation_metadata())
            side = Side(context, method, metadata, context.time_remaining())
            (name,) = side.values(KEY)
            self._calls[str(name)].append(side)
            try:
                await self._behaviours[str(name)](side)
            except asyncio.CancelledError:
                side.cancelled_at = time.monotonic()
                raise
            except (aio.InternalError, aio.UsageError):
                # What a handler gets in `read` and `write` when its caller is gone.
                side.cancelled_at = time.monotonic()
            finally:
                side.done.set_result(side)

        return handle


@dataclass(frozen=True)
class Running:
    """Both services of the tests, on one port."""

    target: str
    probe: Probe


@contextmanager
def running() -> Iterator[Running]:
    """Runs the services in a thread for a block."""
    probe, started, loop = Probe(), Future[int](), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        server, port = await service.serve(0, probe.handlers())
        started.set_result(port)
        await stop.wait()
        await server.stop(0)
        # Handlers that `stop` cancelled end a moment later.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest, timeout=1)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    try:
        yield Running(f"127.0.0.1:{started.result(WAIT_S)}", probe)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(WAIT_S)
        loop.close()
