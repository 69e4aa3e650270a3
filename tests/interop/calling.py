"""One call by a stock client, as its app sees it: everything that came back, in one value."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any

from grpc import aio

from tests.interop.federation import Way
from tests.interop.probe import SERVICE, Metadata

# What a node adds to every answer: the call's id, and the HTTP date that Envoy states.
NODES_OWN = frozenset({"simpul-call-id", "date"})
WAIT_S = 10.0
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_metadata_size", 256 * 1024),
    ("grpc.enable_retries", 0),
    # As the service's: on a busy machine the default grows to tens of megabytes for each stream.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
]


@dataclass(frozen=True)
class Outcome:
    """A call from its client's side. Metadata in order, by key as the client groups it."""

    code: int
    details: str
    initial: Metadata
    messages: tuple[bytes, ...]
    trailing: Metadata

    @property
    def plain(self) -> "Outcome":
        """Without what nodes add: two ways can be compared."""
        return replace(self, initial=_without(self.initial), trailing=_without(self.trailing))

    def value(self, key: str) -> str | bytes | None:
        """The trailing metadatum of this key."""
        return dict(self.trailing).get(key)


def channel(way: Way) -> AbstractAsyncContextManager[Any]:
    """A channel that takes whatever comes."""
    return aio.insecure_channel(way.target, options=OPTIONS)


def start(
    channel_: Any, way: Way, method: str, name: str, *more: tuple[str, str | bytes],
    timeout_s: float | None = WAIT_S,
) -> Any:  # fmt: skip
    """Begins a call of the probe; every kind is a stream both ways on the wire."""
    metadata = (*way.with_probe(name), *more)
    return channel_.stream_stream(f"/{SERVICE}/{method}")(metadata=metadata, timeout=timeout_s)


async def finish(call: Any, requests: Sequence[bytes] = ()) -> Outcome:
    """Sends the requests, half-closes, and takes all that comes."""
    sending = asyncio.create_task(_send(call, requests))
    messages = []
    try:
        while isinstance(message := await call.read(), bytes):
            messages.append(message)
    except aio.AioRpcError:
        pass
    code, details = await call.code(), await call.details()
    await asyncio.wait({sending})
    return Outcome(
        code.value[0],
        details or "",
        tuple(await call.initial_metadata() or ()),
        tuple(messages),
        tuple(await call.trailing_metadata() or ()),
    )


async def ask(
    way: Way, method: str, name: str, *requests: bytes,
    metadata: Metadata = (), timeout_s: float | None = WAIT_S,
) -> Outcome:  # fmt: skip
    """A whole call on a channel of its own."""
    async with channel(way) as opened:
        call = start(opened, way, method, name, *metadata, timeout_s=timeout_s)
        return await finish(call, requests)


async def until(look: Callable[[], Any], timeout_s: float = 5.0) -> float:
    """Waits until `look` finds something; returns `time.monotonic()` then."""
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.001)
    return time.monotonic()


async def gather_some(work: Sequence[Callable[[], Coroutine[Any, Any, Any]]], at_once: int) -> Any:
    """Runs all, so many at a time."""
    gate = asyncio.Semaphore(at_once)

    async def one(make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        async with gate:
            return await make()

    return await asyncio.gather(*(one(make) for make in work))


async def _send(call: Any, requests: Sequence[bytes]) -> None:
    # A call that is over takes no more: its status says why. (A failed write would hide it.)
    await call._metadata_sent.wait()
    for request in requests:
        if call.done():
            return
        try:
            await call._cython_call.send_serialized_message(request)
        except aio.InternalError:
            return
    if not call.done():
        try:
            await call._cython_call.send_receive_close()
        except aio.InternalError:
            return


def _without(metadata: Metadata) -> Metadata:
    return tuple(pair for pair in metadata if pair[0] not in NODES_OWN)
