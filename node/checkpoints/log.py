"""What signing, cosigning and stamping share: the node's logs, one for each slot, and their tools.

A log that isn't what this node signed has a fault, and nothing more is signed of it until the node
is started again with the right journal.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from node.checkpoints.authorities import Authorities
from node.checkpoints.latest import LatestStore
from node.checkpoints.rules import rest_ms
from node.checkpoints.watch import CheckpointMetrics
from node.checkpoints.witnesses import Witnesses
from node.journal.checkpoints import CheckpointStore
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.keys import PrivateKey
from security.oversight import Oversight

_log = structlog.get_logger(__name__)

# The same trouble is told once in a while, not at each attempt.
TELL_EVERY_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that checkpoints need of this node.

    `key` gives the node key that is in force, and `directory` the newest: both change while it
    runs.
    """

    node: NodeId
    key: Callable[[], PrivateKey]
    store: CheckpointStore
    latest: LatestStore
    directory: Callable[[], DirectoryView]
    witnesses: Witnesses
    authorities: Authorities
    metrics: CheckpointMetrics
    now_ms: Callable[[], int]

    @property
    def oversight(self) -> Oversight:
        """Who witnesses and stamps, by the directory."""
        return self.directory().policy.oversight

    def origin(self, slot: int) -> str:
        """The origin of a slot's log.

        Raises:
            SimpulError: CONFIG_INVALID, where the directory lists no such slot of this node.
        """
        slots = self.directory().node(self.node).slots
        if slot >= len(slots):
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"the directory lists {len(slots)} slots of this node, and not slot {slot}: its "
                "checkpoints can't be signed; set journal.slots back",
            )
        return slots[slot].origin


@dataclass(slots=True)
class SlotLog:
    """What is known of one slot's log since the start."""

    slot: int
    # Enough witnesses have said what they know.
    asked: bool = False
    fault: SimpulError | None = None
    # What each witness cosigned last, by its name.
    known: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Patience:
    """Who doesn't answer is left alone for a while; and the same trouble is told once a while."""

    _failures: dict[str, int] = field(default_factory=dict)
    _until_ms: dict[str, int] = field(default_factory=dict)
    _told_ms: dict[tuple[str, str], int] = field(default_factory=dict)

    def is_due(self, who: str, now_ms: int) -> bool:
        """Whether it may be asked now."""
        return now_ms >= self._until_ms.get(who, 0)

    def worked(self, who: str) -> None:
        """It answered."""
        self._failures.pop(who, None)
        self._until_ms.pop(who, None)

    def failed(self, who: str, now_ms: int) -> None:
        """It didn't."""
        failures = self._failures.get(who, 0) + 1
        self._failures[who] = failures
        self._until_ms[who] = now_ms + rest_ms(failures)

    def may_tell(self, who: str, code: Code, now_ms: int) -> bool:
        """Whether it's time to log this again."""
        if now_ms < self._told_ms.get((who, code), 0):
            return False
        self._told_ms[who, code] = now_ms + TELL_EVERY_MS
        return True
