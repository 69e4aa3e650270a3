"""What links show of themselves: metrics with bounded labels."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from security.errors import LinkFault, SimpulError

_ENTRIES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class LinkMetrics:
    """Counts parcels, entries and faults of a worker's links."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._parcels = Counter(
            "simpul_parcels_total", "Parcels, by direction", ["direction"], registry=registry
        )
        self._entries = Histogram(
            "simpul_parcel_entries", "Entries in a parcel, by direction", ["direction"],
            buckets=_ENTRIES, registry=registry,
        )  # fmt: skip
        self._links = Gauge(
            "simpul_links", "Links that are up, by kind", ["kind"],
            registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._faults = Counter(
            "simpul_link_faults_total", "Links that a fault ended, by check and code",
            ["step", "code"], registry=registry,
        )  # fmt: skip

    def sent(self, entries: int) -> None:
        """A parcel was sealed here."""
        self._parcels.labels("sent").inc()
        self._entries.labels("sent").observe(entries)

    def received(self, entries: int) -> None:
        """A parcel of a peer passed the receiver's checks."""
        self._parcels.labels("received").inc()
        self._entries.labels("received").observe(entries)

    def up(self, *, shared: bool) -> None:
        """A link began."""
        self._links.labels("shared" if shared else "child").inc()

    def down(self, *, shared: bool, error: SimpulError | None) -> None:
        """A link ended, by a fault where `error` is one."""
        self._links.labels("shared" if shared else "child").dec()
        if isinstance(error, LinkFault):
            self._faults.labels(str(error.step), error.code).inc()
