"""`simpul demo run`: a federation comes up, does its work, is lied to, and is stopped and checked.

Every step is a check that can fail: it returns what it saw or raises. A failed step does not stop
the next ones, so that one fault is not taken for many; the result is the conjunction.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import grpc

from cli.demo import access, calls, contracts, evidence, exchange, hostile, proof
from cli.demo.calls import App, CallNote
from cli.demo.cast import BANDARA, Participant
from cli.demo.exchange import CheckError
from cli.demo.federation import REGISTRY, Federation, NodePlace, running
from cli.demo.show import Show, StepResult
from cli.output import print_json
from security.errors import SimpulError

STEP_TIMEOUT_S: Final = 60.0

Check = Callable[[], Awaitable[str]]


async def run_demo(home: Path, cast: tuple[Participant, ...], *, as_json: bool) -> bool:
    """The whole of it; returns whether every check passed.

    Raises:
        SimpulError: The federation did not come up.
    """
    show = Show(beside_json=as_json)
    began_s = time.perf_counter()
    show.heading(f"A registry and {len(cast)} nodes, each a process of its own")
    async with running(home, cast, show.done) as federation:
        up_s = time.perf_counter() - began_s
        show.done(f"all is up after {up_s:.1f} s")
        demo = _Demo(federation, show)
        await demo.run()
    took_s = time.perf_counter() - began_s
    show.heading("Calls")
    show.calls(demo.notes)
    show.end(demo.results, took_s)
    passed = all(result.passed for result in demo.results)
    if as_json:
        print_json(
            {
                "passed": passed,
                "seconds": round(took_s, 3),
                "up_seconds": round(up_s, 3),
                "nodes": len(cast),
                "steps": [asdict(result) for result in demo.results],
                "calls": [_call(note) for note in demo.notes],
            }
        )
    return passed


class _Demo:
    """One run over a federation that is up."""

    def __init__(self, federation: Federation, show: Show) -> None:
        self._federation = federation
        self._show = show
        self.results: list[StepResult] = []
        self.notes: list[CallNote] = []
        providers = federation.providers
        self._regencies = [node for node in providers if node.who.regions]
        self._ministry = next(
            node for node in providers if node.who.offer and node.who.offer.service == BANDARA
        )

    async def run(self) -> None:
        """Every step, in order."""
        federation = self._federation
        consumer = federation.consumer
        async with calls.app(consumer.who.subsystem, federation.token, consumer.gateway) as app:
            # One list, in the order in which calls are made.
            app.notes = self.notes
            self._show.heading("Real data, through both nodes, with plain gRPC stubs")
            await self._exchange(app)
            self._show.heading("What must be refused")
            await self._refusals()
            self._show.heading("No second contract for the same thing")
            await self._step(
                "a contract much like wisata.v1",
                partial(contracts.look_alike, self._ministry, self._regencies),
            )
            self._show.heading("Who may, decided by the regency alone")
            regency = self._regencies[0]
            await self._step("access", partial(access.access, app, consumer, regency))
            self._show.heading("What proves it, to anyone")
            await self._step("evidence", partial(evidence.evidence, federation, self.notes))
            self._show.heading("The registry goes")
            await self._step("calls without the registry", partial(self._without_registry, app))
        self._show.heading("All nodes stop; what is left on both sides")
        await self._step("nodes stopped", self._stop_nodes)
        await self._step("journals verified", partial(proof.journals, federation))
        await self._step(
            "both sides hold the same", partial(proof.same_parcels, federation, self.notes)
        )

    async def _exchange(self, app: App) -> None:
        regency = self._regencies[0].who
        for title, check in (
            ("unary call", exchange.unary),
            ("server stream", exchange.server_stream),
            ("client stream", exchange.client_stream),
            ("bidirectional stream", exchange.both_ways),
        ):
            await self._step(title, partial(check, app, regency))
        await self._step("super app", partial(self._super_app, app))
        await self._step("many regions in one call", partial(self._gather, app))
        who = [node.who for node in self._regencies]
        await self._step("each regency knows its own", partial(exchange.each_regency, app, who))

    async def _super_app(self, app: App) -> str:
        seen, found = await exchange.super_app(app, self._regencies[0].who, self._ministry.who)
        self._show.trips(found)
        return seen

    async def _gather(self, app: App) -> str:
        who = [node.who for node in self._regencies]
        seen, found = await exchange.gathered(app, who, self._ministry.who)
        self._show.trips(found)
        return seen

    async def _refusals(self) -> None:
        federation, first = self._federation, self._regencies[0]
        other = f"{federation.consumer.who.member}/portal"
        await self._step(
            "another system of the ministry, without agreement",
            partial(self._denied, federation.consumer, other, first),
        )
        # The last regency asks the first; where there is but one, it asks the ministry.
        last = self._regencies[-1]
        asked = first if last is not first else self._ministry
        await self._step(
            "a regency that asks another, without agreement",
            partial(self._denied, last, last.who.subsystem, asked),
        )
        await self._step("tampered parcel", partial(hostile.tampered, federation, first))
        await self._step("replayed parcel", partial(hostile.replayed, federation, first))

    async def _denied(self, caller: NodePlace, subsystem: str, provider: NodePlace) -> str:
        seen, note = await hostile.no_agreement(caller, subsystem, provider)
        self.notes.append(note)
        return seen

    async def _without_registry(self, app: App) -> str:
        children = self._federation.children
        await children.stop([REGISTRY])
        status = children[REGISTRY].process.returncode
        exchange.require(status == 0, f"the registry ended with status {status}")
        who = [node.who for node in self._federation.providers]
        return f"registry stopped; {await exchange.still_going(app, who)}"

    async def _stop_nodes(self) -> str:
        children = self._federation.children
        names = [node.who.node for node in self._federation.nodes]
        early = [name for name in names if not children[name].runs]
        exchange.require(not early, f"{', '.join(early)} had ended before")
        await children.stop(names)
        wrong = [
            f"{name} with status {children[name].process.returncode}"
            for name in names
            if children[name].process.returncode != 0
        ]
        exchange.require(not wrong, f"ended: {', '.join(wrong)}")
        return f"{len(names)} nodes ended in order"

    async def _step(self, title: str, check: Check) -> None:
        began_s = time.perf_counter()
        try:
            detail, passed = await asyncio.wait_for(check(), STEP_TIMEOUT_S), True
        except Exception as error:  # noqa: BLE001  (whatever it is, the check has not passed)
            detail, passed = _why(error), False
        ms = (time.perf_counter() - began_s) * 1000
        self.results.append(StepResult(title, passed, detail, ms))
        self._show.step(self.results[-1])


def _why(error: Exception) -> str:
    match error:
        case CheckError():
            return str(error)
        case SimpulError():
            return f"{error.code}: {error.message}"
        case grpc.aio.AioRpcError():
            return f"{error.code().name}: {error.details()}"
        case TimeoutError():
            return "nothing came in time"
        case _:
            return f"{type(error).__name__}: {error}"


def _call(note: CallNote) -> dict[str, object]:
    """As everywhere: `call_id`, `grpc_status`; `code` is null where the service answered."""
    return {
        "call_id": note.call_id or None,
        "kind": note.kind,
        "consumer": note.consumer,
        "provider": note.provider,
        "method": note.method,
        "grpc_status": note.status,
        "code": note.code or None,
        "ms": round(note.ms, 3),
    }
