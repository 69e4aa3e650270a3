"""What a node knows of the directory that it holds. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Below the directory's URL, and the names of the families: as the registry publishes them.
METADATA = "metadata"
TARGETS = "targets"
POLICY = "policy"
FAMILIES = ("members", "contracts")
ISSUED_AT = "x-issued-at"


@dataclass(frozen=True, slots=True)
class Generation:
    """A verified copy of one state of the directory, in a folder of its own that never changes.

    `version` and `hash` (SHA-256, 32 bytes) are those of the snapshot: what greetings and headers
    name. Two generations may share them and differ in when the timestamp was issued.
    `usable_until_ms` is when the first of its signatures expires.
    """

    path: Path
    version: int
    hash: bytes
    issued_at_ms: int
    usable_until_ms: int


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
