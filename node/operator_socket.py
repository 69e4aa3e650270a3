"""The operators' socket: anybody of this machine may knock, and the kernel says who it is.

The admin socket lies in the home, and whoever opens it is the administrator. This one lies where
other users reach it. Each connection is passed on to the admin socket, from a client address that
bears the user's number: `HOME/run/operator-<uid>-<n>`. Only the node's own user can bind a name in
that folder, and the admin socket is its own too; so the number is the kernel's word (SO_PEERCRED),
and no caller's. What a user may do is asked elsewhere, for each call (`operators`).

It reads nothing of what passes. It never waits for one connection on behalf of another.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

# Anybody may knock.
MODE: Final = 0o666
MAX_OF_USER: Final = 16
CHUNK_BYTES: Final = 64 * 1024
_CREDENTIALS: Final = struct.Struct("3i")
_NAME: Final = re.compile(r"operator-([0-9]{1,10})-[0-9]+")

PeerUid = Callable[[socket.socket], int]


def uid_of(peer: str) -> int | None:
    """The user behind a call, by what gRPC says of its peer; None: whoever opened the admin socket.

    Raises:
        ValueError: It is neither: nobody is that.
    """
    kind, _, path = peer.partition(":")
    if kind != "unix":
        raise ValueError(f"{peer!a} is nobody")
    if path == "":
        return None
    found = _NAME.fullmatch(path.rpartition("/")[2])
    if found is None:
        raise ValueError(f"{peer!a} is nobody")
    return int(found[1])


def peer_uid(connection: socket.socket) -> int:
    """Who is at the other end, by the kernel's word."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(data)
    return int(uid)


@asynccontextmanager
async def operators_socket(
    path: Path | None, admin: Path, find_uid: PeerUid = peer_uid
) -> AsyncIterator[None]:
    """Take connections at `path` for a block, and pass them on to the admin socket.

    Raises:
        OSError: The socket can't be made there.
    """
    if path is None:
        yield
        return
    relay = _Relay(admin, find_uid)
    await asyncio.to_thread(path.unlink, missing_ok=True)
    server = await asyncio.start_unix_server(relay.pass_on, path)
    await asyncio.to_thread(path.chmod, MODE)
    try:
        yield
    finally:
        server.close()
        relay.close()
        await asyncio.to_thread(path.unlink, missing_ok=True)


class _Relay:
    """Connections under way, by user."""

    def __init__(self, admin: Path, find_uid: PeerUid) -> None:
        self._admin = admin
        self._find_uid = find_uid
        self._numbers = itertools.count(1)
        self._open: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[object]] = set()

    def close(self) -> None:
        """End all of them."""
        for task in tuple(self._tasks):
            task.cancel()

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served in a task")
        self._tasks.add(task)
        uid = self._find_uid(writer.get_extra_info("socket"))
        try:
            if self._open[uid] >= MAX_OF_USER:
                _log.warning("operator has too many connections", uid=uid)
                return
            self._open[uid] += 1
            try:
                await self._connect(uid, reader, writer)
            finally:
                self._open[uid] -= 1
        except OSError as error:
            # The caller is gone, or the node is about to end.
            _log.debug("operator's connection ended", uid=uid, why=str(error))
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _connect(
        self, uid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        name = self._admin.parent / f"operator-{uid}-{next(self._numbers)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client:
            await asyncio.to_thread(name.unlink, missing_ok=True)
            client.bind(str(name))
            try:
                loop = asyncio.get_running_loop()
                await loop.sock_connect(client, str(self._admin))
                in_reader, in_writer = await asyncio.open_unix_connection(sock=client)
            finally:
                # The address stays the connection's; its file is of no use any more.
                await asyncio.to_thread(name.unlink, missing_ok=True)
            try:
                both = {
                    asyncio.create_task(_pump(reader, in_writer)),
                    asyncio.create_task(_pump(in_reader, writer)),
                }
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for pump in both:
                        pump.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
            finally:
                in_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
