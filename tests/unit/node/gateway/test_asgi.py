"""The gateway inside a real Envoy, called by grpcio and frame by frame."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.rpc import status_pb2
from grpc import aio

from node.gateway.admin import EnvoyAdmin
from runtime.ports import TcpAddress, UnixAddress
from security.errors import ERRORS, Code
from tests.unit.node.gateway.envoys import (
    WAIT_S,
    Envoy,
    envoy,
    exchange,
    frame,
    free_port,
    wait_until_listening,
)

LARGE = 100_000


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Envoy]:
    folder = tmp_path_factory.mktemp("envoy")
    with free_port() as port, envoy(folder, TcpAddress("127.0.0.1", port)) as one:
        wait_until_listening(one)
        yield one


@pytest.fixture
def port(worker: Envoy) -> int:
    assert isinstance(worker.address, TcpAddress)
    return worker.address.port


def open_channel(target: str) -> aio.Channel:
    options = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
    return aio.insecure_channel(target, options)


@pytest_asyncio.fixture
async def channel(port: int) -> AsyncIterator[aio.Channel]:
    async with open_channel(f"127.0.0.1:{port}") as one:
        yield one


def stream(to: aio.Channel, name: str, requests: AsyncIterator[bytes] | None = None) -> Any:
    method: Any = to.stream_stream(f"/t.T/{name}")
    return method(requests)


def download(to: aio.Channel, name: str) -> Any:
    method: Any = to.unary_stream(f"/t.T/{name}")
    return method(b"")


async def ask(to: aio.Channel, name: str, message: bytes = b"", **how: Any) -> bytes:
    method: Any = to.unary_unary(f"/t.T/{name}")
    return bytes(await method(message, timeout=10, **how))


async def facts(to: aio.Channel, name: str = "Request", **how: Any) -> Any:
    return json.loads(await ask(to, name, **how))


def pairs(metadata: Any) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in metadata if key not in {"date", "user-agent"}]


# The four kinds.


async def test_a_unary_call_carries_metadata_both_ways(channel: aio.Channel) -> None:
    sent = (("x-b", "2"), ("x-a-bin", b"\0\xff\1"), ("x-b", "1"))
    method: Any = channel.unary_unary("/t.T/Unary")
    call = method(b"halo", metadata=sent)
    assert await call == b"halo"
    head = pairs(await call.initial_metadata())
    assert head[0] == ("x-head", "1")
    assert [item for item in head if item[0] == "x-b"] == [("x-b", "2"), ("x-b", "1")]
    assert ("x-a-bin", b"\0\xff\1") in head
    assert pairs(await call.trailing_metadata()) == [("x-tail-bin", b"\0\xff"), ("x-tail", "2")]


async def test_a_server_stream(channel: aio.Channel) -> None:
    call = download(channel, "Many")
    assert [message async for message in call] == [b"%d" % number for number in range(100)]


async def test_a_client_stream(channel: aio.Channel) -> None:
    async def some() -> AsyncIterator[bytes]:
        for number in range(20):
            yield b"%d" % number

    call = stream(channel, "Bidi", some())
    assert [message async for message in call][-1] == b"20"


async def test_a_bidirectional_stream_takes_turns_and_survives_the_half_close(
    channel: aio.Channel,
) -> None:
    call = stream(channel, "Bidi")
    for message in (b"a", b"", b"c" * 90_000):
        await call.write(message)
        assert await call.read() == message
    await call.done_writing()
    assert await call.read() == b"3"
    assert await call.code() is grpc.StatusCode.OK


# Answers.


async def test_headers_leave_before_the_first_message(channel: aio.Channel) -> None:
    await ask(channel, "Echo")
    began = time.monotonic()
    call = download(channel, "Early")
    assert pairs(await call.initial_metadata()) == [("x-head", "early")]
    assert time.monotonic() - began < 0.2
    assert await call.read() == b"late"
    assert time.monotonic() - began >= 0.3


async def test_a_message_does_not_wait_for_the_next(channel: aio.Channel) -> None:
    await ask(channel, "Echo")
    began = time.monotonic()
    call = download(channel, "First")
    assert await call.read() == b"first"
    assert time.monotonic() - began < 0.2
    assert await call.read() == b"second"


def test_an_error_is_trailers_only(port: int) -> None:
    raw = exchange(port, path="/t.T/Fail")
    assert raw.trailers_only
    assert raw.body == b""
    assert raw.headers["grpc-status"] == "7"
    assert raw.headers["grpc-message"] == "tidak boleh: 50%25 %C3%A9%0A"
    assert raw.headers["grpc-status-details-bin"] == "AQI"
    assert "grpc-timeout" not in raw.headers
    assert "te" not in raw.headers


def test_trailers_follow_messages_and_ok_is_said(port: int) -> None:
    raw = exchange(port, path="/t.T/Unary")
    assert not raw.trailers_only
    assert raw.headers[":status"] == "200"
    assert raw.headers["content-type"] == "application/grpc"
    assert raw.body == frame(b"x")
    assert raw.trailers["grpc-status"] == "0"
    assert raw.trailers["grpc-message"] == "baik"
    assert exchange(port, path="/t.T/Partial").trailers["grpc-status"] == "15"


async def test_a_status_message_of_any_unicode_arrives(channel: aio.Channel) -> None:
    with pytest.raises(aio.AioRpcError) as caught:
        await ask(channel, "Fail")
    assert caught.value.details() == "tidak boleh: 50% é\n"
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("Broken", "13", "INTERNAL"), ("Silent", "13", "INTERNAL"), ("Cut", "14", "NODE_DRAINING"),
     ("Refuse", "5", "REGION_UNKNOWN"), ("NoSuch", "13", "INTERNAL")],
)  # fmt: skip
def test_a_host_that_fails_still_answers(port: int, name: str, status: str, code: str) -> None:
    raw = exchange(port, path=f"/t.T/{name}")
    said = raw.headers | raw.trailers
    assert (said["grpc-status"], said["simpul-error"]) == (status, code)
    assert "secret" not in said["grpc-message"]


# Requests.


async def test_the_request_is_told_whole(channel: aio.Channel) -> None:
    sent = (("simpul-to", "ID/DAERAH/53.15/p"), ("simpul-token", "rahasia"), ("simpul-x", "1"))
    got = await facts(channel, metadata=sent)
    metadata = {key: bytes.fromhex(value) for key, value in got["metadata"]}
    assert got["path"] == "/t.T/Request"
    assert got["token"] == "rahasia"
    assert got["local"]
    assert 9_000 <= got["deadline"] <= 10_100
    assert metadata["user-agent"].startswith(b"grpc-python-asyncio")
    assert b"gzip" in metadata.pop("grpc-accept-encoding")
    assert set(metadata) == {"simpul-to", "simpul-x", "user-agent"}


def test_no_deadline_and_no_token_are_none(port: int) -> None:
    got = json.loads(exchange(port, path="/t.T/Request").body[5:])
    assert (got["deadline"], got["token"], got["certificate"]) == (None, None, None)


def test_a_certificate_that_was_not_proved_is_not_believed(port: int) -> None:
    claim = f"Hash={'ab' * 32};Subject=x"
    raw = exchange(port, path="/t.T/Request", x_forwarded_client_cert=claim)
    got = json.loads(raw.body[5:])
    assert got["certificate"] is None
    assert got["metadata"] == []


def test_compressed_messages_pass_as_they_are(port: int) -> None:
    raw = exchange(port, frame(b"gz", flag=1), grpc_encoding="gzip", grpc_accept_encoding="gzip,x")
    assert raw.body == frame(b"gz", flag=1)
    assert raw.headers["grpc-encoding"] == "gzip"
    assert raw.headers["grpc-accept-encoding"] == "gzip,x"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": b"/t.T/\xff"}, "12"), ({"path": "/t.T/%ff"}, "12"), ({"path": "/a/b/c"}, "12"),
        ({"path": "/t.T/Unary?x=1"}, "12"), ({"path": "/t.T/Unary#x"}, "12"),
        ({"te": None}, "3"), ({"method": "GET"}, "3"),
        ({"grpc_timeout": "1.5S"}, "3"), ({"x_a_bin": "!"}, "3"), ({"x_a": b"\xe9"}, "3"),
        ({"x_big": "v" * 9000}, "8"),
    ],
)  # fmt: skip
def test_malformed_requests_are_refused(port: int, change: dict[str, Any], status: str) -> None:
    raw = exchange(port, **change)
    assert raw.headers.get("grpc-status") == status
    code = Code(raw.headers["simpul-error"])
    assert str(ERRORS[code].grpc_status) == status
    details = status_pb2.Status.FromString(_decoded(raw.headers["grpc-status-details-bin"]))
    assert details.message == raw.headers["grpc-message"]
    assert "RBAC" not in details.message
    assert exchange(port).status == "0"


def _decoded(value: str) -> bytes:
    return base64.b64decode(value + "=" * (-len(value) % 4))


@pytest.mark.parametrize(
    "change",
    [
        {f"x_{number}": "v" * 10_000 for number in range(10)},
        {f"x_{number}": "v" * 10_000 for number in range(90)},
        {f"x_{number}": "v" for number in range(300)},
        {f"x_{number}": "v" for number in range(4000)},
        {f"x_{number}_bin": "!" for number in range(1000)},
    ],
    ids=["100 kB", "900 kB", "300 keys", "4,000 keys", "malformed, too"],
)
def test_metadata_past_the_limit_is_refused_in_words(port: int, change: dict[str, Any]) -> None:
    raw = exchange(port, **change)
    assert (raw.status, raw.headers.get("simpul-error")) == ("8", "METADATA_TOO_LARGE")
    assert "from the app" in raw.headers["grpc-message"]
    assert "limit is 8192" in raw.headers["grpc-message"]


def test_metadata_past_all_reason_resets_the_stream(port: int) -> None:
    headers: dict[str, Any] = {f"x_{n}": "v" * 10_000 for n in range(150)}
    assert exchange(port, **headers).reset is not None
    assert exchange(port).status == "0"


@pytest.mark.parametrize("change", [{"path": "*"}, {"path": None}, {"path": ""}, {"X-Up": "1"}])
def test_what_http2_forbids_resets_the_stream(port: int, change: dict[str, Any]) -> None:
    assert exchange(port, **change).reset is not None
    assert exchange(port).status == "0"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/grpc-web"])
def test_what_is_not_grpc_gets_an_http_status(port: int, content_type: str | None) -> None:
    raw = exchange(port, content_type=content_type)
    assert (raw.headers[":status"], raw.headers["simpul-error"]) == ("415", "REQUEST_MALFORMED")
    assert b"call it with a gRPC client" in raw.body


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        (
            b"POST /t.T/Unary HTTP/1.1\r\nHost: x\r\ncontent-type: application/grpc\r\n"
            b"te: trailers\r\ncontent-length: 6\r\n\r\n\0\0\0\0\1x"
        ),
    ],
)
def test_a_browser_is_told_what_the_port_is_for(port: int, request_: bytes) -> None:
    answer = b""
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as browser:
        browser.sendall(request_)
        while data := browser.recv(4096):
            answer += data
    assert b"simpul-error: REQUEST_MALFORMED" in answer
    assert b"call it with a gRPC client" in answer


def test_who_speaks_no_http_at_all_is_cut_off(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), WAIT_S) as stranger:
        stranger.sendall(b"\x16\x03\x01 no HTTP of any version \0" * 20)
        with contextlib.suppress(ConnectionError):
            assert stranger.recv(4096) == b""
    assert exchange(port).status == "0"


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\2\0\0\0\0", "3"), (b"\0\0\0\0\5abc", "3"), (frame(b"x" * (LARGE + 1)), "8"),
     (b"\0\xff\xff\xff\xff", "8"), (frame(b"x" * 60_000), "0")],
)  # fmt: skip
def test_malformed_bodies_are_refused(port: int, body: bytes, status: str) -> None:
    # h2 lets 65,535 bytes through before the first window update, so the large one is only begun.
    assert exchange(port, body[:65_000]).status == status


async def test_a_message_over_the_limit_names_the_limit(channel: aio.Channel) -> None:
    assert len(await ask(channel, "Echo", b"x" * LARGE)) == LARGE
    with pytest.raises(aio.AioRpcError) as caught:
        await ask(channel, "Echo", b"x" * (LARGE + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "from the app has 100001 bytes, and the limit is 100000" in str(caught.value.details())


# Apps that go away.


@pytest.mark.parametrize(
    ("name", "half_close", "what"),
    [
        ("Wait", False, "cancelled while reading"), ("Bidi", False, "cancelled in a stream"),
        ("Wait", True, "gone while waiting"), ("Linger", True, "gone while receiving"),
    ],
)  # fmt: skip
async def test_a_cancel_is_seen_at_once(
    channel: aio.Channel, name: str, half_close: bool, what: str
) -> None:
    took_s = [await _cancel_takes_s(channel, name, half_close, what) for _ in range(3)]
    # On a busy machine one may be late; the rule is not.
    assert min(took_s) < 0.1, took_s


async def _cancel_takes_s(to: aio.Channel, name: str, half_close: bool, what: str) -> float:
    before = len(await facts(to, "Events"))
    call = stream(to, name)
    await call.write(b"x")
    if half_close:
        await call.done_writing()
    await asyncio.sleep(0.2)
    began = time.monotonic()
    call.cancel()
    while len(seen := await facts(to, "Events")) == before:
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.01)
    assert seen[-1]["what"] == what
    return float(seen[-1]["at"]) - began


async def test_a_waiting_call_that_is_polled_is_answered_all_the_same(channel: aio.Channel) -> None:
    assert await asyncio.gather(*(ask(channel, "Slow") for _ in range(20))) == [b'"slow"'] * 20
    assert not [event for event in await facts(channel, "Events") if event["what"] == "never"]


# Too many, and the end.


async def test_calls_over_the_limit_are_refused(channel: aio.Channel) -> None:
    waiting = [stream(channel, "Bidi") for _ in range(50)]
    await asyncio.gather(*(call.initial_metadata() for call in waiting))
    with pytest.raises(aio.AioRpcError) as caught:
        await ask(channel, "Echo")
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert dict(caught.value.trailing_metadata() or ())["simpul-error"] == "OVERLOADED"
    await waiting[0].done_writing()
    assert await waiting[0].read() == b"0"
    assert await ask(channel, "Echo", b"x") == b"x"
    for call in waiting:
        call.cancel()


def test_the_admin_socket_and_the_configuration_are_private(worker: Envoy) -> None:
    assert stat.S_IMODE(worker.admin.stat().st_mode) == 0o600
    file = worker.admin.with_name("config-0")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_two_workers_share_a_port_and_end_in_order(tmp_path: Path) -> None:
    with free_port() as port:
        address = TcpAddress("127.0.0.1", port)
        with envoy(tmp_path, address, "0") as first, envoy(tmp_path, address, "1") as second:
            wait_until_listening(first)
            await asyncio.sleep(0)
            pids: set[int] = set()
            until = time.monotonic() + WAIT_S
            while len(pids) < 2 and time.monotonic() < until:
                async with open_channel(f"127.0.0.1:{port}") as to:
                    pids.add((await facts(to))["pid"])
            assert pids == {first.process.pid, second.process.pid}
            await _draining(first, second, port)


async def _draining(first: Envoy, second: Envoy, port: int) -> None:
    """A drained worker refuses; a worker whose listener is drained lets its calls end."""
    async with open_channel(f"127.0.0.1:{port}") as to:
        call = stream(to, "Bidi")
        await call.initial_metadata()
        pid = (await facts(to))["pid"]
        await facts(to, "Drain")
        with pytest.raises(aio.AioRpcError) as caught:
            await ask(to, "Echo")
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert dict(caught.value.trailing_metadata() or ())["simpul-error"] == "NODE_DRAINING"
        drained, other = (first, second) if first.process.pid == pid else (second, first)
        admin = EnvoyAdmin(drained.admin)
        assert await admin.drain()
        assert await admin.open_calls() == 1
        await call.done_writing()
        assert await call.read() == b"0"
        async with asyncio.timeout(WAIT_S):
            while await admin.open_calls():
                await asyncio.sleep(0.01)
    for one in (drained, other):
        one.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(one.process.wait, WAIT_S) == 0
        assert "stopped in order" in one.log.read_text(encoding="utf-8")
        assert await EnvoyAdmin(one.admin).open_calls() == 0


async def test_a_unix_socket_serves_and_is_local(tmp_path: Path) -> None:
    path = tmp_path / "gateway"
    with envoy(tmp_path, UnixAddress(str(path))) as one:
        wait_until_listening(one)
        async with open_channel(f"unix:{path}") as to:
            assert (await facts(to))["local"]


def test_a_host_that_cannot_start_ends_the_process(tmp_path: Path) -> None:
    with (
        free_port() as port,
        envoy(tmp_path, TcpAddress("127.0.0.1", port), TEST_FAILS_TO_START="1") as one,
    ):
        assert one.process.wait(WAIT_S) != 0
        assert "nothing is right: mend it" in one.log.read_text(encoding="utf-8")
