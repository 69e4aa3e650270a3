"""What services do wrong, as words for a metric, and the metric.

Rules: the words are a fixed table, so the labels are bounded by construction; which service it was
stands in the log, once for each time that a target is found wanting.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from node.calls import Trailers
from security.errors import Code


class Fault(StrEnum):
    """How a service's answer was not one."""

    UNREACHABLE = "unreachable"
    PAUSED = "paused"
    OVERLOADED = "overloaded"
    LOST = "lost"
    RESET = "reset"
    HTTP2 = "http2"
    GRPC = "grpc"
    TOO_LARGE = "too_large"
    TOO_LATE = "too_late"


_BY_CODE: Final = {
    Code.SERVICE_UNREACHABLE: Fault.UNREACHABLE,
    Code.DEADLINE_EXCEEDED: Fault.TOO_LATE,
    Code.MESSAGE_TOO_LARGE: Fault.TOO_LARGE,
    Code.METADATA_TOO_LARGE: Fault.TOO_LARGE,
    Code.INTERNAL: Fault.GRPC,
}


def fault_of(trailers: Trailers) -> Fault | None:
    """What a service did wrong where this node ended the call for it."""
    return None if trailers.error is None else _BY_CODE.get(trailers.error.code)


class ServiceMetrics:
    """Counts what services do wrong, and the connections to them. One for each worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._faults = Counter(
            "simpul_service_faults_total", "Calls that a service did not answer, by what was wrong",
            ["fault"], registry=registry,
        )  # fmt: skip
        self.connections = Gauge(
            "simpul_service_connections", "Connections to services",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self.paused = Gauge(
            "simpul_services_paused", "Services that don't answer, and are tried now and then",
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip

    def count(self, fault: Fault) -> None:
        """A service did this."""
        self._faults.labels(fault.value).inc()
