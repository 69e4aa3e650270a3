"""One program's metrics and the small HTTP server that shows them to Prometheus.

It defines no metric: each room makes its own, on the registry that it is handed. Rules: a registry
per program and none global, so that two programs, or two tests, in one process never mix; the
server says which port it got; after `close` the port is free.
"""

import asyncio
import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from runtime.ports import TcpAddress, ensure_free

# Figures of busy paths are written this long after they changed: once for many changes. What a
# process that is killed has counted in that time is lost.
WRITE_AFTER_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class MetricsServer:
    """A running server. `address` holds the bound port, never 0."""

    address: TcpAddress
    _server: WSGIServer
    _thread: Thread

    def close(self) -> None:
        """Stops answering and frees the port. Returns when both are done."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def new_registry() -> CollectorRegistry:
    """A registry that holds only what says how the process is: memory, CPU, files, Python's own."""
    registry = CollectorRegistry(auto_describe=True)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def serve_metrics(
    registry: CollectorRegistry, listen: TcpAddress, *, setting: str = "metrics.listen"
) -> MetricsServer:
    """Answers `GET /metrics` on `listen` from a thread of its own.

    Args:
        registry: What is shown.
        listen: Port 0 takes a free one.
        setting: The configuration's key for it, for the error's text.

    Raises:
        SimpulError: PORT_IN_USE or CONFIG_INVALID, as `runtime.ports.ensure_free` says.
    """
    ensure_free(listen, setting)
    server, thread = start_http_server(listen.port, addr=listen.host, registry=registry)
    return MetricsServer(TcpAddress(listen.host, server.server_port), server, thread)


@contextmanager
def metrics_server(
    registry: CollectorRegistry, listen: TcpAddress, *, setting: str = "metrics.listen"
) -> Iterator[MetricsServer]:
    """`serve_metrics` for a `with` block, closed at its end."""
    server = serve_metrics(registry, listen, setting=setting)
    try:
        yield server
    finally:
        server.close()


class Later:
    """Has figures that were counted in plain numbers written a moment later, all at once.

    With several processes a metric lies in a file that is mapped into memory, and each change costs
    microseconds: on a path that every call takes, they add up to a tenth of the throughput.
    """

    def __init__(self, write: Callable[[], None]) -> None:
        self._write = write
        self._due = False

    def touch(self) -> None:
        """A figure changed. Outside of an event loop it is written at once."""
        if self._due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write()
            return
        self._due = True
        loop.call_later(WRITE_AFTER_S, self._now)

    def _now(self) -> None:
        self._due = False
        self._write()


class Tally:
    """What a histogram is to be told: how often each bucket was met, and the sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.clear()

    def clear(self) -> None:
        """As in the beginning."""
        self.counts = [0] * (len(self._bounds) + 1)
        self.total = 0.0

    def observe(self, amount: float) -> None:
        """One more."""
        self.counts[bisect.bisect_left(self._bounds, amount)] += 1
        self.total += amount


class TallyHistogram(Histogram):
    """A histogram that takes a whole tally; its children, by `labels`, do too."""

    def take(self, tally: Tally) -> None:
        """Add what was tallied, and clear it. The bounds are this histogram's."""
        self._sum.inc(tally.total)
        for bucket, count in zip(self._buckets, tally.counts, strict=True):
            if count:
                bucket.inc(count)
        tally.clear()
