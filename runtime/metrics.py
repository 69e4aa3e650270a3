"""One program's metrics and the small HTTP server that shows them to Prometheus.

It defines no metric: each room makes its own, on the registry that it is handed. Rules: a registry
per program and none global, so that two programs, or two tests, in one process never mix; the
server says which port it got; after `close` the port is free.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from runtime.ports import TcpAddress, ensure_free


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
