"""The contract of the journal's storage, kept by every database that it may live in.

**Durable when.** `append` returns after the transaction is on the disk (fsync, or what the database
calls a synchronous commit). What it has not returned for may be there or not after a crash; whole
appends only, in the order of the group.

**Order.** Appends get the next indexes of the slot's tree in the order given, and an append's
records stand together. One transaction writes the leaves, the frontier and the index of calls: they
are never apart.

**Fencing.** Each taking of a slot gives a greater fencing number; every transaction checks it. Who
was overtaken gets JOURNAL_LOCKED, writes nothing, and must stop.

**Once.** A parcel is known by link, end, direction and number. The same parcel again (same header
hash) is acknowledged and not written; another parcel in its place is refused, with CONFLICT, and
with it the append it came in, but no other append of the group.

**Kept.** Payloads and private blocks that are to be kept are written by the same transaction,
encrypted (node.journal.kept); where the store was opened without keys for them, the append that
brings some is refused (INTERNAL). A late payload of an entry that isn't there is left out.

**Errors.** `SimpulError` only:

    JOURNAL_FULL     no room. Nothing of the group was written; a later group may succeed.
    JOURNAL_LOCKED   another holds the slot. The message names it.
    JOURNAL_CORRUPT  the database contradicts itself. Nothing of the group was written.
    JOURNAL_FAILED   anything else, a failed fsync above all. What of the group is on the disk isn't
                     known, and no further append may be tried: a second fsync would say "done"
                     of pages that the system has dropped.

One store serves one thread. It asks no clock: `now_ms` is an argument.

Source: docs/spec, "Journal".
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.journal.model import LatePayload, Note, ParcelRecord
from security.errors import Code, SimpulError
from security.merkle import Frontier

# After these a later group may succeed; after any other error of a whole group, never.
PASSING: Final = frozenset({Code.JOURNAL_FULL})


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to append to one slot. `fencing` tells this holding from all before and after."""

    slot: int
    holder: str
    fencing: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Append:
    """What goes in together or not at all: parcels, and after them notes of what none says.

    `late` are payloads of parcels that were recorded before, to be kept beside them.
    """

    records: tuple[ParcelRecord, ...] = ()
    notes: tuple[Note, ...] = ()
    late: tuple[LatePayload, ...] = ()


@dataclass(frozen=True, slots=True)
class Appended:
    """The tree after a group, and the appends of the group (by position) that were refused."""

    head: Frontier
    refused: Mapping[int, SimpulError] = field(default_factory=dict)


class JournalStore(ABC):
    """See the module's text: it is the contract."""

    @abstractmethod
    def take(self, slot: int, holder: str, *, now_ms: int, lease_ms: int) -> tuple[Lease, Frontier]:
        """Takes a slot that is free, given back, expired or whose holder is dead.

        Calls that its last holder left open are marked lost: their links ended with it.

        Returns:
            The lease, and the tree as its last holder left it.

        Raises:
            SimpulError: JOURNAL_LOCKED, JOURNAL_CORRUPT, JOURNAL_FAILED, JOURNAL_FULL.
        """

    @abstractmethod
    def append(
        self, lease: Lease, head: Frontier, group: Sequence[Append], *, now_ms: int
    ) -> Appended:
        """Writes a group in one transaction, durably, and extends the lease.

        `head` is the tree before it: what `take` or the last `append` returned.

        Raises:
            SimpulError: see the module's text; it concerns the whole group.
        """

    @abstractmethod
    def renew(self, lease: Lease, *, now_ms: int) -> None:
        """Extends the lease while nothing is appended.

        Raises:
            SimpulError: JOURNAL_LOCKED, JOURNAL_FAILED, JOURNAL_FULL.
        """

    @abstractmethod
    def tidy(self) -> None:
        """Does what keeps the database quick and is owed to no append. Called between groups.

        Raises:
            SimpulError: JOURNAL_FAILED.
        """

    @abstractmethod
    def release(self, lease: Lease) -> None:
        """Gives the slot back. A lease that was overtaken is left to its new holder.

        Raises:
            SimpulError: JOURNAL_FAILED, JOURNAL_FULL.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes the database. A slot not given back stays leased until it expires."""
