"""The lowest state of the directory that a node accepts after what it has seen. A value; pure."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Floors:
    """The lowest state that a node accepts after what it has seen.

    `versions` is by role, root, timestamp and snapshot included. The key ids are those that the
    root names: floors fall only with both sets, because only then may versions begin anew.
    """

    versions: Mapping[str, int]
    timestamp_keys: frozenset[str]
    snapshot_keys: frozenset[str]
    issued_at_ms: int
    snapshot_hash: bytes

    @property
    def snapshot_version(self) -> int:
        """The directory's version."""
        return self.versions["snapshot"]
