"""What the steps of verifying an evidence file establish, one after the other.

A `Case` begins with the parts as they were parsed, and each step adds what it has proven. A step
uses only what earlier steps have proven; the parts themselves are looked at by the step that proves
them and by no other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tuf.api.metadata import Root

from security.agreement_terms import AgreementTerms
from security.directory_records import MemberRecordView, NodeView
from security.entry_format import ParsedEntry
from security.evidence_directory import Directory, Records
from security.evidence_format import Evidence, ShownCheckpoint, ShownEntry, ShownParcel
from security.evidence_report import CallFacts
from security.identifiers import NodeId
from security.keys import PublicKey
from security.kinds import Open
from security.note import Note
from security.parcel import HeaderFields
from security.statement import SealKeyView


@dataclass(frozen=True, slots=True)
class EntryCase:
    """An entry that stands in its parcel."""

    shown: ShownEntry
    parsed: ParsedEntry


@dataclass(slots=True)
class SealedBy:
    """By whose key a parcel was sealed, and which directory lists it."""

    records: Records
    record: MemberRecordView
    key: SealKeyView
    identity: PublicKey


@dataclass(slots=True)
class CheckpointCase:
    """A checkpoint that a node's key signed. Times in ms; None where nothing shows them."""

    shown: ShownCheckpoint
    note: Note
    node: NodeView
    origin: str
    quorum_ms: int | None = None
    # The earliest stamp's time and authority.
    stamp: tuple[int, str] | None = None


@dataclass(slots=True)
class ParcelCase:
    """A parcel, from its header on."""

    shown: ShownParcel
    hash: bytes
    header: HeaderFields
    # Of the call; of the call that proposed the agreement; and of one that accepted it later.
    entries: list[EntryCase] = field(default_factory=list)
    offers: list[EntryCase] = field(default_factory=list)
    decisions: list[EntryCase] = field(default_factory=list)
    sealed: SealedBy | None = None
    # The directory that the header names, where the file has it.
    named: Records | None = None
    checkpoints: list[CheckpointCase] = field(default_factory=list)
    received: bool = False

    @property
    def placed(self) -> list[EntryCase]:
        """All entries shown of it, whichever call's."""
        return [*self.entries, *self.offers, *self.decisions]

    @property
    def sender(self) -> NodeId | None:
        """The node on which it was sealed."""
        return None if self.sealed is None else self.sealed.key.node

    @property
    def not_before_ms(self) -> int | None:
        """When the directory was issued that the header names."""
        return None if self.named is None else self.named.directory.issued_at_ms

    @property
    def not_after_ms(self) -> int | None:
        """By when the first quorum had cosigned it; else the first stamp's time."""
        quorums = [item.quorum_ms for item in self.checkpoints if item.quorum_ms is not None]
        return min(quorums) if quorums else self.stamped_ms

    @property
    def stamped_ms(self) -> int | None:
        """The first stamp's time."""
        return min((item.stamp[0] for item in self.checkpoints if item.stamp), default=None)

    @property
    def title(self) -> str:
        """For findings: who, which, what."""
        kinds = [item.parsed.kind.kind.value for item in self.placed]
        what = ", ".join(dict.fromkeys(kinds)) or "a receipt"
        return f"parcel {self.hash.hex()[:16]} of {self.header.member} ({what})"


@dataclass(slots=True)
class Case:
    """Everything; `root` is the root metadata that the verifier trusts."""

    data: bytes
    root: bytes
    evidence: Evidence = field(default_factory=lambda: Evidence("", b""))
    trusted_roots: Mapping[int, Root] = field(default_factory=dict)
    # By rising version; with what they say, from step 4 on.
    verified: tuple[Directory, ...] = ()
    directories: tuple[Records, ...] = ()
    parcels: list[ParcelCase] = field(default_factory=list)
    # Headers that only lead from one to another, by their hashes.
    chain: dict[bytes, HeaderFields] = field(default_factory=dict)
    opened: Open | None = None
    requests: list[tuple[ParcelCase, EntryCase]] = field(default_factory=list)
    responses: list[tuple[ParcelCase, EntryCase]] = field(default_factory=list)
    terms: AgreementTerms | None = None
    call: CallFacts | None = None

    @property
    def call_parcels(self) -> list[ParcelCase]:
        """Those with entries of the call."""
        return [parcel for parcel in self.parcels if parcel.entries]

    def directories_for(self, parcel: ParcelCase) -> Iterator[Records]:
        """The directory that the header names, and then those after it; else all."""
        named = parcel.named
        if named is not None:
            yield named
        for records in self.directories:
            if named is None or records.directory.version > named.directory.version:
                yield records


def share(parcels: Sequence[ParcelCase], with_it: Sequence[ParcelCase]) -> str:
    """For findings: `2 of 3 parcels`."""
    return f"{len(with_it)} of {len(parcels)} parcels"
