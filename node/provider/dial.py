"""Opens one connection to a target, and says in plain words why it can't be opened.

A connection is open when the service has sent its HTTP/2 settings: a port that accepts and says
nothing, or speaks something else, is no service.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final, cast

from node.calls import Trailers
from node.gateway.limits import CallLimits
from node.provider.connection import Connection, Owner
from node.provider.frames import Http2Error, Reset
from node.provider.stream import Stream
from node.provider.target import Target
from node.provider.tls import ALPN, ServiceTls
from runtime.ports import UnixAddress
from security.errors import Code, SimpulError

CONNECT_TIMEOUT_S: Final = 5.0
# A dead machine is noticed after about 25 s: it says nothing, and its network no longer either.
_KEEPALIVE: Final = (
    ("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 25_000),
)  # fmt: skip

# What `dial` raises, TimeoutError and ssl's errors among them.
FAULTS: Final = (OSError, Http2Error, SimpulError)


async def dial(
    target: Target, tls: ServiceTls | None, max_metadata_bytes: int, owner: Owner
) -> Connection:
    """Connect; returns when the service has spoken HTTP/2.

    Raises:
        OSError: There is no connection, or no TLS that both accept.
        Http2Error: What answers does not speak HTTP/2.
        SimpulError: The files for TLS can't be used (CONFIG_INVALID).
    """
    address = target.address
    loop = asyncio.get_running_loop()

    def protocol() -> Connection:
        return Connection(target.scheme, target.authority, max_metadata_bytes, owner)

    if isinstance(address, UnixAddress):
        _, connection = await loop.create_unix_connection(protocol, address.path)
    else:
        context = None
        if target.tls:
            if tls is None:
                raise SimpulError(Code.CONFIG_INVALID, "TLS to services is not set up here")
            context = await asyncio.to_thread(tls.context)
        transport, connection = await loop.create_connection(
            protocol, address.host, address.port, ssl=context,
            server_hostname=address.host if context else None,
        )  # fmt: skip
        _keep_alive(transport)
        if context is not None:
            _check_protocol(transport, connection)
    try:
        await connection.ready
    except asyncio.CancelledError:
        connection.close()
        raise
    return connection


async def fault_of_target(target: Target, tls: ServiceTls | None) -> str | None:
    """Why a target can't be called now, for its operator; None where it answers."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            connection = await dial(target, tls, CallLimits().max_metadata_bytes, _Nobody())
    except FAULTS as error:
        return why(error)
    connection.close()
    return None


def why(error: BaseException) -> str:  # noqa: C901 - a table
    """A failed `dial`, in words that say what to look at."""
    match error:
        case ssl.SSLCertVerificationError():
            return (
                f"its certificate is not accepted ({error.verify_message}); name its authority in "
                "services.ca_file, and call it by the name in the certificate"
            )
        case ssl.SSLError():
            return f"TLS failed ({error.reason}); where it has no TLS, write http://"
        case SimpulError():
            return error.message
        case Http2Error():
            return f"it does not speak HTTP/2 there ({error}); give the port of its gRPC server"
        case TimeoutError():
            return "it does not answer; look at the address, at firewalls, and at the service"
        case socket.gaierror():
            return "its host name is not known here"
        case ConnectionRefusedError():
            return "nothing listens there; start the service, or mend the port"
        case ConnectionError():
            return (
                f"it closed the connection at once ({error}); where it wants TLS, write https://, "
                "and where it wants certificates, see services.certificate"
            )
        case FileNotFoundError():
            return "there is no such socket; start the service, or mend the path"
        case PermissionError():
            return "this node may not open that socket; let its user in"
        case _:
            return str(error) or type(error).__name__


class _Nobody:
    """Owns a connection that carries no call (`connection.Owner`)."""

    def on_room(self) -> None:
        """Nothing waits."""

    def on_gone(self, connection: Connection) -> None:
        """It was not to stay."""

    def on_closed(self, connection: Connection) -> None:
        """The same."""

    def again(self, stream: Stream, reason: Trailers) -> None:
        """There is no call."""


def _check_protocol(transport: asyncio.BaseTransport, connection: Connection) -> None:
    tls = cast("ssl.SSLObject", transport.get_extra_info("ssl_object"))
    if tls.selected_alpn_protocol() != ALPN:
        connection.close()
        raise Http2Error(Reset.HTTP_1_1_REQUIRED, "its TLS does not offer h2")


def _keep_alive(transport: asyncio.BaseTransport) -> None:
    found = transport.get_extra_info("socket")
    if found is None:
        return
    found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        # Not every system has all of them.
        if hasattr(socket, name):
            found.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
