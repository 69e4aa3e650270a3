"""The gateway as an ASGI application: takes apps' requests and hands each to the host as a call.

It decides nothing of a call's content. It refuses what no host need see: requests that break gRPC's
form, and calls over the limit or after the drain began. A call that its host lets down ends with
INTERNAL and a fixed text; the reason goes to the log only.

Rule: nothing is ever raised out of here, because the stack below would tell the app OK.

Source: ASGI 3.0, HTTP and lifespan; docs/adr/0001, "What the adapter has to obey".
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, Protocol

import structlog

from node.calls import CallRequest, InboundCall, Trailers
from node.exchange.metadata import TOKEN
from node.gateway.call import HOP, AsgiCall, Event, Receive, Send
from node.gateway.framing import HeaderList, parse_metadata, parse_timeout
from node.gateway.limits import CallLimits
from node.gateway.poller import Poller
from node.gateway.refusal import refusal
from node.gateway.turn import EndOfTurn
from runtime.grpc_errors import INTERNAL_TEXT
from security.errors import Code, SimpulError

Scope = Event

_log = structlog.get_logger(__name__)

_CERTIFICATE: Final = b"x-forwarded-client-cert"
_CREDENTIALS: Final = frozenset({TOKEN.encode(), _CERTIFICATE})
_HASH: Final = re.compile(rb"(?:^|;)Hash=([0-9a-f]{64})(?:;|$)")
_INTERNAL: Final = SimpulError(Code.INTERNAL, INTERNAL_TEXT)
_INTERNAL_STATUS: Final = 13
_STOPPED: Final = SimpulError(Code.NODE_DRAINING, "the node stopped during this call; try again")


class GatewayHost(Protocol):
    """Who carries the calls. Started and stopped by the application."""

    @property
    def limits(self) -> CallLimits:
        """What the gateway takes, known once the host has started."""
        ...

    async def serve(self, call: InboundCall) -> None:
        """Carry one call to its trailers."""
        ...

    async def turn_away(self, call: InboundCall, error: SimpulError) -> None:
        """End a call that the gateway can't take: counted, and recorded like any other refusal."""
        ...

    async def stop(self) -> None:
        """End what is still under way, and give everything back."""
        ...


class GatewayApp:
    """The ASGI application object.

    Args:
        start: Starts the host, in the loop that will carry the calls. What it raises ends the
            process, after one line in the log.
    """

    def __init__(self, start: Callable[[], Awaitable[GatewayHost]]) -> None:
        self._start = start
        self._host: GatewayHost | None = None
        self._poller = Poller()
        self._turn = EndOfTurn()
        self._open = 0
        self._idle: asyncio.Future[None] | None = None
        self._draining = False

    @property
    def open_calls(self) -> int:
        """How many calls are under way."""
        return self._open

    def drain(self) -> None:
        """Take no new calls from now on; those under way go on."""
        self._draining = True

    async def wait_idle(self) -> None:
        """Wait until no call is under way."""
        if self._open:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry point."""
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)

    # Calls.

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._open += 1
        call: AsgiCall | None = None
        try:
            host = self._host
            if host is None:
                raise _draining()
            limits = host.limits
            request, refused = self._taken(scope, limits)
            call = AsgiCall(
                request, receive, send, self._poller, self._turn, limits.max_message_bytes
            )
            if refused is None:
                await host.serve(call)
            else:
                await host.turn_away(call, refused)
            if not call.over:
                _log.error("call was left without an end", path=request.path)
                await call.send(refusal(_INTERNAL))
        except BaseException as error:  # noqa: BLE001 - what is raised here would reach the app as OK
            await _end(call or self._without_request(receive, send), error, scope)
        finally:
            self._open -= 1
            if self._open == 0 and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    def _without_request(self, receive: Receive, send: Send) -> AsgiCall:
        return AsgiCall(CallRequest("", (), None), receive, send, self._poller, self._turn, 0)

    def _taken(self, scope: Scope, limits: CallLimits) -> tuple[CallRequest, SimpulError | None]:
        """What a request's headers say, as far as can be read; and why it is turned away."""
        try:
            request = _request(scope, limits.max_metadata_bytes)
        except SimpulError as error:
            return _bare_request(scope), error
        if self._draining:
            return request, _draining()
        if self._open > limits.max_open_calls:
            return request, SimpulError(
                Code.OVERLOADED,
                f"{limits.max_open_calls} calls are under way here, which is the limit; "
                "try again in a moment",
            )
        return request, None

    # Life.

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._host = await self._start()
        except BaseException as error:  # noqa: BLE001 - the stack below is told in its own way
            _log_failure("the gateway can't start", error)
            await send({"type": "lifespan.startup.failed", "message": "see the log"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self.drain()
        try:
            await self._host.stop()
        except BaseException as error:  # noqa: BLE001 - the same
            _log_failure("the gateway did not stop in order", error)
        await send({"type": "lifespan.shutdown.complete"})


async def _end(call: AsgiCall, error: BaseException, scope: Scope) -> None:
    """End a call that its host didn't. Never raises."""
    if isinstance(error, SimpulError):
        said: Trailers = refusal(error)
    elif isinstance(error, asyncio.CancelledError):
        said = refusal(_STOPPED)
    else:
        said = refusal(_INTERNAL)
    # First the app, then the log: even a log that can't be written to is no reason to raise.
    with contextlib.suppress(BaseException):
        if not call.over:
            await call.send(said)
    if said.status == _INTERNAL_STATUS:
        with contextlib.suppress(Exception):
            _log.error("call failed", path=scope.get("path"), exc_info=error)


def _log_failure(event: str, error: BaseException) -> None:
    if isinstance(error, SimpulError):
        _log.error(event, code=error.code, why=error.message)
    else:
        _log.error(event, exc_info=error)


def _request(scope: Scope, max_metadata_bytes: int) -> CallRequest:
    """What a request's headers say.

    Raises:
        SimpulError: The timeout or the metadata is malformed, or the metadata too large.
    """
    headers: HeaderList = scope["headers"]
    timeout: bytes | None = None
    certificate: bytes | None = None
    for name, value in headers:
        if name == b"grpc-timeout":
            timeout = value
        elif name == _CERTIFICATE:
            certificate = value
    metadata = parse_metadata(headers, max_metadata_bytes, HOP)
    tokens = [value for key, value in metadata if key == TOKEN]
    if tokens:
        if len(tokens) > 1:
            raise SimpulError(Code.METADATA_MALFORMED, f"{TOKEN} stands twice; send it once")
        metadata = tuple(item for item in metadata if item[0] != TOKEN)
    return CallRequest(
        path=scope["path"],
        metadata=metadata,
        deadline_left_ms=None if timeout is None else parse_timeout(timeout),
        token=tokens[0].decode("ascii") if tokens else None,
        certificate_sha256=_certificate(scope, certificate),
        local=_is_local(scope.get("client")),
    )


def _bare_request(scope: Scope) -> CallRequest:
    """Who asks, and what, where the rest of the headers can't be read."""
    headers: HeaderList = scope["headers"]
    found = {name: value for name, value in headers if name in _CREDENTIALS}
    token = found.get(TOKEN.encode())
    return CallRequest(
        path=scope["path"],
        metadata=(),
        deadline_left_ms=None,
        token=None if token is None else token.decode("latin-1"),
        certificate_sha256=_certificate(scope, found.get(_CERTIFICATE)),
        local=_is_local(scope.get("client")),
    )


def _draining() -> SimpulError:
    return SimpulError(Code.NODE_DRAINING, "this node is being stopped; call again in a moment")


def _certificate(scope: Scope, forwarded: bytes | None) -> bytes | None:
    """SHA-256 of the certificate that the app proved, as Envoy says it.

    On a connection without TLS the header is the app's own word, and not believed.
    """
    if forwarded is None or "tls" not in (scope.get("extensions") or {}):
        return None
    match = _HASH.search(forwarded)
    return None if match is None else bytes.fromhex(match[1].decode())


def _is_local(client: Any) -> bool:  # noqa: ANN401 - ASGI: a pair, or None on a Unix socket
    return client is None or _is_loopback(client[0])


@lru_cache(maxsize=1024)
def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
