"""A gateway whose host answers by the method's name: what the tests call inside a real Envoy."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from collections import Counter
from typing import Any

from node.calls import Cancelled, HalfClose, Headers, InboundCall, Message, Trailers
from node.gateway.asgi import GatewayApp
from node.gateway.limits import CallLimits
from node.gateway.refusal import refusal
from security.errors import Code, SimpulError

LIMITS = CallLimits(
    max_message_bytes=100_000,
    max_metadata_bytes=8_192,
    max_open_calls=int(os.environ.get("TEST_OPEN_CALLS", "50")),
)


class Host:
    limits = LIMITS

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.counts: Counter[str] = Counter()

    async def serve(self, call: InboundCall) -> None:
        await getattr(self, call.request.path.rpartition("/")[2].lower())(call)

    async def turn_away(self, call: InboundCall, error: SimpulError) -> None:
        self.counts[error.code.value] += 1
        await call.send(refusal(error))

    async def stop(self) -> None:
        sys.stdout.write("stopped in order\n")
        sys.stdout.flush()

    async def _messages(self, call: InboundCall) -> list[Message]:
        found = []
        while isinstance(event := await call.receive(), Message):
            found.append(event)
        if isinstance(event, Cancelled):
            self._saw("cancelled while reading")
            raise SimpulError(Code.CANCELLED, "the app is gone")
        return found

    def _saw(self, what: str) -> None:
        self.seen.append({"what": what, "at": time.monotonic()})

    async def echo(self, call: InboundCall) -> None:
        messages = await self._messages(call)
        await call.send(Headers())
        for message in messages:
            await call.send(message)
        await call.send(Trailers(0))

    async def who(self, call: InboundCall) -> None:
        await self._messages(call)
        shown = call.request.certificate_sha256
        said = {"certificate_sha256": None if shown is None else shown.hex()}
        await call.send(Headers())
        await call.send(Message(json.dumps(said).encode()))
        await call.send(Trailers(0))

    async def unary(self, call: InboundCall) -> None:
        (message,) = await self._messages(call)
        carried = tuple(
            item for item in call.request.metadata if item[0].startswith(("x-", "grpc"))
        )
        await call.send(Headers((("x-head", b"1"), *carried)))
        await call.send(message)
        await call.send(Trailers(0, "baik", (("x-tail-bin", b"\0\xff"), ("x-tail", b"2"))))

    async def bidi(self, call: InboundCall) -> None:
        await call.send(Headers((("x-head", b"early"),)))
        count = 0
        while isinstance(event := await call.receive(), Message):
            count += 1
            await call.send(event)
        if isinstance(event, HalfClose):
            await call.send(Message(b"%d" % count))
            await call.send(Trailers(0))
        else:
            self._saw("cancelled in a stream")

    async def early(self, call: InboundCall) -> None:
        await call.send(Headers((("x-head", b"early"),)))
        await asyncio.sleep(0.3)
        await call.send(Message(b"late"))
        await call.send(Trailers(0))

    async def first(self, call: InboundCall) -> None:
        await call.send(Message(b"first"))
        await asyncio.sleep(0.3)
        await call.send(Message(b"second"))
        await call.send(Trailers(0))

    async def many(self, call: InboundCall) -> None:
        for number in range(100):
            await call.send(Message(b"%d" % number))
        await call.send(Trailers(0))

    async def fail(self, call: InboundCall) -> None:
        details = (("grpc-status-details-bin", b"\1\2"), ("grpc-timeout", b"1S"), ("te", b"x"))
        await call.send(Trailers(7, "tidak boleh: 50% é\n", details))

    async def partial(self, call: InboundCall) -> None:
        await call.send(Headers())
        await call.send(Message(b"one"))
        await call.send(Trailers(15, "tengah jalan"))

    async def request(self, call: InboundCall) -> None:
        request = call.request
        facts = {
            "path": request.path,
            "metadata": [[key, value.hex()] for key, value in request.metadata],
            "deadline": request.deadline_left_ms,
            "token": request.token,
            "certificate": request.certificate_sha256 and request.certificate_sha256.hex(),
            "local": request.local,
            "pid": os.getpid(),
        }
        await self._say(call, facts)

    async def events(self, call: InboundCall) -> None:
        await self._say(call, self.seen)

    async def refusals(self, call: InboundCall) -> None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        await self._say(call, {**self.counts, "peak_kib": usage.ru_maxrss})

    async def _say(self, call: InboundCall, facts: object) -> None:
        await call.send(Headers())
        await call.send(Message(json.dumps(facts).encode()))
        await call.send(Trailers(0))

    async def wait(self, call: InboundCall) -> None:
        """Cancelled while its answer is being made, after the half-close."""
        await self._messages(call)
        gone = asyncio.Event()
        call.on_cancel(gone.set)
        await gone.wait()
        self._saw("gone while waiting")
        await call.send(Trailers(0))

    async def linger(self, call: InboundCall) -> None:
        """The same, waiting in receive, with headers sent."""
        await call.send(Headers())
        await self._messages(call)
        if isinstance(await call.receive(), Cancelled):
            self._saw("gone while receiving")

    async def slow(self, call: InboundCall) -> None:
        """Long enough to be polled, and then answered in order."""
        call.on_cancel(lambda: self._saw("never"))
        await self._messages(call)
        await asyncio.sleep(0.3)
        await self._say(call, "slow")

    async def broken(self, call: InboundCall) -> None:
        raise ValueError("a secret of ours")

    async def cut(self, call: InboundCall) -> None:
        raise asyncio.CancelledError

    async def silent(self, call: InboundCall) -> None:
        await call.send(Headers())
        await call.send(Message(b"x"))

    async def refuse(self, call: InboundCall) -> None:
        raise SimpulError(Code.REGION_UNKNOWN, "53.99 is no region: check the code")

    async def drain(self, call: InboundCall) -> None:
        app.drain()
        await self._say(call, "draining")


async def start() -> Host:
    if os.environ.get("TEST_FAILS_TO_START"):
        raise SimpulError(Code.CONFIG_INVALID, "nothing is right: mend it")
    return Host()


app = GatewayApp(start)
