"""What a supervisor shows of its node: the directory that it goes by, and its certificate."""

from __future__ import annotations

from typing import Final

from prometheus_client import Gauge

from runtime.metrics import new_registry

_MS_PER_S: Final = 1000


class NodeMetrics:
    """The supervisor's own metrics; its workers' are added where they are shown."""

    def __init__(self) -> None:
        self.registry = new_registry()
        self._version = Gauge(
            "simpul_directory_version", "Version of the directory in use", registry=self.registry
        )
        self._issued = Gauge(
            "simpul_directory_issued_timestamp_seconds",
            "When the directory in use was issued",
            registry=self.registry,
        )
        self._expires = Gauge(
            "simpul_certificate_expiry_timestamp_seconds",
            "When this node's TLS certificate ends",
            registry=self.registry,
        )

        self._external = Gauge(
            "simpul_certificate_external",
            "1 where an outside authority issued this node's TLS certificate",
            registry=self.registry,
        )
        self._foreign = Gauge(
            "simpul_directory_foreign_keys",
            "Keys in the name of this node's members that it didn't make",
            registry=self.registry,
        )

    def foreign_keys(self, count: int) -> None:
        """So many are listed now."""
        self._foreign.set(count)

    def directory(self, version: int, issued_at_ms: int) -> None:
        """A directory is in use."""
        self._version.set(version)
        self._issued.set(issued_at_ms / _MS_PER_S)

    def certificate(self, expires_at_ms: int, is_external: bool) -> None:  # noqa: FBT001
        """A certificate is in use; an outside authority's isn't renewed by the node."""
        self._external.set(is_external)
        self._expires.set(expires_at_ms / _MS_PER_S)
