"""Puts an evidence file together for one call, out of what one node keeps.

What is there goes in: the call's entries with their paths, the parcels' headers and seals,
receipts, the first cosigned checkpoint over each parcel and the first stamped one, the directories,
the agreement and how it was made. What isn't there is left out, and verifying says so.

It reads the home, and the journal's database; it writes neither.

Source: docs/spec, "Evidence".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from node.directory.archive import DirectoryArchive
from node.directory.folder import ReplicaFolder
from node.directory.load import load_view
from node.evidence.agreements import FoundAgreement, find_agreement, needed_keys
from node.evidence.archived import ArchivedParcels
from node.evidence.directories import ShownDirectories, listed_keys, show_directories
from node.evidence.offers import FoundMaking, find_making
from node.evidence.parcels import (
    Covered,
    LinkPlace,
    ParcelReader,
    ParcelSource,
    StoredParcel,
    all_of_call,
)
from node.evidence.receipts import find_receipts
from node.home import NodeHome
from node.journal.place import Place
from security import merkle
from security.checkpoint import parse_checkpoint
from security.directory import DirectoryView
from security.entry_format import parse_entry
from security.errors import Code, SimpulError
from security.evidence_format import (
    Evidence,
    ShownCheckpoint,
    ShownEntry,
    ShownLeaf,
    ShownParcel,
    ShownStamp,
)
from security.hashing import sha256
from security.identifiers import MemberId
from security.kinds import Open
from security.parcel import parse_header

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class KeptContents:
    """What was kept of an entry's contents; None for each that wasn't."""

    payload: bytes | None = None
    private: bytes | None = None


# Of a parcel's place (slot, index) and the entry's index in it.
Contents = Callable[[int, int, int], KeptContents]


@dataclass(frozen=True, slots=True)
class Exported:
    """The evidence, and what a user should know of what isn't in it."""

    evidence: Evidence
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Parts:
    """What is gathered; parcels by header hash."""

    parcels: dict[bytes, ShownParcel] = field(default_factory=dict)
    checkpoints: dict[bytes, ShownCheckpoint] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    """What was looked up of one call."""

    own: list[StoredParcel]
    acknowledging: list[StoredParcel] = field(default_factory=list)
    # By header hash.
    chain: dict[bytes, bytes] = field(default_factory=dict)
    opened: Open | None = None
    agreement: FoundAgreement | None = None
    making: FoundMaking = field(default_factory=FoundMaking)


def export_evidence(
    home: NodeHome,
    place: Place,
    call_id: bytes,
    *,
    contents: bool = True,
    kept: Contents | None = None,
    archives: ArchivedParcels | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Collect the evidence of a call.

    Args:
        home: The node's.
        place: Its journal.
        call_id: 16 bytes.
        contents: Also payloads, private blocks, and the salts without which neither can be proven.
        kept: Where kept payloads are found; None: none are.
        archives: Where parcels are that the journal dropped; None: they aren't looked for.
        progress: Told how many parcels are done, of how many.

    Raises:
        SimpulError: NOT_FOUND, where no parcel of the call is in the journal, nor in the archives;
            DIRECTORY_ABSENT; as the journal's readers and archives do.
    """
    parts = _Parts()
    with ParcelReader(place) as journal:
        # The oldest first.
        sources: tuple[ParcelSource, ...] = (journal,)
        if archives is not None:
            archives.take_salts(journal)
            sources = (archives, journal)
        found = _find(home, sources, call_id, parts)
        wanted = [*found.own, *found.acknowledging, *found.making.parcels]
        payloads = found.making.payloads
        for done, parcel in enumerate(wanted):
            entries = _entries(parcel, payloads, contents=contents, kept=kept)
            _add(parts, sources, parcel, entries)
            if progress is not None:
                progress(done + 1, len(wanted))
    return Exported(_put_together(home, call_id, found, parts), tuple(parts.notes))


def _find(home: NodeHome, sources: Sequence[ParcelSource], call_id: bytes, parts: _Parts) -> _Found:
    """Everything that the journal, the archives and the store have of the call."""
    links = _links(sources, call_id, parts)
    by_link = {link: all_of_call(sources, call_id, link) for link in links}
    found = _Found([parcel for parcels in by_link.values() for parcel in parcels])
    if not found.own:
        raise _absent(call_id, sources)
    found.opened = _opened(found.own)
    if found.opened is None:
        parts.notes.append(
            "the parcel that opened the call was dropped from the journal: without it little is "
            "proven; give --archive with the place of the archives"
        )
    elif found.opened.agreement is not None:
        found.agreement = find_agreement(home, found.opened.agreement)
    if found.agreement is not None:
        found.making = find_making(sources, found.agreement)
    for parcels in by_link.values():
        receipts = find_receipts(sources, parcels)
        found.acknowledging += receipts.parcels.values()
        found.chain |= receipts.chain
    return found


def _put_together(home: NodeHome, call_id: bytes, found: _Found, parts: _Parts) -> Evidence:
    shown = _show(home, parts, found.opened)
    federation = found.own[0].fields.federation
    agreement, making = found.agreement, found.making
    listed = listed_keys(home.read_root(), shown, federation)
    return Evidence(
        federation=federation,
        call_id=call_id,
        roots=shown.roots,
        files=shown.files,
        directories=shown.directories,
        parcels=tuple(parts.parcels.values()),
        chain=tuple(data for hashed, data in found.chain.items() if hashed not in parts.parcels),
        checkpoints=tuple(parts.checkpoints.values()),
        agreement=None if agreement is None else agreement.shown,
        identity_keys=() if agreement is None else needed_keys(agreement, listed),
        offer_call_id=None if making.offer is None else making.offer.call_id,
        decide_call_id=None if making.decision is None else making.decision.call_id,
    )


def _links(sources: Sequence[ParcelSource], call_id: bytes, parts: _Parts) -> tuple[LinkPlace, ...]:
    """The ends of the newest link with a call of this id; both, where both are of this node."""
    found = dict.fromkeys(link for source in reversed(sources) for link in source.links(call_id))
    if not found:
        raise _absent(call_id, sources)
    newest = next(iter(found)).link_id
    if any(link.link_id != newest for link in found):
        parts.notes.append("this id was used on several links: the newest call is exported")
    return tuple(link for link in found if link.link_id == newest)


def _absent(call_id: bytes, sources: Sequence[ParcelSource]) -> SimpulError:
    where = "this journal or its archives" if len(sources) > 1 else "this journal"
    return SimpulError(
        Code.NOT_FOUND,
        f"no parcel of call {call_id.hex()} is in {where}: it was refused before any left, is "
        "the other side's, or was dropped by retention",
    )


def _opened(parcels: Iterable[StoredParcel]) -> Open | None:
    for parcel in parcels:
        for index in parcel.mine:
            kind = parse_entry(parcel.entries[index]).kind
            if isinstance(kind, Open):
                return kind
    return None


def _entries(
    parcel: StoredParcel,
    payloads: Mapping[bytes, bytes],
    *,
    contents: bool,
    kept: Contents | None,
) -> tuple[ShownEntry, ...]:
    hashes = [merkle.leaf_hash(entry) for entry in parcel.entries]
    found = []
    for index in sorted(parcel.mine):
        entry = parcel.entries[index]
        path = merkle.inclusion_path(hashes, index)
        payload_salt, private_salt = parcel.salts[index]
        if entry in payloads:
            found.append(ShownEntry(index, entry, path, payloads[entry], payload_salt))
        elif not contents:
            found.append(ShownEntry(index, entry, path))
        else:
            beside = KeptContents() if kept is None else kept(parcel.slot, parcel.idx, index)
            found.append(
                ShownEntry(
                    index,
                    entry,
                    path,
                    beside.payload if payload_salt else None,
                    payload_salt,
                    beside.private if private_salt else None,
                    private_salt,
                )
            )
    return tuple(found)


def _add(
    parts: _Parts,
    sources: Sequence[ParcelSource],
    parcel: StoredParcel,
    entries: tuple[ShownEntry, ...],
) -> None:
    """The parcel with its leaves; both ends of a link within one node are two leaves of one."""
    leaves = _leaves(parts, sources, parcel)
    before = parts.parcels.get(parcel.hash)
    if before is not None:
        known = {entry.index for entry in before.entries}
        entries = (*before.entries, *(item for item in entries if item.index not in known))
        there = {leaf.checkpoint for leaf in before.leaves}
        leaves = (*before.leaves, *(item for item in leaves if item.checkpoint not in there))
    parts.parcels[parcel.hash] = ShownParcel(parcel.header, parcel.seal, entries, leaves)


def _leaves(
    parts: _Parts, sources: Sequence[ParcelSource], parcel: StoredParcel
) -> tuple[ShownLeaf, ...]:
    cosigned = stamped = None
    for source in sources:
        cover = source.cover(parcel)
        cosigned = cosigned or cover.cosigned
        stamped = stamped or cover.stamped
    found: dict[bytes, ShownLeaf] = {}
    for covered in (cosigned, stamped):
        if covered is not None:
            hashed = sha256(covered.note)
            found[hashed] = ShownLeaf(hashed, parcel.idx, covered.path)
            parts.checkpoints[hashed] = _checkpoint(covered)
    return tuple(found.values())


def _checkpoint(covered: Covered) -> ShownCheckpoint:
    stamps = tuple(ShownStamp(item.authority, item.response) for item in covered.timestamps)
    return ShownCheckpoint(covered.note, stamps)


def _show(home: NodeHome, parts: _Parts, opened: Open | None) -> ShownDirectories:
    """The directories that headers name, and the newest, with all whose keys are in the file."""
    headers = [parse_header(item.header) for item in parts.parcels.values()]
    members = {header.member for header in headers}
    if opened is not None:
        members |= {opened.consumer.member, opened.service.subsystem.member}
        if opened.on_behalf_of is not None:
            members.add(opened.on_behalf_of)
    hashes = [header.directory_hash for header in headers]
    current = ReplicaFolder(home.directory).current()
    if current is not None:
        view = load_view(current)
        members |= _owners(view, parts)
        hashes.append(view.hash)
    shown = show_directories(DirectoryArchive(home.directory), hashes, members)
    parts.notes += [
        f"directory {missing.hex()[:16]}, which a header names, was never here: join the other "
        "side's file, which may have it"
        for missing in shown.missing
    ]
    return shown


def _owners(view: DirectoryView, parts: _Parts) -> set[MemberId]:
    """The members that run the nodes whose checkpoints are in the file."""
    origins = {parse_checkpoint(item.note).checkpoint.origin for item in parts.checkpoints.values()}
    return {
        node.owner
        for node in view.nodes.values()
        if any(slot.origin in origins for slot in node.slots)
    }
