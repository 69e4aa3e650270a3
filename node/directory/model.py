"""What a node knows of the directory that it holds. Values only."""

from dataclasses import dataclass
from pathlib import Path

# Below the directory's URL, and the names of the families: as the registry publishes them.
METADATA = "metadata"
TARGETS = "targets"
POLICY = "policy"
LOG = "log"
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
