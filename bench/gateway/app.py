"""The trial's ASGI application: a handful of gRPC methods that show what the embedded stack does.

It is not the gateway. It answers raw gRPC (length-prefixed messages, trailers). In its lifespan it
runs what a worker must run in the same loop: a grpc.aio server and channel with mutual TLS, SQLite
in a thread, and a Unix-socket connection to the process that started it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote

Scope = MutableMapping[str, Any]
Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_CONTENT = (b"content-type", b"application/grpc")
_seen: list[dict[str, Any]] = []
_facts: dict[str, Any] = {}
_keep: list[Any] = []


def frame(message: bytes) -> bytes:
    """One uncompressed gRPC message with its five-byte prefix."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def trailers(status: int, message: str = "") -> Headers:
    """The gRPC status as HTTP trailers."""
    safe = quote(message, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return [(b"grpc-status", str(status).encode()), (b"grpc-message", safe.encode())]


class Call:
    """One call's answering half: headers leave when asked, not with the first message."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def headers(self, extra: Headers | None = None) -> None:
        """Send the initial metadata now: an empty body event carries the response's head."""
        start = {"type": "http.response.start", "status": 200, "trailers": True}
        await self._send({**start, "headers": [_CONTENT, *(extra or [])]})
        await self._send({"type": "http.response.body", "body": b"", "more_body": True})

    async def message(self, message: bytes) -> None:
        """Send one message; returns when it has been handed to the HTTP/2 stack."""
        body = {"type": "http.response.body", "body": frame(message), "more_body": True}
        await self._send(body)

    async def close(self, status: int, message: str = "") -> None:
        """End the call after headers."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await self._send({"type": "http.response.trailers", "headers": trailers(status, message)})

    async def unary(self, message: bytes) -> None:
        """The whole unary answer in one hand-over."""
        start = {"type": "http.response.start", "status": 200, "trailers": True}
        await self._send({**start, "headers": [_CONTENT]})
        await self._send({"type": "http.response.body", "body": frame(message)})
        await self._send({"type": "http.response.trailers", "headers": trailers(0)})

    async def refuse(self, status: int, message: str) -> None:
        """A trailers-only answer."""
        head = [_CONTENT, *trailers(status, message)]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})
        await self._send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        event = await receive()
        if event["type"] == "http.disconnect":
            return b""
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            return b"".join(parts)


async def _gone(receive: Receive, what: str) -> None:
    polls = 0
    while (await receive())["type"] != "http.disconnect":
        polls += 1
        await asyncio.sleep(0.02)
    _seen.append({"what": what, "at": time.monotonic(), "polls": polls})


async def _bidi(receive: Receive, call: Call) -> None:
    await call.headers()
    buffer, more, messages = bytearray(), True, 0
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            _seen.append({"what": "bidi", "at": time.monotonic()})
            return
        buffer += event.get("body", b"")
        more = event.get("more_body", False)
        while len(buffer) >= 5 and len(buffer) >= 5 + (size := int.from_bytes(buffer[1:5], "big")):
            await call.message(bytes(buffer[5 : 5 + size]))
            messages += 1
            del buffer[: 5 + size]
    await call.message(b"half-closed after %d" % messages)
    await call.close(0)


async def _handle(  # noqa: C901 - a table of methods
    scope: Scope, receive: Receive, call: Call
) -> None:
    match scope["path"].rpartition("/")[2]:
        case "Unary":
            await call.unary((await _body(receive))[5:])
        case "Bidi":
            await _bidi(receive, call)
        case "Early":
            await call.headers([(b"x-early", b"1")])
            await asyncio.sleep(0.3)
            await call.message(b"late")
            await call.close(0)
        case "Partial":
            await call.headers()
            await call.message(b"one")
            await call.close(15, "tengah jalan: 50% é\n")
        case "Fail":
            await call.refuse(7, "tidak boleh: 50% é\n")
        case "Hold":
            await _gone(receive, "hold")
        case "Wait":
            await _body(receive)
            await _gone(receive, "wait")
        case "Poll":
            await _body(receive)
            began = time.perf_counter()
            for _ in range(200):
                await asyncio.gather(*(receive() for _ in range(20)))
            await call.unary(f"{(time.perf_counter() - began) / 4000 * 1e6:.1f} us".encode())
        case "Raise":
            raise ValueError("seen on stderr")
        case "Seen":
            tls = scope["extensions"].get("tls")
            facts = {"facts": _facts, "seen": _seen, "tls": tls, "client": scope["client"]}
            facts["headers"] = [k.decode() for k, _ in scope["headers"]]
            facts["certificate"] = dict(scope["headers"]).get(b"x-forwarded-client-cert")
            await call.unary(json.dumps(facts, default=str).encode())
        case _:
            await call.refuse(12, "no such method")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI entry point."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await _handle(scope, receive, Call(send))


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    try:
        if "TRIAL_WORKER" in os.environ:
            await _start_rooms()
        _facts.update(loop=type(asyncio.get_running_loop()).__module__, pid=os.getpid())
        _facts.update(thread=threading.current_thread().name, argv=sys.argv, exe=sys.executable)
        _facts["main_thread"] = threading.current_thread() is threading.main_thread()
    except Exception as error:  # noqa: BLE001 - the trial reports whatever stops a worker
        await send({"type": "lifespan.startup.failed", "message": str(error)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print(json.dumps({"event": "shutdown", "pid": os.getpid()}), flush=True)
    for room in _keep:
        await room.stop(0) if hasattr(room, "stop") else await room.close()
    await send({"type": "lifespan.shutdown.complete"})


async def _start_rooms() -> None:
    from bench.gateway.rooms import link_pair  # noqa: PLC0415 - only the worker trial needs grpc

    server, channel, answer = await link_pair()
    _keep.extend([channel, server])
    _facts["link"] = answer.decode()
    _facts["sqlite"] = await asyncio.to_thread(_sqlite)
    reader, writer = await asyncio.open_unix_connection(os.environ["TRIAL_WORKER"])
    writer.write(json.dumps({"ready": os.getpid()}).encode() + b"\n")
    _facts["heard"] = asyncio.create_task(_supervisor(reader, writer))


async def _supervisor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readline():
        writer.write(b"pong\n")
    os.kill(os.getpid(), signal.SIGTERM)


def _sqlite() -> str:
    with tempfile.TemporaryDirectory() as folder, sqlite3.connect(f"{folder}/t.db") as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE t (a)")
        return str(db.execute("SELECT sqlite_version()").fetchone()[0])
