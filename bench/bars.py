"""The figures beside throughput: latency at half load, memory, journal, start, other signers."""

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from grpc import aio

from bench import services
from bench.cases import Case, measure, unary
from bench.load import LoadError
from bench.machine import journal_bytes, memory_mb
from bench.ways import SimpulWay, Way, serve_command, simpul_way
from cli.demo.children import Child
from runtime.grpc_options import channel_options
from security.keys import Algorithm

METHOD: Final = "Unary1k"
FIRST_CALL_TIMEOUT_S: Final = 30.0
_AGAIN_S: Final = 0.005
_STARTS: Final = 3


async def at_half(
    way: Way, case: Case, folder: Path, rate: float, seconds: float
) -> dict[str, float]:
    """Latencies at half of the saturation rate, evenly spaced."""
    sample = await asyncio.to_thread(measure, way, case, folder, seconds, rate / 2)
    return {
        "rate": round(sample.seen.rate, 1),
        "p50_ms": sample.seen.quantile(0.5),
        "p99_ms": sample.seen.quantile(0.99),
        "p99.9_ms": sample.seen.quantile(0.999),
    }


def memory(pair: SimpulWay) -> dict[str, float]:
    """Of each node, its supervisor and its worker together, in MB."""
    return {role: round(memory_mb(pids), 1) for role, pids in pair.way.roles.items()}


async def long_run(pair: SimpulWay, folder: Path, calls: int, rate: float) -> dict[str, object]:
    """Start both nodes again and make many calls; what the journal then holds of each call.

    Memory is that of the nodes right after their start, and after the calls.
    """
    case = unary(folder, METHOD, 256)
    await _restart(pair, serve_command)
    idle = memory(pair)
    before = [journal_bytes(home) for home in pair.homes]
    sample = await asyncio.to_thread(measure, pair.way, case, folder, calls / rate, rate)
    after = [journal_bytes(home) for home in pair.homes]
    made = sample.seen.calls
    return {
        "calls": made,
        "calls_per_s": round(sample.seen.rate, 1),
        "journal_bytes_per_call": {
            role: round((last - first) / made, 1)
            for role, first, last in zip(("near", "far"), before, after, strict=True)
        },
        "memory_idle_mb": idle,
        "memory_mb": memory(pair),
    }


async def start_to_first_call(pair: SimpulWay) -> dict[str, object]:
    """Seconds from the start of the consumer's node to its first answered call."""
    took_s = [await _start_once(pair) for _ in range(_STARTS)]
    return {"median_s": round(statistics.median(took_s), 3), "all_s": [round(s, 3) for s in took_s]}


async def _start_once(pair: SimpulWay) -> float:
    name = pair.federation.consumer.who.node
    children = pair.federation.children
    await children.stop([name])
    began_s = time.perf_counter()
    child = await children.start(name, serve_command(pair.homes[0]))
    await first_call(pair, child)
    return time.perf_counter() - began_s


async def first_call(pair: SimpulWay, child: Child) -> None:
    """Call until the first answer."""
    metadata = [tuple(header.split(": ", 1)) for header in pair.headers]
    address = pair.way.addresses[services.BENCH]
    options = [*channel_options(), ("grpc.initial_reconnect_backoff_ms", 10)]
    options += [("grpc.min_reconnect_backoff_ms", 10), ("grpc.max_reconnect_backoff_ms", 10)]
    deadline_s = time.perf_counter() + FIRST_CALL_TIMEOUT_S
    while child.runs and time.perf_counter() < deadline_s:
        async with aio.insecure_channel(address, options=options) as channel:
            call: Any = channel.unary_unary(f"/{services.BENCH}/{METHOD}")
            try:
                await call(bytes(1024), metadata=metadata, timeout=1.0)
            except aio.AioRpcError:
                await asyncio.sleep(_AGAIN_S)
                continue
            return
    raise LoadError(f"no call was answered after the start: see {child.log}")


async def other_algorithm(
    direct: Way, folder: Path, *, rounds: int, seconds: float
) -> dict[str, float]:
    """Calls a second with ML-DSA-65 seals, and with Ed25519, in turn, of two new federations."""
    case = unary(folder, METHOD, 256)
    rates: dict[str, list[float]] = {}
    async with (
        simpul_way(folder / "ed", direct) as usual,
        simpul_way(folder / "pq", direct, Algorithm.ML_DSA_65) as other,
    ):
        for _ in range(rounds):
            for name, pair in (("ED25519", usual), ("ML_DSA_65", other)):
                sample = await asyncio.to_thread(measure, pair.way, case, folder, seconds)
                rates.setdefault(name, []).append(sample.seen.rate)
    return {name: round(statistics.median(found), 1) for name, found in rates.items()}


async def slow_signer(pair: SimpulWay, folder: Path, seconds: float) -> dict[str, float]:
    """Calls a second, and latency, where both nodes sign a hundred times a second at most."""
    await _restart(pair, _slow_command)
    found = {}
    for concurrent in (32, 256):
        case = unary(folder, METHOD, concurrent)
        sample = await asyncio.to_thread(measure, pair.way, case, folder, seconds)
        found[f"calls_per_s at {concurrent}"] = round(sample.seen.rate, 1)
        found[f"p99_ms at {concurrent}"] = sample.seen.quantile(0.99)
    return found


async def _restart(pair: SimpulWay, command: Callable[[Path], Sequence[str]]) -> None:
    """Start both nodes again by this command, and wait until a call is answered."""
    names = [node.who.node for node in pair.federation.nodes]
    children = pair.federation.children
    await children.stop(names)
    for name, home in zip(names, pair.homes, strict=True):
        await children.start(name, command(home))
    await first_call(pair, children[names[0]])


def _slow_command(home: Path) -> Sequence[str]:
    return (sys.executable, "-m", "bench.slow_signer", str(home))
