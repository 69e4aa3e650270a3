"""Large streams: who reads slowly slows who sends, little is held on the way, and small calls pass.

Memory is what the kernel counts for a node's processes, shared pages by share (`Pss`). The delay of
small calls is measured over a line of 50 Mbit/s and 20 ms there and back: on loopback a stream that
shares a connection with them does them no harm, and so shows nothing.
"""

import asyncio
import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.calling import channel, start, until
from tests.interop.federation import Way, Ways, federation
from tests.interop.probe import SERVICE, Side
from tests.scenario.harness import Place, descendants_of
from tests.support.slow_line import Line

MIB = 1024 * 1024
PIECE = 64 * 1024
# What may be on its way while the reader stands still: windows of three legs, 1 MiB of each end's,
# and the queues of two nodes.
MAX_HELD_BYTES = 16 * MIB
# Of twenty streams, each; with gRPC's default windows between the nodes it was 11.
MAX_STALLED_BYTES = 8 * MIB
# What a node may take more for one stream of any length, and for twenty that stand still.
MAX_GROWN_MIB = 48
MAX_GROWN_STALLED_MIB = 160
# A small call may take this much longer beside a stream: some milliseconds, and room for a busy
# machine. On the stream's own connection it is hundreds.
MAX_DELAY_S = 0.030


class Memory:
    """The largest memory of a node while a block runs, in MiB."""

    def __init__(self, place: Place) -> None:
        self._pids = [place.pid, *descendants_of(place.pid)]
        self.before = self.peak = self._now()
        self._over = threading.Event()

    def _now(self) -> float:
        return sum(_pss_kib(pid) for pid in self._pids) / 1024

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.peak = max(self.peak, self._now())

    @contextlib.contextmanager
    def watched(self) -> Iterator["Memory"]:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over.set()
            thread.join()


def _pss_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


@contextlib.contextmanager
def light(ways: Ways, grown_mib: float = MAX_GROWN_MIB) -> Iterator[None]:
    """Neither node takes much more memory in the block than it had."""
    with (
        Memory(ways.consumer).watched() as consumer,
        Memory(ways.provider).watched() as provider,
    ):
        yield
    for memory in (consumer, provider):
        assert memory.peak - memory.before < grown_mib


class Service:
    """Sends or takes a stream, and says how far it is."""

    def __init__(self) -> None:
        self.written = self.read = 0
        self.go = threading.Event()
        self.pieces = 0

    @property
    def moved(self) -> int:
        """Bytes, either way."""
        return self.written + self.read

    async def send(self, side: Side) -> None:
        """As much as the app takes."""
        await side.read_all()
        for _ in range(self.pieces):
            await side.write(bytes(PIECE))
            self.written += PIECE

    async def take(self, side: Side) -> None:
        """Nothing until `go`, then everything."""
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        while (message := await side.context.read()) and isinstance(message, bytes):
            self.read += len(message)
        await side.write(b"done")


async def _still(look: "Service", of: str) -> int:
    """Waits until a count stands still."""
    last, since = -1, time.monotonic()
    async with asyncio.timeout(20):
        while time.monotonic() - since < 0.7:
            now = getattr(look, of)
            if now != last:
                last, since = now, time.monotonic()
            await asyncio.sleep(0.02)
    return last


async def download(ways: Ways, mib: int) -> None:
    """An app that reads nothing for a while, and then all."""
    service = Service()
    service.pieces = mib * MIB // PIECE
    name = ways.probe.behave(service.send)
    with light(ways):
        async with channel(ways.nodes) as opened:
            call = start(opened, ways.nodes, "ServerStream", name, timeout_s=None)
            await call.write(b"x")
            await call.done_writing()
            assert await _still(service, "written") < MAX_HELD_BYTES
            taken = 0
            while isinstance(message := await call.read(), bytes):
                taken += len(message)
            assert taken == mib * MIB
    ways.nothing_is_left()


async def upload(ways: Ways, mib: int) -> None:
    """A service that reads nothing for a while, and then all."""
    service = Service()
    name = ways.probe.behave(service.take)
    sender = Service()

    async def send(call: Any) -> None:
        for _ in range(mib * MIB // PIECE):
            await call.write(bytes(PIECE))
            sender.written += PIECE
        await call.done_writing()

    with light(ways):
        async with channel(ways.nodes) as opened:
            call = start(opened, ways.nodes, "ClientStream", name, timeout_s=None)
            sending = asyncio.create_task(send(call))
            assert await _still(sender, "written") < MAX_HELD_BYTES
            service.go.set()
            await sending
            assert await call.read() == b"done"
            assert service.read == mib * MIB
    ways.nothing_is_left()


async def test_a_slow_app_slows_the_service(ways: Ways) -> None:
    await download(ways, 64)


async def test_a_slow_service_slows_the_app(ways: Ways) -> None:
    await upload(ways, 64)


async def test_twenty_stalled_streams_hold_little(ways: Ways) -> None:
    """What the windows are for."""
    service = Service()
    service.pieces = 1000
    name = ways.probe.behave(service.send)
    with light(ways, MAX_GROWN_STALLED_MIB):
        async with channel(ways.nodes) as opened:
            calls = []
            for _ in range(20):
                call = start(opened, ways.nodes, "ServerStream", name, timeout_s=None)
                await call.write(b"x")
                await call.done_writing()
                calls.append(call)
            assert await _still(service, "written") < 20 * MAX_STALLED_BYTES
            for call in calls:
                call.cancel()
    ways.nothing_is_left()


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_gibibyte_down(ways: Ways) -> None:
    await download(ways, 1024)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_gibibyte_up(ways: Ways) -> None:
    await upload(ways, 1024)


# A slow line.


@pytest.fixture(scope="module")
def far() -> Iterator[Ways]:
    """Two nodes, 50 Mbit/s and 20 ms apart."""
    with federation(Line()) as found:
        yield found


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


async def small_calls(way: Way, name: str, count: int = 60) -> list[float]:
    """How long each of some small unary calls took, one after the other."""
    took_s = []
    async with channel(way) as opened:
        method = opened.unary_unary(f"/{SERVICE}/Unary")
        for number in range(count + 3):
            began = time.perf_counter()
            assert await method(b"x" * 100, metadata=way.with_probe(name), timeout=10) == b"x" * 100
            if number >= 3:
                took_s.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)
    return took_s


# It brings up a federation of its own.
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", ["ServerStream", "ClientStream"])
async def test_a_stream_does_not_delay_small_calls(far: Ways, kind: str) -> None:
    name = far.probe.behave(echo)
    alone = await small_calls(far.nodes, name)
    service = Service()
    service.pieces = 10_000
    service.go.set()
    stream = far.probe.behave(service.send if kind == "ServerStream" else service.take)
    async with channel(far.nodes) as opened:
        call = start(opened, far.nodes, kind, stream, timeout_s=None)
        moving = asyncio.create_task(_move(call, kind))
        await until(lambda: service.moved > 6 * MIB, 20)
        before, began = service.moved, time.monotonic()
        beside = await small_calls(far.nodes, name)
        rate = (service.moved - before) * 8 / (time.monotonic() - began)
        moving.cancel()
        call.cancel()
        await asyncio.gather(moving, return_exceptions=True)
    # The line was busy all the while.
    assert rate > 20e6, f"{rate / 1e6:.0f} Mbit/s"
    assert statistics.median(alone) > 0.020
    delay_s = statistics.median(beside) - statistics.median(alone)
    assert delay_s < MAX_DELAY_S, _said(alone, beside, rate)
    far.nothing_is_left()


async def _move(call: Any, kind: str) -> None:
    if kind == "ClientStream":
        while True:
            await call.write(bytes(PIECE))
    await call.write(b"x")
    await call.done_writing()
    while isinstance(await call.read(), bytes):
        pass


def _said(alone: list[float], beside: list[float], rate: float) -> str:
    def ms(times: list[float]) -> str:
        ordered = sorted(times)
        return " ".join(
            f"{name} {ordered[int(len(ordered) * part)] * 1000:.1f}"
            for name, part in (("p50", 0.5), ("p90", 0.9), ("max", 0.999))
        )

    return f"alone {ms(alone)}; beside {ms(beside)} ms; {rate / 1e6:.0f} Mbit/s"
