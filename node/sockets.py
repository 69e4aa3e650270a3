"""Servers on a node's own Unix sockets: what stands before every method, and how they listen."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Final

from grpc import aio

from node.authorization import Socket, authorize
from runtime.authorization import TableInterceptor
from runtime.grpc_errors import ErrorInterceptor
from runtime.grpc_options import server_options

SOCKET_MODE: Final = 0o600
# A protoset travels over the admin socket.
MAX_ADMIN_BYTES: Final = 16 * 1024 * 1024


def make_server(socket: Socket, *more: aio.ServerInterceptor) -> aio.Server:
    """A server on one of the sockets; `more` stand behind the errors and before the table."""
    table = TableInterceptor(partial(authorize, socket=socket))
    return aio.server(
        interceptors=[ErrorInterceptor(), *more, table],
        options=server_options(max_message_bytes=MAX_ADMIN_BYTES),
    )


async def listen(server: aio.Server, path: Path) -> None:
    """Begin to answer at a path, for the node's own user alone."""
    # The home is locked, so nobody listens there: what lies there is of a process that was killed.
    await asyncio.to_thread(path.unlink, missing_ok=True)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    await asyncio.to_thread(path.chmod, SOCKET_MODE)
