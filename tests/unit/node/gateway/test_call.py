"""The adapter without Envoy: what exactly it says to the ASGI server, and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.calls import CallRequest, Cancelled, HalfClose, Headers, InboundCall, Message, Trailers
from node.gateway.asgi import GatewayApp
from node.gateway.call import AsgiCall
from node.gateway.limits import CallLimits
from node.gateway.poller import Poller
from node.gateway.turn import EndOfTurn
from security.errors import SimpulError

X = b"\0\0\0\0\1x"
GONE = {"type": "http.disconnect"}


class Server:
    """An ASGI server's two halves: says `incoming`, then what a half-closed stream says."""

    def __init__(self, *incoming: dict[str, Any]) -> None:
        self.incoming = list(incoming)
        self.sent: list[dict[str, Any]] = []
        self.looks = 0
        self.gone = False

    async def receive(self) -> dict[str, Any]:
        if self.incoming:
            return self.incoming.pop(0)
        self.looks += 1
        return GONE if self.gone else {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, event: Any) -> None:
        if self.gone:
            raise OSError("client disconnected")
        self.sent.append(event)

    def call(self, poller: Poller | None = None) -> AsgiCall:
        request = CallRequest("/t.T/M", (), None)
        poller = poller or Poller()
        return AsgiCall(request, self.receive, self.send, poller, EndOfTurn(), 100)

    @property
    def bodies(self) -> list[tuple[bytes, bool]]:
        bodies = [event for event in self.sent if event["type"] == "http.response.body"]
        return [(event["body"], event["more_body"]) for event in bodies]


def body(data: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": data, "more_body": more}


async def turn() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


async def test_a_unary_answer_leaves_in_one_piece() -> None:
    server = Server()
    call = server.call()
    for event in (Headers(), Message(b"x"), Trailers(0)):
        await call.send(event)
    assert [event["type"] for event in server.sent] == [
        "http.response.start", "http.response.body", "http.response.trailers",
    ]  # fmt: skip
    assert server.bodies == [(X, False)]
    await turn()
    assert len(server.sent) == 3


async def test_headers_alone_leave_with_the_turn() -> None:
    server = Server()
    call = server.call()
    await call.send(Headers((("x", b"1"),)))
    assert server.sent == []
    await turn()
    assert server.sent[0]["headers"] == [(b"content-type", b"application/grpc"), (b"x", b"1")]
    assert server.bodies == [(b"", True)]
    await call.send(Message(b"x"))
    await call.send(Trailers(0))
    assert server.bodies == [(b"", True), (X, True), (b"", False)]


async def test_two_messages_leave_at_once_and_in_order() -> None:
    server = Server()
    call = server.call()
    for _ in range(3):
        await call.send(Message(b"x"))
    assert server.bodies == [(X + X, True), (X, True)]


async def test_trailers_alone_are_headers() -> None:
    server = Server()
    await server.call().send(Trailers(5, "é"))
    assert server.sent[0]["headers"][1:] == [(b"grpc-status", b"5"), (b"grpc-message", b"%C3%A9")]
    assert not server.sent[0]["trailers"]
    assert server.bodies == [(b"", False)]


@pytest.mark.parametrize("events", [(Trailers(0), Trailers(0)), (Headers(), Headers())])
async def test_an_answer_out_of_order_is_our_fault(events: tuple[Any, Any]) -> None:
    call = Server().call()
    await call.send(events[0])
    with pytest.raises(RuntimeError):
        await call.send(events[1])


async def test_requests_are_read_only_when_asked() -> None:
    server = Server(body(X[:2], more=True), body(X[2:] + X, more=True), body(b""))
    call = server.call()
    assert len(server.incoming) == 3
    assert [await call.receive() for _ in range(2)] == [Message(b"x")] * 2
    assert len(server.incoming) == 1
    assert await call.receive() == HalfClose()


async def test_messages_before_a_fault_are_told_first_and_the_fault_again() -> None:
    call = Server(body(X + b"\7\0\0\0\0", more=True)).call()
    for _ in range(2):
        with pytest.raises(SimpulError, match="flag 7"):
            await call.receive()


async def test_a_call_is_watched_when_it_waits_and_forgotten_when_answered() -> None:
    server, poller = Server(body(X)), Poller()
    call = server.call(poller)
    told: list[str] = []
    call.on_cancel(lambda: told.append("gone"))
    assert poller.waiting == 0
    assert [await call.receive(), await call.receive()] == [Message(b"x"), HalfClose()]
    assert poller.waiting == 1
    await asyncio.sleep(0.03)
    assert server.looks == 0
    await asyncio.sleep(0.1)
    assert server.looks > 0
    assert told == []
    server.gone = True
    await asyncio.sleep(0.05)
    assert told == ["gone"]
    assert poller.waiting == 0
    assert await call.receive() == Cancelled()


async def test_a_fault_in_one_call_does_not_blind_the_poller() -> None:
    poller, told = Poller(), []

    def fail() -> None:
        raise ValueError("ours")

    for callback in (fail, lambda: told.append("gone")):
        server = Server(body(X))
        call = server.call(poller)
        call.on_cancel(callback)
        assert [await call.receive(), await call.receive()] == [Message(b"x"), HalfClose()]
        server.gone = True
    await asyncio.sleep(0.12)
    assert told == ["gone"]
    assert poller.waiting == 0


async def test_sending_to_an_app_that_is_gone_is_nothing() -> None:
    server = Server(body(X))
    call = server.call()
    assert [await call.receive(), await call.receive()] == [Message(b"x"), HalfClose()]
    server.gone = True
    await call.send(Message(b"x"))
    await turn()
    await call.send(Message(b"x"))
    assert call.over
    await call.send(Trailers(0))
    assert server.sent == []


class Host:
    """Keeps the request, answers OK."""

    limits = CallLimits(max_open_calls=1)

    def __init__(self) -> None:
        self.request: CallRequest | None = None

    async def serve(self, call: InboundCall) -> None:
        self.request = call.request
        await call.send(Trailers(0))

    async def stop(self) -> None:
        """Nothing to give back."""


async def requested(**scope: Any) -> CallRequest:
    host = Host()

    async def start() -> Host:
        return host

    app = GatewayApp(start)
    lifespan = Server({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    gate = asyncio.Event()

    async def until_shutdown() -> dict[str, Any]:
        if len(lifespan.incoming) == 1:
            await gate.wait()
        return await lifespan.receive()

    living = asyncio.create_task(app({"type": "lifespan"}, until_shutdown, lifespan.send))
    await turn()
    server = Server(body(X))
    whole = {"type": "http", "path": "/t.T/M", "headers": [], "client": ("127.0.0.1", 1), **scope}
    await app(whole, server.receive, server.send)
    gate.set()
    await living
    assert [event["type"] for event in lifespan.sent] == [
        "lifespan.startup.complete", "lifespan.shutdown.complete",
    ]  # fmt: skip
    await app.wait_idle()
    assert host.request is not None
    return host.request


@pytest.mark.parametrize(
    ("client", "local"),
    [(None, True), (("127.0.0.1", 1), True), (("127.9.9.9", 1), True), (("::1", 1), True),
     (("::ffff:127.0.0.1", 1), True), (("10.0.0.1", 1), False), (("::ffff:10.0.0.1", 1), False),
     (("localhost", 1), False)],
)  # fmt: skip
async def test_who_is_local(client: Any, local: bool) -> None:
    assert (await requested(client=client)).local is local


@pytest.mark.parametrize(
    ("extensions", "value", "sha256"),
    [
        ({"tls": {}}, b"Hash=" + b"ab" * 32 + b';Subject="CN=x"', bytes.fromhex("ab" * 32)),
        ({}, b"Hash=" + b"ab" * 32, None),
        (None, b"Hash=" + b"ab" * 32, None),
        ({"tls": {}}, b"Hash=ab", None),
        ({"tls": {}}, b"", None),
    ],
)  # fmt: skip
async def test_a_certificate_counts_only_with_tls(
    extensions: Any, value: bytes, sha256: bytes | None
) -> None:
    headers = [(b"x-forwarded-client-cert", value)]
    got = await requested(extensions=extensions, headers=headers)
    assert got.certificate_sha256 == sha256
    assert got.metadata == ()
