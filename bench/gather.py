"""A gather over 514 simulated providers behind 20 nodes: how soon, how long, how much memory.

    python -m bench.gather [--providers 514] [--nodes 20] [--json FILE]

What is real: 21 nodes' exchanges with their policy, seals, SQLite journals and mutually
authenticated links, the consumer's in this process and the providers' in another; each provider is
a member with its own identity, seal key and agreement. What is not: the services are functions that
wait for as long as a service would and say three messages, there are 20 links and not 514, no
network lies between, and the app hands its call to the exchange without the gateway.

Runs: links cold, links warm, the consumer's key at 100 signatures/s, and warm with a tenth of the
providers dead and another tenth slow. The bars, against this run's own single calls:
the first message within 2 times a single call's latency; all within the slowest provider's time and
a fifth; the good ones no later than without dead and slow ones, by the same measure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import resource
import shutil
import socket
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import structlog

from bench.slow_signer import SlowKey
from node.calls import HalfClose, Message, OutboundCall, OutboundRequest, ResponseEvent, Trailers
from node.journal.journal import Journal
from node.model import Snapshot
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from runtime.clock import now_ms
from runtime.tracing import OFF
from security import certificate
from security.agreement import Party, ServiceTerm
from security.directory import DirectoryView
from security.hashing import sha256
from security.identifiers import NodeId, ServiceId, SubsystemId
from security.limits import Limits
from tests.conformance import fixed
from tests.support import agreements, directories, pair
from tests.support.pair import FakeCall, FakeServices, Half

MESSAGES: Final = 3
# What a service takes, by its number: 20 to 200 ms, and one of 400.
FAST_MS, SPREAD_MS, SLOWEST_MS = 20, 180, 400
# A slow one, where there are such, and how long the app waits.
SLOW_MS: Final = 3000
DEADLINE_MS: Final = 30_000
SINGLE_CALLS: Final = 30
FIRST_BAR, ALL_BAR = 2.0, 1.2
_SHARE: Final = 10


@dataclass(frozen=True, slots=True)
class Figures:
    """One run. Times in ms, of what the app saw; `good_ms`: when the last good part had ended."""

    name: str
    parts: int
    answered: int
    missing: int
    messages: int
    single_ms: float
    first_ms: float
    good_ms: float
    total_ms: float
    slowest_ms: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Scene:
    """Who is there: the same in both processes."""

    providers: int
    nodes: int
    ports: tuple[int, ...]
    authority: tuple[bytes, bytes]
    home: str

    def code(self, number: int) -> str:
        """A regency's code."""
        return f"{11 + number // 90}.{10 + number % 90}"

    def subsystem(self, number: int) -> SubsystemId:
        """A regency's subsystem."""
        return SubsystemId.parse(f"ID/DAERAH/{self.code(number)}/pariwisata")

    def node(self, number: int) -> NodeId:
        """One of the providers' nodes; the one after them is the consumer's."""
        return NodeId.parse(f"ID/~node-{number}") if number < self.nodes else fixed.MINISTRY_NODE

    def of_node(self, node: int) -> range:
        """The numbers of the providers behind a node."""
        return range(node, self.providers, self.nodes)

    def takes_ms(self, number: int, *, troubled: bool) -> int | None:
        """How long its service takes; None: for ever."""
        if troubled and number % _SHARE == 3:
            return None
        if troubled and number % _SHARE == 7:
            return SLOW_MS
        return SLOWEST_MS if number == 5 else FAST_MS + number * 37 % SPREAD_MS

    def good(self) -> int:
        """How many are neither dead nor slow."""
        taken = (self.takes_ms(n, troubled=True) for n in range(self.providers))
        return sum(1 for ms in taken if ms is not None and ms < SLOW_MS)


def directory(scene: Scene) -> DirectoryView:
    """All of them, and the ministry."""
    contract = sha256(directories.contract_file()[1])
    records = []
    for number in range(scene.providers):
        subsystem, node = scene.subsystem(number), scene.node(number % scene.nodes)
        record = directories.member_record(subsystem.member, node)
        record.regions.add(code=scene.code(number), valid_from_ms=1)
        record.subsystems.add(id=str(subsystem), name="Pariwisata", state=1)
        record.services.add(id=f"{subsystem}/{fixed.SERVICE}", contract=contract)
        if number < scene.nodes:
            record.nodes[0].link_address = f"127.0.0.1:{scene.ports[number]}"
        else:
            record.ClearField("nodes")
        records.append(record)
    ministry = directories.ministry_record()
    ministry.nodes[0].link_address = f"127.0.0.1:{scene.ports[scene.nodes]}"
    return directories.directory(*records, ministry)


def agreement_book(scene: Scene) -> tuple[AgreementBook, dict[str, int]]:
    """An agreement with each, and the provider's number by its hash."""
    signed, numbers = [], {}
    for number in range(scene.providers):
        subsystem = scene.subsystem(number)
        identity = fixed.key(f"{subsystem.member} identity")
        terms = replace(
            agreements.TERMS,
            provider=Party(subsystem.member, identity.public.key_id),
            provider_subsystem=subsystem,
            services=(ServiceTerm(fixed.SERVICE, ("List",)),),
        )
        made = agreements.signed(terms, identity).agreement
        numbers[next(iter(AgreementBook([made]).by_hash)).hex()] = number
        signed.append(made)
    return AgreementBook(signed), numbers


class Service:
    """An `OutboundCall` that waits and then says its messages."""

    def __init__(self, takes_ms: int | None) -> None:
        self._takes_ms = takes_ms
        self._left: list[ResponseEvent] = [Trailers(0)]
        self._left += [Message(bytes(200))] * MESSAGES
        self._gone = asyncio.Event()

    async def send(self, event: Message | HalfClose) -> None:
        """The request says nothing that matters here."""

    async def receive(self) -> ResponseEvent:
        """Wait once, then say all."""
        if len(self._left) > MESSAGES:
            wait_s = None if self._takes_ms is None else self._takes_ms / 1000
            try:
                await asyncio.wait_for(self._gone.wait(), wait_s)
            except TimeoutError:
                return self._left.pop()
            return Trailers(1, "cancelled")
        return self._left.pop()

    def cancel(self) -> None:
        """Nobody wants it."""
        self._gone.set()


class Services(FakeServices):
    """All services behind one node."""

    def __init__(self, scene: Scene, numbers: dict[str, int]) -> None:
        super().__init__()
        self._scene, self._numbers = scene, numbers
        self.troubled = False

    def start(self, target: str, request: OutboundRequest) -> OutboundCall:
        """The one that the agreement is with."""
        del target
        number = self._numbers[dict(request.metadata)["simpul-agreement"].decode()]
        return Service(self._scene.takes_ms(number, troubled=self.troubled))


# Servers end when nobody holds them.
_SERVERS: Final[list[Any]] = []


async def make_half(scene: Scene, number: int, view: DirectoryView, book: AgreementBook) -> Half:
    """One node of the scene, with its own journal."""
    hosted = [scene.subsystem(n) for n in scene.of_node(number)] if number < scene.nodes else []
    members = [each.member for each in hosted] or [fixed.MINISTRY]
    path = Path(scene.home) / f"node-{number}.db"
    journal = await Journal.open(path, slot=0, holder="bench", clock=now_ms)
    half, server = await pair._half(  # noqa: SLF001 - the tests' node is this bench's, too
        scene.node(number), members[0], scene.ports[number], view, scene.authority, {}, Limits(),
        journal, OFF, frozenset(members),
    )  # fmt: skip
    _SERVERS.append(server)
    for member in members:
        half.seal_keys[member] = fixed.key(f"{member} seal")
    targets = {ServiceId(each, fixed.SERVICE): pair.TARGET for each in hosted}
    loopback = None if hosted else fixed.SUPER_APP
    half.current.replace(Snapshot(view, book, AppBook((), loopback), targets))
    return half


def provide(scene: Scene, pipe: Connection) -> None:
    """The providers' process: serves until it is told to stop; tells its memory then."""
    _quiet()

    async def serve() -> None:
        view = directory(scene)
        book, numbers = agreement_book(scene)
        services = Services(scene, numbers)
        for number in range(scene.nodes):
            half = await make_half(scene, number, view, book)
            half.providing._services = services  # noqa: SLF001
        pipe.send("ready")
        while (said := await asyncio.to_thread(pipe.recv)) != "stop":
            services.troubled = said == "troubled"
            pipe.send("done")
        pipe.send(peak_mib())

    asyncio.run(serve())


class TimedCall(FakeCall):
    """An app that notes when something came."""

    def __init__(self, region: str, *more: tuple[str, bytes]) -> None:
        super().__init__(
            "List", Message(b"q"), HalfClose(), to=None, deadline_left_ms=DEADLINE_MS,
            metadata=(("simpul-region", region.encode()), ("simpul-partial", b"ok"), *more),
        )  # fmt: skip
        self.began_s = time.perf_counter()
        self.came_ms: list[float] = []

    async def send(self, event: ResponseEvent) -> None:
        """Note it."""
        if isinstance(event, Message):
            self.came_ms.append((time.perf_counter() - self.began_s) * 1000)
        await super().send(event)

    def count(self, name: str) -> int:
        """A number of the trailers."""
        return int(dict(self.trailers.metadata)[f"simpul-gather-{name}"])


async def single_ms(scene: Scene, consumer: Half) -> float:
    """The latency of the first message of a single call, to the quickest provider; the median."""
    took = []
    for _ in range(SINGLE_CALLS):
        call = TimedCall(scene.code(0))
        await consumer.consuming.run(call)
        took.append(call.came_ms[0])
    return statistics.median(took)


async def measure(name: str, scene: Scene, consumer: Half, single: float, good: int) -> Figures:
    """One gather over all."""
    call = TimedCall("*")
    await consumer.consuming.run(call)
    total_ms = (time.perf_counter() - call.began_s) * 1000
    slowest = max(scene.takes_ms(n, troubled=False) or 0 for n in range(scene.providers))
    return Figures(
        name=name,
        parts=call.count("parts"),
        answered=call.count("answered"),
        missing=call.count("missing"),
        messages=call.count("messages"),
        single_ms=single,
        first_ms=call.came_ms[0],
        good_ms=call.came_ms[min(good * MESSAGES, len(call.came_ms)) - 1],
        total_ms=total_ms,
        slowest_ms=slowest,
        peak_mib=peak_mib(),
    )


async def run(scene: Scene, pipe: Connection) -> list[Figures]:
    """Every run, in order."""
    view = directory(scene)
    book, _ = agreement_book(scene)
    consumer = await make_half(scene, scene.nodes, view, book)
    everybody, found = scene.providers, []
    found.append(await measure("cold", scene, consumer, 0, everybody))
    single = await single_ms(scene, consumer)
    found[0] = replace(found[0], single_ms=single)
    found += [
        await measure(name, scene, consumer, single, everybody) for name in ("warm", "warm again")
    ]
    key = consumer.seal_keys[fixed.MINISTRY]
    consumer.seal_keys[fixed.MINISTRY] = SlowKey.from_pem(key.to_pem())
    slow_single = await single_ms(scene, consumer)
    found.append(await measure("100 signatures/s", scene, consumer, slow_single, everybody))
    consumer.seal_keys[fixed.MINISTRY] = key
    await asyncio.to_thread(pipe.send, "troubled")
    await asyncio.to_thread(pipe.recv)
    found.append(await measure("a tenth dead, a tenth slow", scene, consumer, single, scene.good()))
    await consumer.dialler.close()
    await asyncio.gather(*(server.stop(0) for server in _SERVERS))
    return found


def peak_mib() -> float:
    """The most that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _quiet() -> None:
    level = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=level)


def _ports(count: int) -> tuple[int, ...]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = tuple(probe.getsockname()[1] for probe in probes)
    for probe in probes:
        probe.close()
    return ports


def show(found: list[Figures], providers_mib: float) -> None:
    """A table, and each bar met or missed."""
    out = sys.stdout.write
    out(f"{'run':28}{'answered':>10}{'single':>9}{'first':>9}{'good':>9}{'all':>9}{'MiB':>7}\n")
    for each in found:
        out(
            f"{each.name:28}{each.answered:>6}/{each.parts:<3}{each.single_ms:>9.1f}"
            f"{each.first_ms:>9.1f}{each.good_ms:>9.0f}{each.total_ms:>9.0f}{each.peak_mib:>7.0f}\n"
        )
    out(f"providers' process: {providers_mib:.0f} MiB at most\n")
    for each in found:
        first, every = each.first_ms / each.single_ms, each.good_ms / each.slowest_ms
        out(
            f"{each.name}: first message {first:.2f} times a single call (bar {FIRST_BAR}), all "
            f"good parts {every:.2f} times the slowest of them (bar {ALL_BAR})\n"
        )


def main() -> None:
    """Run all, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.gather", description=__doc__)
    parser.add_argument("--providers", type=int, default=514)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    said = parser.parse_args()
    _quiet()
    home = tempfile.mkdtemp(prefix="simpul-gather-")
    authority = certificate.make_authority("Bench", now_ms(), 1)
    scene = Scene(said.providers, said.nodes, _ports(said.nodes + 1), authority, home)
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    child = context.Process(target=provide, args=(scene, theirs))
    child.start()
    try:
        pipe.recv()
        found = asyncio.run(run(scene, pipe))
        pipe.send("stop")
        providers_mib: float = pipe.recv()
    finally:
        child.kill()
        child.join()
        shutil.rmtree(home)
    show(found, providers_mib)
    if said.json is not None:
        document: dict[str, Any] = {
            "providers_mib": providers_mib, "runs": [asdict(each) for each in found],
        }  # fmt: skip
        said.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
