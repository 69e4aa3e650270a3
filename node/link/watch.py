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
        self._cut = Counter(
            "simpul_links_refused_total",
            "Links that this node refused or cut without a fault of the wire, by code",
            ["code"], registry=registry,
        )  # fmt: skip
        self._settled = Counter(
            "simpul_calls_settled_total",
            "Calls of broken links of which the next greeting told what came, by what",
            ["what"], registry=registry,
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
            self.refused(error)

    def refused(self, error: SimpulError) -> None:
        """A link was refused before it began, cut, or ended by a fault."""
        if isinstance(error, LinkFault):
            self._faults.labels(str(error.step), error.code).inc()
        else:
            self._cut.labels(error.code).inc()

    def settled(self, what: str, calls: int) -> None:
        """A greeting told what came of so many calls."""
        self._settled.labels(what).inc(calls)
