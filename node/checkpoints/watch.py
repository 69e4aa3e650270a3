"""What is shown of checkpoints: how old they are, how old the witnesses' answers, and alarms."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

_MS_PER_S: Final = 1000


class CheckpointMetrics:
    """For Prometheus: an age is `time()` less one of these."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._signed = Gauge(
            "simpul_checkpoint_signed_timestamp_seconds",
            "When a checkpoint was signed last",
            ["slot"],
            registry=registry,
        )
        self._cosigned = Gauge(
            "simpul_checkpoint_cosigned_timestamp_seconds",
            "When a checkpoint had its quorum of cosignatures last",
            ["slot"],
            registry=registry,
        )
        self._stamped = Gauge(
            "simpul_checkpoint_stamped_timestamp_seconds",
            "When a checkpoint was stamped last",
            ["slot"],
            registry=registry,
        )
        self._answered = Gauge(
            "simpul_witness_answered_timestamp_seconds",
            "When a witness cosigned last",
            ["witness"],
            registry=registry,
        )
        self._failing = Gauge(
            "simpul_timestamp_failing_since_seconds",
            "Since when no authority has stamped; 0 while they do",
            registry=registry,
        )
        self._failures = Counter(
            "simpul_timestamp_failures_total",
            "Stamps that an authority didn't give",
            ["authority"],
            registry=registry,
        )
        self._alerts = Counter(
            "simpul_checkpoint_alerts_total",
            "What an operator must look at, by its stable code",
            ["code"],
            registry=registry,
        )

    def signed(self, slot: int, at_ms: int) -> None:
        """A checkpoint was signed."""
        self._signed.labels(str(slot)).set(at_ms / _MS_PER_S)

    def cosigned(self, slot: int, at_ms: int) -> None:
        """A checkpoint has its quorum."""
        self._cosigned.labels(str(slot)).set(at_ms / _MS_PER_S)

    def stamped(self, slot: int, at_ms: int) -> None:
        """A checkpoint was stamped."""
        self._stamped.labels(str(slot)).set(at_ms / _MS_PER_S)

    def answered(self, witness: str, at_ms: int) -> None:
        """A witness cosigned."""
        self._answered.labels(witness).set(at_ms / _MS_PER_S)

    def not_stamped(self, authority: str) -> None:
        """An authority gave no stamp."""
        self._failures.labels(authority).inc()

    def stamps_failing(self, since_ms: int | None) -> None:
        """Since when no authority has stamped."""
        self._failing.set(0 if since_ms is None else since_ms / _MS_PER_S)

    def alert(self, code: str) -> None:
        """Something that an operator must look at."""
        self._alerts.labels(code).inc()
