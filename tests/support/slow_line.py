"""A line between two nodes that is slow and far, in userspace: what loopback can't show.

Every connection through it shares one rate each way, piece by piece in turn, as a router with fair
queues (Linux' default) would have it; every piece arrives later by the delay. Little is held on the
way: a sender that sends more than the line takes feels it, as on a real one.

It runs in a thread with an event loop of its own, so that what it paces can't slow it.
"""

import asyncio
import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

PIECE = 4096
# Of one connection, each way: what a router keeps for a flow.
QUEUE_BYTES = 64 * 1024
# Of the sockets to either side, so that the kernel does not buffer what the line should.
SOCKET_BYTES = 32 * 1024
START_S = 5.0


@dataclass(frozen=True)
class Line:
    """What a line is like. `delay_s` is one way."""

    bits_per_s: float = 50e6
    delay_s: float = 0.010


@dataclass(frozen=True)
class Running:
    """A line that is up: what connects to `port` comes out at its target."""

    port: int
    carried: dict[str, int]


class _Way:
    """One direction of the line: deals its rate out to the connections in turn."""

    def __init__(self, line: Line, name: str, carried: dict[str, int]) -> None:
        self._line = line
        self._name = name
        self._carried = carried
        self._turns: deque[_Flow] = deque()
        self._woken = asyncio.Event()

    def ready(self, flow: "_Flow") -> None:
        """A connection has a piece for the line."""
        if flow not in self._turns:
            self._turns.append(flow)
            self._woken.set()

    async def run(self) -> None:
        """Move pieces, each in the time that it takes."""
        loop = asyncio.get_running_loop()
        free_s = loop.time()
        while True:
            while not self._turns:
                self._woken.clear()
                await self._woken.wait()
                free_s = max(free_s, loop.time())
            flow = self._turns.popleft()
            piece = flow.take()
            if flow.waiting:
                self._turns.append(flow)
            free_s += len(piece) * 8 / self._line.bits_per_s
            self._carried[self._name] += len(piece)
            loop.call_at(free_s + self._line.delay_s, flow.arrive, piece)
            # Timers are coarse: being early by a little evens out.
            if free_s - loop.time() > 0.001:
                await asyncio.sleep(free_s - loop.time())


class _Flow:
    """One connection in one direction."""

    def __init__(self, way: _Way, writer: asyncio.StreamWriter) -> None:
        self._way = way
        self._writer = writer
        self._queue: deque[bytes] = deque()
        self._held = 0
        self._on_way = 0
        self._room = asyncio.Event()
        self._room.set()

    @property
    def waiting(self) -> bool:
        """It has pieces that are not on their way."""
        return bool(self._queue)

    async def put(self, data: bytes) -> None:
        """Take what the sender sent; waits where the queue is full."""
        for at in range(0, len(data), PIECE):
            piece = data[at : at + PIECE]
            self._queue.append(piece)
            self._held += len(piece)
        self._way.ready(self)
        while self._held >= QUEUE_BYTES:
            self._room.clear()
            await self._room.wait()
        # The receiver reads slowly: the line stands still for this connection.
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def take(self) -> bytes:
        """The next piece leaves."""
        piece = self._queue.popleft()
        self._held -= len(piece)
        self._on_way += 1
        self._room.set()
        return piece

    def arrive(self, piece: bytes) -> None:
        """A piece comes out at the other end."""
        self._on_way -= 1
        if not self._writer.is_closing():
            self._writer.write(piece)

    async def end(self) -> None:
        """The sender has ended: so does this direction, when all has arrived."""
        while self._queue or self._on_way:
            await asyncio.sleep(0.005)
        with contextlib.suppress(OSError):
            self._writer.write_eof()


class _Proxy:
    def __init__(self, line: Line, target: tuple[str, int]) -> None:
        self.carried = {"out": 0, "back": 0}
        self._target = target
        self._out = _Way(line, "out", self.carried)
        self._back = _Way(line, "back", self.carried)
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve(self, port: int) -> tuple[asyncio.Server, int]:
        """Begin to listen, on a port or a free one."""
        for way in (self._out, self._back):
            self._keep(asyncio.create_task(way.run()))
        server = await asyncio.start_server(self._connected, "127.0.0.1", port, limit=SOCKET_BYTES)
        return server, server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Everything ends."""
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.transport.abort()

    def _keep(self, task: "asyncio.Task[None]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(
                *self._target, limit=SOCKET_BYTES
            )
        except OSError:
            writer.close()
            return
        for each in (writer, far_writer):
            _small(each)
        self._writers |= {writer, far_writer}
        self._keep(asyncio.create_task(_carry(reader, _Flow(self._out, far_writer))))
        self._keep(asyncio.create_task(_carry(far_reader, _Flow(self._back, writer))))


async def _carry(reader: asyncio.StreamReader, flow: _Flow) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(SOCKET_BYTES):
            await flow.put(data)
    await flow.end()


def _small(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, SOCKET_BYTES)
    writer.transport.set_write_buffer_limits(SOCKET_BYTES)


@contextlib.contextmanager
def running(line: Line, target: str, port: int = 0) -> Iterator[Running]:
    """A line to `host:port`, for a block; connections that are open at its end are cut."""
    host, _, number = target.rpartition(":")
    loop, started, stop = asyncio.new_event_loop(), Future[int](), asyncio.Event()
    proxy = _Proxy(line, (host, int(number)))

    async def main() -> None:
        server, found = await proxy.serve(port)
        started.set_result(found)
        await stop.wait()
        server.close()
        proxy.stop()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        # Transports say goodbye in the loop's next turns.
        await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    try:
        yield Running(started.result(START_S), proxy.carried)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_S)
        loop.close()
