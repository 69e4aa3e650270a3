"""What gathers show of themselves. Bounded labels: statuses are 17, and codes a fixed table."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge


class GatherMetrics:
    """Counts the gathers of one worker and their parts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gathers = Counter(
            "simpul_gathers_total", "Gathers that ended, by gRPC status", ["status"],
            registry=registry,
        )  # fmt: skip
        self._parts = Counter(
            "simpul_gather_parts_total",
            "Parts of gathers that ended, by gRPC status, code of ours, or given up",
            ["end"], registry=registry,
        )  # fmt: skip
        self.open = Gauge(
            "simpul_gathers_open", "Gathers under way", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    def part(self, end: str) -> None:
        """A part ended so."""
        self._parts.labels(end).inc()

    def ended(self, status: int) -> None:
        """A gather ended with this gRPC status."""
        self._gathers.labels(str(status)).inc()
