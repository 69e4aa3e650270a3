"""What is shown of a journal's size: how large it is, and how far behind archiving is."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

_MS_PER_S: Final = 1000


class JournalMetrics:
    """For Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._bytes = Gauge(
            "simpul_journal_bytes",
            "What the journal's database takes on its disk",
            registry=registry,
        )
        self._parcels = Gauge(
            "simpul_journal_parcels",
            "Parcels in the journal's database; those that were dropped don't count",
            ["slot"],
            registry=registry,
        )
        self._archived = Gauge(
            "simpul_journal_archived_parcels",
            "Parcels in archives",
            ["slot"],
            registry=registry,
        )
        self._lag = Gauge(
            "simpul_journal_archive_lag_seconds",
            "For how long the oldest parcel that should be archived by now has been due",
            registry=registry,
        )
        self._failures = Counter(
            "simpul_journal_archive_failures_total",
            "Rounds of archiving that failed, by the stable code",
            ["code"],
            registry=registry,
        )
        self._dropped = Counter(
            "simpul_journal_dropped_parcels_total",
            "Parcels that were dropped from the journal's database",
            registry=registry,
        )

    def sized(self, size_bytes: int) -> None:
        """How large the database is."""
        self._bytes.set(size_bytes)

    def slot(self, slot: int, *, parcels: int, archived: int) -> None:
        """How far a slot is."""
        self._parcels.labels(str(slot)).set(parcels)
        self._archived.labels(str(slot)).set(archived)

    def lagging(self, lag_ms: int) -> None:
        """For how long something has been due."""
        self._lag.set(lag_ms / _MS_PER_S)

    def failed(self, code: str) -> None:
        """A round of archiving failed."""
        self._failures.labels(code).inc()

    def dropped(self, count: int) -> None:
        """Parcels were dropped."""
        self._dropped.inc(count)
