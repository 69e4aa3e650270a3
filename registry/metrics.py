"""The registry's metrics, all of them, on the registry that it is handed."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MS_PER_S = 1000


class Metrics:
    """What Prometheus is shown. Times are seconds, as its conventions want."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "simpul_registry_requests_total",
            "Requests, by method and by the code of what came of them.",
            ["method", "code"],
            registry=registry,
        )
        self.publications = Counter(
            "simpul_registry_publications_total",
            "Publications of the directory; a heartbeat signs the same version anew.",
            ["kind"],
            registry=registry,
        )
        self.failures = Counter(
            "simpul_registry_publication_failures_total",
            "Attempts to publish that failed and are repeated.",
            registry=registry,
        )
        self.publishing = Histogram(
            "simpul_registry_publication_seconds",
            "From the store to the disk, per publication.",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0),
            registry=registry,
        )
        self.version = Gauge(
            "simpul_registry_directory_version", "The version in force.", registry=registry
        )
        self.issued = Gauge(
            "simpul_registry_directory_issued_seconds",
            "When the directory was signed last, since the epoch.",
            registry=registry,
        )
        self.expires = Gauge(
            "simpul_registry_role_expires_seconds",
            "When the first of the roles signed by a key expires, since the epoch.",
            ["role"],
            registry=registry,
        )
        self.watchers = Gauge(
            "simpul_registry_watchers", "Nodes that watch now.", registry=registry
        )
        self.witnessed = Counter(
            "simpul_registry_witness_requests_total",
            "Checkpoints that nodes asked to have cosigned, by HTTP status: 422 is a fork.",
            ["status"],
            registry=registry,
        )
        self.lagging = Counter(
            "simpul_registry_watchers_lagging_total",
            "Times that a slow watcher was told to fetch, in place of what it missed.",
            registry=registry,
        )
