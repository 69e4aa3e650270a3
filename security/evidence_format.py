r"""An evidence file: its model, and its one spelling.

    simpul evidence v1\n
    simpul.v1.Evidence, fields in the order of their numbers, each list in its order
    H("simpul/v1/evidence", all before it), 32 bytes

Parsing refuses what printing would not print, byte for byte: an unknown or repeated field, a list
out of order, an equal pair. So one call of one set of parts has one file.

What the parts say, and whether they prove anything, is for `evidence`.

Source: docs/spec, "Evidence: the file"; simpul/v1/evidence.proto.
"""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Final, NoReturn, TypeVar

from security import strict
from security.entry_format import CALL_ID_BYTES
from security.errors import Code, SimpulError
from security.hashing import EVIDENCE, HASH_BYTES, digest, sha256
from security.keys import PublicKey
from security.parcel import header_hash
from simpul.v1 import agreement_pb2, evidence_pb2

MAGIC: Final = b"simpul evidence v1\n"
FORMAT_VERSION: Final = 1
MAX_EVIDENCE_BYTES: Final = 64 * 1024 * 1024

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class ShownDirectory:
    """One version of the directory: its snapshot's SHA-256, its root's version, its timestamps."""

    snapshot: bytes
    root: int
    timestamps: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ShownEntry:
    """An entry with its place in a parcel; payload, private block and salts where they're here."""

    index: int
    entry: bytes
    path: tuple[bytes, ...]
    payload: bytes | None = field(default=None, repr=False)
    payload_salt: bytes = field(default=b"", repr=False)
    private: bytes | None = field(default=None, repr=False)
    private_salt: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ShownLeaf:
    """Where a parcel stands under a checkpoint, which is named by the SHA-256 of its note."""

    checkpoint: bytes
    index: int
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ShownParcel:
    """A header with its seal, the call's entries in it, and its leaves in journals."""

    header: bytes
    seal: bytes
    entries: tuple[ShownEntry, ...]
    leaves: tuple[ShownLeaf, ...]

    @property
    def hash(self) -> bytes:
        """The header's."""
        return header_hash(self.header)


@dataclass(frozen=True, slots=True)
class ShownStamp:
    """An authority's answer, DER."""

    authority: str
    response: bytes


@dataclass(frozen=True, slots=True)
class ShownCheckpoint:
    """A signed note, and time stamps of its text."""

    note: bytes
    stamps: tuple[ShownStamp, ...]

    @property
    def hash(self) -> bytes:
        """The note's SHA-256."""
        return sha256(self.note)


@dataclass(frozen=True, slots=True)
class ShownAgreement:
    """An agreement as it was signed; an empty signature is one that's missing."""

    agreement: bytes
    provider_signature: bytes
    consumer_signature: bytes
    # Where the consumer acts for another: the delegation, and that one's signature of it.
    delegator_signature: bytes = b""
    delegation: bytes = b""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All parts. Lists may stand in any order here: `print_evidence` puts them into theirs."""

    federation: str
    call_id: bytes
    # By rising version.
    roots: tuple[bytes, ...] = ()
    files: tuple[bytes, ...] = ()
    directories: tuple[ShownDirectory, ...] = ()
    parcels: tuple[ShownParcel, ...] = ()
    chain: tuple[bytes, ...] = ()
    checkpoints: tuple[ShownCheckpoint, ...] = ()
    agreement: ShownAgreement | None = None
    identity_keys: tuple[PublicKey, ...] = ()
    offer_call_id: bytes | None = None
    decide_call_id: bytes | None = None


def print_evidence(evidence: Evidence) -> bytes:
    """Print a file: the same parts give the same bytes, whatever their order was.

    Raises:
        SimpulError: EVIDENCE_INVALID, where it would be larger than any reader takes.
    """
    message = evidence_pb2.Evidence(
        version=FORMAT_VERSION,
        federation=evidence.federation,
        call_id=evidence.call_id,
        roots=evidence.roots,
        files=sorted(evidence.files, key=sha256),
        directories=map(_directory_proto, sorted(evidence.directories, key=_snapshot)),
        parcels=map(_parcel_proto, sorted(evidence.parcels, key=_parcel_hash)),
        chain=sorted(evidence.chain, key=header_hash),
        checkpoints=map(_checkpoint_proto, sorted(evidence.checkpoints, key=_checkpoint_hash)),
        agreement=None if evidence.agreement is None else _agreement_proto(evidence.agreement),
        identity_keys=[key.to_proto() for key in sorted(evidence.identity_keys, key=_key)],
        offer_call_id=evidence.offer_call_id or b"",
        decide_call_id=evidence.decide_call_id or b"",
    )
    body = MAGIC + message.SerializeToString(deterministic=True)
    if len(body) + HASH_BYTES > MAX_EVIDENCE_BYTES:
        _refuse(f"it would have over {MAX_EVIDENCE_BYTES} bytes; leave payloads out")
    return body + digest(EVIDENCE, body)


def parse_evidence(data: bytes) -> Evidence:
    """Read a file, strictly.

    Raises:
        SimpulError: EVIDENCE_INVALID, for all that `print_evidence` would not print.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        _refuse(f"it has over {MAX_EVIDENCE_BYTES} bytes")
    if not data.startswith(MAGIC):
        _refuse("it doesn't begin with the line `simpul evidence v1`, or is of another version")
    body, stated = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if len(body) < len(MAGIC) or digest(EVIDENCE, body) != stated:
        _refuse("the digest at its end isn't that of the rest: it was changed, or cut")
    message = strict.parse(
        evidence_pb2.Evidence,
        body[len(MAGIC) :],
        MAX_EVIDENCE_BYTES,
        code=Code.EVIDENCE_INVALID,
    )
    evidence = _read(message)
    if print_evidence(evidence) != data:
        _refuse("its fields or lists are out of order")
    return evidence


def _read(message: evidence_pb2.Evidence) -> Evidence:
    if message.version != FORMAT_VERSION:
        _refuse(f"its version is {message.version}, not {FORMAT_VERSION}")
    _require(len(message.call_id), {CALL_ID_BYTES}, "call id")
    _require(len(message.offer_call_id), {0, CALL_ID_BYTES}, "offer's call id")
    _require(len(message.decide_call_id), {0, CALL_ID_BYTES}, "decision's call id")
    return Evidence(
        federation=message.federation,
        call_id=message.call_id,
        roots=tuple(message.roots),
        files=_unique("file", message.files, sha256),
        directories=_unique("directory", map(_directory, message.directories), _snapshot),
        parcels=_unique("parcel", map(_parcel, message.parcels), _parcel_hash),
        chain=_unique("header", message.chain, header_hash),
        checkpoints=_unique("checkpoint", map(_checkpoint, message.checkpoints), _checkpoint_hash),
        agreement=_agreement(message.agreement) if message.HasField("agreement") else None,
        identity_keys=_unique("key", map(PublicKey.from_proto, message.identity_keys), _key),
        offer_call_id=message.offer_call_id or None,
        decide_call_id=message.decide_call_id or None,
    )


def _directory(message: evidence_pb2.EvidenceDirectory) -> ShownDirectory:
    _require(len(message.snapshot), {HASH_BYTES}, "snapshot's hash")
    return ShownDirectory(message.snapshot, message.root, tuple(message.timestamps))


def _parcel(message: evidence_pb2.EvidenceParcel) -> ShownParcel:
    return ShownParcel(
        message.header,
        message.seal,
        _unique("entry", map(_entry, message.entries), lambda item: item.index),
        _unique("leaf", map(_leaf, message.leaves), lambda item: item.checkpoint),
    )


def _entry(message: evidence_pb2.EvidenceEntry) -> ShownEntry:
    if not message.HasField("index"):
        _refuse("an entry has no index")
    payload = message.payload if message.HasField("payload") else None
    private = message.private_block if message.HasField("private_block") else None
    for data, salt in ((payload, message.payload_salt), (private, message.private_salt)):
        if data is not None and not salt:
            _refuse("a payload or private block is without its salt")
    return ShownEntry(
        message.index,
        message.entry,
        tuple(message.path),
        payload,
        message.payload_salt,
        private,
        message.private_salt,
    )


def _leaf(message: evidence_pb2.EvidenceLeaf) -> ShownLeaf:
    if not message.HasField("index"):
        _refuse("a leaf has no index")
    _require(len(message.checkpoint), {HASH_BYTES}, "checkpoint's hash")
    return ShownLeaf(message.checkpoint, message.index, tuple(message.path))


def _checkpoint(message: evidence_pb2.EvidenceCheckpoint) -> ShownCheckpoint:
    stamps = (ShownStamp(item.authority, item.response) for item in message.stamps)
    return ShownCheckpoint(message.note, _unique("stamp", stamps, lambda item: item.authority))


def _agreement(message: agreement_pb2.SignedAgreement) -> ShownAgreement:
    return ShownAgreement(
        message.agreement,
        message.provider_signature,
        message.consumer_signature,
        message.delegator_signature,
        message.delegation,
    )


def _directory_proto(item: ShownDirectory) -> evidence_pb2.EvidenceDirectory:
    return evidence_pb2.EvidenceDirectory(
        snapshot=item.snapshot, root=item.root, timestamps=item.timestamps
    )


def _parcel_proto(item: ShownParcel) -> evidence_pb2.EvidenceParcel:
    return evidence_pb2.EvidenceParcel(
        header=item.header,
        seal=item.seal,
        entries=map(_entry_proto, sorted(item.entries, key=lambda entry: entry.index)),
        leaves=[
            evidence_pb2.EvidenceLeaf(checkpoint=leaf.checkpoint, index=leaf.index, path=leaf.path)
            for leaf in sorted(item.leaves, key=lambda leaf: leaf.checkpoint)
        ],
    )


def _entry_proto(item: ShownEntry) -> evidence_pb2.EvidenceEntry:
    return evidence_pb2.EvidenceEntry(
        index=item.index,
        entry=item.entry,
        path=item.path,
        payload=item.payload,
        payload_salt=item.payload_salt,
        private_block=item.private,
        private_salt=item.private_salt,
    )


def _checkpoint_proto(item: ShownCheckpoint) -> evidence_pb2.EvidenceCheckpoint:
    return evidence_pb2.EvidenceCheckpoint(
        note=item.note,
        stamps=[
            evidence_pb2.EvidenceStamp(authority=stamp.authority, response=stamp.response)
            for stamp in sorted(item.stamps, key=lambda stamp: stamp.authority)
        ],
    )


def _agreement_proto(item: ShownAgreement) -> agreement_pb2.SignedAgreement:
    return agreement_pb2.SignedAgreement(
        agreement=item.agreement,
        provider_signature=item.provider_signature,
        consumer_signature=item.consumer_signature,
        delegator_signature=item.delegator_signature,
        delegation=item.delegation,
    )


def _snapshot(item: ShownDirectory) -> bytes:
    return item.snapshot


def _parcel_hash(item: ShownParcel) -> bytes:
    return item.hash


def _checkpoint_hash(item: ShownCheckpoint) -> bytes:
    return item.hash


def _key(item: PublicKey) -> tuple[int, bytes]:
    return item.algorithm, item.key


def _unique(
    what: str, items: Iterable[ItemT], key: Callable[[ItemT], Hashable]
) -> tuple[ItemT, ...]:
    found = tuple(items)
    keys = [key(item) for item in found]
    if len(set(keys)) != len(keys):
        _refuse(f"a {what} is in it twice")
    return found


def _require(length: int, allowed: set[int], what: str) -> None:
    if length not in allowed:
        _refuse(f"its {what} has {length} bytes")


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.EVIDENCE_INVALID, f"this is no evidence file: {what}; get it again from its source"
    )
