"""The gateway trial: `python -m bench.gateway.trial NAME...` prints one JSON line per question.

Names: rooms, calls, streams, cancel, raw, tls, pipe, load (needs nghttp2's h2load), all.
`raw` needs the h2 package.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from bench.gateway import envoy
from bench.gateway.app import frame
from bench.gateway.rooms import Echo, certificate

_APP = "bench.gateway.app:app"
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
_OPTIONS += [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]


def _say(name: str, **facts: object) -> None:
    print(json.dumps({"trial": name, **facts}, default=str), flush=True)


def _text(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


def _rss_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+)", _text(f"/proc/{pid}/status"))
    return int(found[1]) if found else 0


def channel(target: str, creds: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel with a connection of its own."""
    if creds is None:
        return grpc.aio.insecure_channel(target, _OPTIONS)
    return grpc.aio.secure_channel(target, creds, _OPTIONS)


def _method(to: grpc.aio.Channel, kind: str, name: str) -> Any:  # noqa: ANN401 - raw bytes, no stubs
    return getattr(to, kind)(f"/trial.Echo/{name}")


async def _unary(to: grpc.aio.Channel, method: str, message: bytes = b"") -> bytes:
    call = _method(to, "unary_unary", method)
    return bytes(await call(message, wait_for_ready=True, timeout=10))


async def _seen(to: grpc.aio.Channel) -> dict[str, Any]:
    return dict(json.loads(await _unary(to, "Seen")))


@contextlib.asynccontextmanager
async def worker(
    **config: Any,  # noqa: ANN401
) -> AsyncIterator[tuple[str, int]]:
    """A pyvoy worker: (host:port, pid)."""
    env = config.pop("env", None)
    held, port = envoy.reserve()
    process = envoy.start(envoy.bootstrap(_APP, port=port, **config), env=env)
    try:
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        held.close()


@contextlib.asynccontextmanager
async def aio_worker() -> AsyncIterator[tuple[str, int]]:
    """The other candidate in a process of its own: (host:port, pid)."""
    held, port = envoy.reserve()
    command = [sys.executable, "-m", "bench.gateway.trial", "serve-aio", str(port)]
    process = subprocess.Popen(command)  # noqa: ASYNC220
    try:
        yield f"127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)
        held.close()


async def _serve_aio(port: int) -> None:
    server = grpc.aio.server(options=[("grpc.server.max_pending_requests", 100_000)])
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


_STACKS = {"pyvoy": worker, "grpc.aio": aio_worker}


async def streams() -> None:
    """Question 1 and 6: idle bidirectional streams on four connections, start and idle memory."""
    for (name, stack), count in [(s, n) for s in _STACKS.items() for n in (2000, 5000)]:
        began = time.monotonic()
        async with stack() as (target, pid):
            channels = [channel(target) for _ in range(4)]
            await _unary(channels[0], "Unary")
            started, idle = time.monotonic() - began, _rss_kb(pid)
            began = time.monotonic()
            calls = [_method(channels[i % 4], "stream_stream", "Bidi")() for i in range(count)]
            await asyncio.gather(*(call.initial_metadata() for call in calls))
            opened, full = time.monotonic() - began, _rss_kb(pid)
            began = time.monotonic()
            await calls[-1].write(b"still here")
            answer = await calls[-1].read()
            facts = {"start_s": round(started, 2), "idle_kb": idle, "open_s": round(opened, 2)}
            facts |= {"kb_per_stream": round((full - idle) / count, 1)}
            facts |= {
                "echo_ms": round((time.monotonic() - began) * 1e3, 1),
                "intact": answer == b"still here",
            }
            _say("streams", stack=name, streams=count, **facts)
            for call in calls:
                call.cancel()
            await asyncio.sleep(1)
            _say("streams closed", stack=name, kb=_rss_kb(pid))
            await asyncio.gather(*(one.close() for one in channels))


async def calls() -> None:
    """Question 2 and 3: early headers, trailers, trailers-only, full duplex after half-close."""
    async with worker() as (target, _pid), channel(target) as to:
        await _unary(to, "Unary")
        began = time.monotonic()
        early = _method(to, "unary_stream", "Early")(b"")
        metadata = await early.initial_metadata()
        head_ms = round((time.monotonic() - began) * 1e3, 1)
        first = await early.read()
        late_ms = round((time.monotonic() - began) * 1e3, 1)
        _say(
            "early",
            metadata=tuple(metadata or ()),
            head_ms=head_ms,
            first=first,
            message_ms=late_ms,
        )
        for method in ("Partial", "Fail", "Raise", "Nope", "a/b"):
            call = _method(to, "unary_stream", method)(b"")
            with contextlib.suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
            _say(
                "status", method=method, code=(await call.code()).name, details=await call.details()
            )
        duplex = _method(to, "stream_stream", "Bidi")()
        for i in range(50):
            await duplex.write(b"%d" % i)
            if await duplex.read() != b"%d" % i:
                raise RuntimeError("duplex broke")
        await duplex.done_writing()
        _say("half-close", last=await duplex.read(), code=(await duplex.code()).name)


async def cancel() -> None:
    """Question 3: when the application sees a cancel, blocked in reading and after half-close."""
    async with worker() as (target, _pid), channel(target) as to:
        await _unary(to, "Unary")
        for method in ("Hold", "Wait", "Bidi"):
            for _ in range(5):
                call = _method(to, "stream_stream", method)()
                await call.write(b"x")
                if method == "Wait":
                    await call.done_writing()
                await asyncio.sleep(0.3)
                began = time.monotonic()
                call.cancel()
                await asyncio.sleep(0.2)
                last = (await _seen(to))["seen"][-1]
                ms = round((last["at"] - began) * 1e3, 1)
                _say("cancel", method=method, seen=last["what"], ms=ms, polls=last.get("polls"))
        _say("one poll after half-close", cost=await _unary(to, "Poll"))


async def rooms() -> None:
    """Question 7: two workers on one port, each with links, SQLite and its supervisor's socket."""
    with tempfile.TemporaryDirectory() as folder:
        ready: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        writers: list[asyncio.StreamWriter] = []

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await ready.put(json.loads(await reader.readline()))
            writer.write(b"ping\n")
            await ready.put({"pong": (await reader.readline()).decode()})

        path = f"{folder}/supervisor"
        server = await asyncio.start_unix_server(greet, path)
        held, port = envoy.reserve()
        began = time.monotonic()
        config = [envoy.bootstrap(_APP, port=port, admin=f"{folder}/admin{i}") for i in range(2)]
        with Path(folder, "log").open("wb") as out:  # noqa: ASYNC230
            processes = [envoy.start(c, env={"TRIAL_WORKER": path}, out=out) for c in config]
        _say(
            "rooms",
            heard=[await ready.get() for _ in range(4)],
            s=round(time.monotonic() - began, 2),
        )
        pids: dict[int, int] = {}
        for _ in range(24):
            async with channel(f"127.0.0.1:{port}") as to:
                facts = (await _seen(to))["facts"]
                pids[facts["pid"]] = pids.get(facts["pid"], 0) + 1
        _say("two on one port", connections=pids, facts=facts)
        os.kill(processes[0].pid, 9)
        processes[0].wait()
        survived = 0
        for _ in range(20):
            async with channel(f"127.0.0.1:{port}") as to:
                survived += (await _unary(to, "Unary", b"x")) == b"x"
        began = time.monotonic()
        for writer in writers:
            writer.close()
        code = await asyncio.to_thread(processes[1].wait, 10)
        ended = round(time.monotonic() - began, 3)
        _say("one killed, then supervisor gone", answered=survived, of=20, exit=code, s=ended)
        _say("its output", log=_text(f"{folder}/log")[:500])
        server.close()
        held.close()


async def tls() -> None:
    """Question 8: optional client certificates."""
    key, cert = certificate("node.test")
    theirs, ca = certificate("app.test")
    async with worker(tls=(key, cert, ca)) as (target, _pid):
        local = target.replace("127.0.0.1", "localhost")
        for who, creds in {
            "with": grpc.ssl_channel_credentials(cert, theirs, ca),
            "without": grpc.ssl_channel_credentials(cert),
            "stranger's": grpc.ssl_channel_credentials(cert, *certificate("evil.test")),
        }.items():
            async with channel(local, creds) as to:
                try:
                    seen = await _seen(to)
                    _say("tls", sent=who, tls=seen["tls"], certificate=seen["certificate"])
                except grpc.aio.AioRpcError as error:
                    _say("tls", certificate=who, code=error.code().name, details=error.details())


async def pipe() -> None:
    """Question 8: a Unix-socket listener."""
    with tempfile.TemporaryDirectory() as folder:
        async with (
            worker(pipe=f"{folder}/gateway") as (_target, _pid),
            channel(f"unix:{folder}/gateway") as to,
        ):
            seen = await _seen(to)
            _say("pipe", client=seen["client"], answered=await _unary(to, "Unary", b"x") == b"x")


async def load() -> None:
    """Question 5: unary echo with h2load at 32 and 256 concurrent, alternating the stacks."""
    h2load = shutil.which("h2load")
    if h2load is None:
        raise SystemExit("load needs h2load (Debian: nghttp2-client)")
    with tempfile.NamedTemporaryFile() as body:
        body.write(frame(b"x" * 100))
        body.flush()
        for _ in range(3):
            for (name, stack), n in [(s, n) for s in _STACKS.items() for n in (32, 256)]:
                async with stack() as (target, _pid), channel(target) as to:
                    await _unary(to, "Unary")
                    command = [
                        h2load,
                        "-D4",
                        "--warm-up-time=1",
                        "-c4",
                        f"-m{n // 4}",
                        "-d",
                        body.name,
                    ]
                    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
                    command += [f"http://{target}/trial.Echo/Unary"]
                    done = await asyncio.to_thread(
                        subprocess.run, command, capture_output=True, check=True
                    )
                    found = re.search(rb"finished in.*?, ([\d.]+) req/s", done.stdout)
                    status = re.search(rb"status codes: .*", done.stdout)
                    _say(
                        "load",
                        stack=name,
                        concurrent=n,
                        rps=found and found[1],
                        status=status and status[0],
                    )


async def raw() -> None:
    """Question 4: malformed requests, then a good one on a new connection."""
    from bench.gateway.raw import exchange  # noqa: PLC0415 - needs h2, which the project does not

    good = [(":method", "POST"), (":scheme", "http"), (":path", "/trial.Echo/Unary")]
    good += [(":authority", "x"), ("content-type", "application/grpc"), ("te", "trailers")]
    bad: dict[str, dict[str, bytes | str | None]] = {
        "good": {},
        "path \\xff": {":path": b"/trial.Echo/\xff"},
        "path %ff": {":path": "/trial.Echo/%ff"},
        "path empty": {":path": ""},
        "path *": {":path": "*"},
        "path ?": {":path": "/trial.Echo/Unary?x=1"},
        "no te": {"te": None},
        "no content-type": {"content-type": None},
        "text/plain": {"content-type": "text/plain"},
        "GET": {":method": "GET"},
        "no path": {":path": None},
        "value \\xff": {"x-bad": b"a\xff"},
        "upper-case key": {"X-Bad": "1"},
        "64 KiB value": {"x-big": "v" * 65_000},
        "300 headers": {f"x-{i}": "v" for i in range(300)},
        "raise": {":path": "/trial.Echo/Raise"},
        "fail": {":path": "/trial.Echo/Fail"},
        "half-closed by headers": {"end": ""},
    }
    async with worker() as (target, pid):
        async with channel(target) as to:
            await _unary(to, "Unary")
        for name, change in bad.items():
            end = "end" in change
            fields = {**dict(good), **{k: v for k, v in change.items() if k != "end"}}
            head = [(k, v) for k, v in fields.items() if v is not None]
            _say(
                "raw",
                case=name,
                got=await asyncio.to_thread(exchange, target, head, frame(b"x"), end),
            )
        async with channel(target) as to:
            alive = await _unary(to, "Unary", b"x") == b"x"
        _say("raw", alive=alive, rss_kb=_rss_kb(pid))


_TRIALS: dict[str, Callable[[], Awaitable[None]]] = {
    f.__name__: f for f in (rooms, calls, cancel, streams, tls, pipe, raw, load)
}


def main() -> None:
    """Run the named trials."""
    names = sys.argv[1:] or ["all"]
    if names[0] == "serve-aio":
        asyncio.run(_serve_aio(int(names[1])))
        return
    for name in _TRIALS if names == ["all"] else names:
        asyncio.run(_TRIALS[name]())  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
