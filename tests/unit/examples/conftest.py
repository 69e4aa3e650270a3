"""Real servers on loopback, one per test, for the demo's services."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import grpc
import pytest

AddServices: TypeAlias = Callable[[grpc.aio.Server], None]
Serve: TypeAlias = Callable[[AddServices], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def _serving(add_services: AddServices) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_services(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def serve() -> Serve:
    """Return a context manager that serves what it is given and yields the address."""
    return _serving
