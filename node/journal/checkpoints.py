"""The contract of what is kept beside the parcels: checkpoints, time stamps, and the tree to read.

**Kept for good.** A checkpoint that the quorum cosigned, and one with a time stamp: the first
cosigned one that covers a parcel bounds its age. Of the others only the newest of each slot is
kept.

**Never back.** A checkpoint that is smaller than the newest of its slot is refused, and so is one
of the same size with another root (CONFLICT). A quorum's time, once set, stays.

**Durable when.** A method that writes returns after the transaction is on the disk.

**Errors.** `SimpulError` only: those of node.journal.store, and CONFLICT.

Any thread may use it, and more than one at a time. It asks no clock, signs nothing and verifies
nothing: node.checkpoints does.

Source: docs/spec, "Journal: checkpoints".
"""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass

from security.merkle import Frontier
from security.tiles import Hashes


@dataclass(frozen=True, slots=True)
class SlotHead:
    """One slot's tree as it is now."""

    slot: int
    tree: Frontier


@dataclass(frozen=True, slots=True)
class KeptTimestamp:
    """An authority's answer (DER), and the time that it says, in ms since the epoch."""

    authority: str
    response: bytes
    stamped_at_ms: int


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A checkpoint as it's kept. `note` is the signed note with the cosignatures so far.

    `quorum_at_ms` is by when the quorum had cosigned it, and None until it has.
    """

    slot: int
    size: int
    note: bytes
    signed_at_ms: int
    quorum_at_ms: int | None = None
    timestamps: tuple[KeptTimestamp, ...] = ()


class CheckpointStore(ABC):
    """See the module's text: it is the contract."""

    @abstractmethod
    def heads(self) -> tuple[SlotHead, ...]:
        """Returns the slots that were ever taken, by number."""

    @abstractmethod
    def tree(self, slot: int) -> AbstractContextManager[Hashes]:
        """A slot's hashes, as of one moment, for a short `with` block.

        What isn't there is JOURNAL_CORRUPT when it's read.
        """

    @abstractmethod
    def save(self, kept: KeptCheckpoint) -> None:
        """Keeps a checkpoint, new or with more cosignatures; forgets what it makes needless.

        Its `timestamps` are not looked at.
        """

    @abstractmethod
    def save_timestamp(self, slot: int, size: int, stamp: KeptTimestamp) -> None:
        """Keeps a time stamp of a checkpoint that is kept. The same again changes nothing."""

    @abstractmethod
    def at(self, slot: int, size: int) -> KeptCheckpoint | None:
        """Returns the checkpoint of a slot at this size."""

    @abstractmethod
    def newest(self, slot: int) -> KeptCheckpoint | None:
        """Returns the largest checkpoint of a slot."""

    @abstractmethod
    def newest_stamped(self, slot: int) -> KeptCheckpoint | None:
        """Returns the largest checkpoint of a slot that has a time stamp."""

    @abstractmethod
    def first_covering(self, slot: int, idx: int) -> KeptCheckpoint | None:
        """Returns the first checkpoint with a quorum that covers the parcel at `idx`."""

    @abstractmethod
    def first_stamped(self, slot: int, idx: int) -> KeptCheckpoint | None:
        """Returns the first checkpoint with a time stamp that covers the parcel at `idx`."""

    @abstractmethod
    def listed(self, slot: int | None = None, *, limit: int) -> tuple[KeptCheckpoint, ...]:
        """Returns the newest checkpoints, the newest first."""

    @abstractmethod
    def leaf_data(self, slot: int, start: int, count: int) -> tuple[bytes, ...]:
        """Returns what the leaves from `start` on are the hashes of; `count` of them.

        Raises:
            SimpulError: JOURNAL_CORRUPT, where they aren't all there.
        """
