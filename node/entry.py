"""A worker's entry point: the ASGI application that Envoy loads, `node.entry:app`.

It reads where the worker belongs from the environment, wires the worker together and hands it to
the gateway. It also watches its parent: Envoy outlives the process that started it, and a worker
without a supervisor must not go on.

Source: docs/adr/0001, "What the adapter has to obey", 6 to 8.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from node.calls import InboundCall
from node.config import load_config
from node.gateway.admin import EnvoyAdmin
from node.gateway.asgi import GatewayApp, GatewayHost
from node.gateway.limits import CallLimits
from node.gateway.watch import Refused, Statistics
from node.home import NodeHome
from node.processes import HOME_VARIABLE, INDEX_VARIABLE, PARENT_VARIABLE, admin_socket
from node.provider.services import HttpServices
from node.provider.tls import service_tls
from node.worker import MAX_OPEN_CALLS, Worker, WorkerPlace
from runtime import log
from security.errors import SimpulError

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 1.0
# A worker whose supervisor is gone gets this long to end in order.
LAST_SECONDS: Final = 10.0
_GC_THRESHOLDS: Final = (10_000, 10, 10)
# Meant for Envoy's start alone; a program started from here would inherit them.
_FOR_ENVOY: Final = ("LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "PYTHONHOME", "PYTHONPATH")


class WorkerHost:
    """A worker as the gateway sees it (`gateway.asgi.GatewayHost`)."""

    def __init__(
        self, worker: Worker, services: HttpServices, limits: CallLimits, envoy: Statistics
    ) -> None:
        self._worker = worker
        self._services = services
        self._limits = limits
        self._refused = Refused(CollectorRegistry(), time.monotonic)
        loop = asyncio.get_running_loop()
        self._watches = (
            loop.create_task(_end_with(int(os.environ[PARENT_VARIABLE]))),
            loop.create_task(self._refused.follow(envoy)),
        )

    @property
    def limits(self) -> CallLimits:
        """As this node is configured."""
        return self._limits

    async def serve(self, call: InboundCall) -> None:
        """Carry one call of an app."""
        await self._worker.serve(call)

    async def turn_away(self, call: InboundCall, error: SimpulError) -> None:
        """End one call that the gateway can't take; the log hears of it once in a while."""
        self._refused.add(error.code.value)
        await self._worker.turn_away(call, error)

    async def stop(self) -> None:
        """End the links, the journal, the connections to services."""
        for watch in self._watches:
            watch.cancel()
        await self._worker.stop()
        await self._services.close()


async def start_worker() -> GatewayHost:
    """Start the worker that the environment names. Returns when it has orders to serve.

    Raises:
        SimpulError: The home or its configuration is unusable, or what the worker needs is taken.
    """
    for name in _FOR_ENVOY:
        os.environ.pop(name, None)
    home = NodeHome.open(Path(os.environ[HOME_VARIABLE]))
    index = int(os.environ[INDEX_VARIABLE])
    config = load_config(home, os.environ)
    log.configure(f"node worker {index}", level=config.log.level, form=config.log.form)
    limits = CallLimits(
        config.limits.max_message_bytes, config.limits.max_metadata_bytes, MAX_OPEN_CALLS
    )
    services = HttpServices(
        limits, service_tls(home, config.services), max_calls=config.services.max_calls
    )
    worker = await Worker.start(WorkerPlace(home, config, index), services, _end_gateway)
    _spare_collections()
    return WorkerHost(worker, services, limits, EnvoyAdmin(admin_socket(home, index)))


def _spare_collections() -> None:
    """What was made for the start stays for good: the garbage collector need not look at it.

    Unary calls make no cycles, and a look at every thousand objects cost a tenth of the throughput.
    A streaming call's link is one when it has ended, some 75 objects and 40 KB: at 50,000 objects
    between looks they came to 26 MB.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


async def _end_gateway() -> None:
    """Take no more calls of apps, and wait until none is under way."""
    app.drain()
    await app.wait_idle()


async def _end_with(parent: int) -> None:
    """End this process when the supervisor has gone: nobody would steer or stop it any more."""
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(LOOK_EVERY_S)
    _log.error("the supervisor is gone; this worker ends", supervisor=parent)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.sleep(LAST_SECONDS)
    os._exit(1)


app = GatewayApp(start_worker)
