"""Calls between the small federation's two members, with everything that proves them.

Fixed keys and dates, so the same call gives the same file each time. A test changes one thing of
what stands here, or of the `Evidence` that comes out, and says which step then fails.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from security import merkle
from security.agreement import agreement_hash
from security.checkpoint import Checkpoint, sign_checkpoint
from security.commitment import NO_MESSAGES, Tally, commit_payload
from security.cosignature import cosign, witness_key
from security.entry import EntryDraft, SealedEntry, entry_digest, make_entry, parse_entry
from security.evidence_format import (
    Evidence,
    ShownAgreement,
    ShownCheckpoint,
    ShownEntry,
    ShownLeaf,
    ShownParcel,
)
from security.evidence_times import leaf
from security.hashing import sha256
from security.identifiers import MemberId, NodeId, ServiceId
from security.keys import PrivateKey
from security.kinds import Cancel, CancelReason, Close, HalfClose, Head, Kind, Message, Open, Refuse
from security.parcel import (
    HeaderFields,
    Received,
    entries_root,
    entry_path,
    header_hash,
    make_header,
)
from security.private import Private, make_private
from security.seal import make_seals
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.published import Published, Registry

CALL_ID = fixed.NOW_MS.to_bytes(6, "big") + b"\x70\x01\x80\x02" + bytes(5) + b"\x01"
OTHER_CALL_ID = CALL_ID[:-1] + b"\x02"
OFFER_CALL_ID = CALL_ID[:-1] + b"\x03"
DECIDE_CALL_ID = CALL_ID[:-1] + b"\x04"
LINK = fixed.fixed_bytes("evidence link", 32)
QUESTION, ANSWER = b"\x0a\x05Komodo", b"\x0a\x0dPulau Komodo."
# A minute before the call.
ISSUED_MS = fixed.NOW_MS - 60_000
WITNESSES = ("witness.example/1", "witness.example/2")
WITNESSED_S = fixed.NOW_MS // 1000 + 10
ASKED = Private(user="operator-7", issue="53.15/2026/17")

MINISTRY_SEAL = fixed.key(f"{fixed.MINISTRY} seal")
REGENCY_SEAL = fixed.key(f"{fixed.REGENCY} seal")


@dataclass(frozen=True)
class Side:
    """One end of the link."""

    member: MemberId
    node: NodeId
    seal: PrivateKey


MINISTRY = Side(fixed.MINISTRY, fixed.MINISTRY_NODE, MINISTRY_SEAL)
REGENCY = Side(fixed.REGENCY, fixed.REGENCY_NODE, REGENCY_SEAL)


@dataclass
class Parcel:
    """A parcel as it was sent."""

    fields: HeaderFields
    header: bytes
    seal: bytes
    entries: list[SealedEntry]

    @property
    def hash(self) -> bytes:
        return header_hash(self.header)

    def shown(self, call_ids: Sequence[bytes], *, contents: bool = True) -> ShownParcel:
        entries = []
        for index, sealed in enumerate(self.entries):
            if parse_entry(sealed.entry).call_id not in call_ids:
                continue
            beside = {
                "payload": sealed.payload,
                "payload_salt": sealed.payload_salt,
                "private": sealed.private,
                "private_salt": sealed.private_salt,
            }
            entries.append(
                ShownEntry(
                    index,
                    sealed.entry,
                    entry_path(self.entries, index),
                    **(beside if contents else {}),  # type: ignore[arg-type]
                )
            )
        return ShownParcel(self.header, self.seal, tuple(entries), ())


@dataclass
class Link:
    """Both directions of a link, sent one parcel after another, a second apart."""

    directory: bytes
    link_id: bytes = LINK
    parcels: list[Parcel] = field(default_factory=list)
    now_ms: int = fixed.NOW_MS

    def send(
        self,
        side: Side,
        *entries: SealedEntry,
        ack: Parcel | None = None,
        batch: int = 1,
        to: NodeId | None = None,
    ) -> Parcel:
        """Seal and send; `batch` parcels were sealed with one signature, this the last of them."""
        other = REGENCY if side is MINISTRY else MINISTRY
        mine = [item for item in self.parcels if item.fields.member == side.member]
        fields = HeaderFields(
            fixed.FEDERATION,
            side.member,
            side.seal.public.key_id,
            to or other.node,
            self.link_id,
            len(mine),
            mine[-1].hash if mine else self.link_id,
            None if ack is None else Received(ack.fields.number, ack.hash),
            1000,
            self.now_ms,
            self.directory,
            len(entries),
            entries_root(entries),
        )
        header = make_header(fields)
        beside = [fixed.fixed_bytes(f"another header {number}", 32) for number in range(batch - 1)]
        seal = make_seals(side.seal, [*beside, header_hash(header)])[-1]
        self.parcels.append(Parcel(fields, header, seal, list(entries)))
        self.now_ms += 1000
        return self.parcels[-1]


@dataclass
class Call:
    """Makes a call's entries, with running tallies."""

    call_id: bytes = CALL_ID
    kind: Open = field(
        default_factory=lambda: Open(
            fixed.SUPER_APP,
            ServiceId(fixed.TOURISM, fixed.SERVICE),
            "Get",
            agreement=agreement_hash(agreements.signed().agreement),
            purpose="layanan-wisata",
            unary=True,
        )
    )
    requests: Tally = NO_MESSAGES
    responses: Tally = NO_MESSAGES
    asked: int = 0
    answered: int = 0
    open_digest: bytes = b""

    def open(self, payload: bytes | None = QUESTION, private: bytes | None = None) -> SealedEntry:
        private = make_private(ASKED) if private is None else private
        sealed = self._ask(self.kind, payload if self.kind.unary else None, private or None)
        self.open_digest = entry_digest(sealed.entry)
        return sealed

    def ask(self, payload: bytes) -> SealedEntry:
        return self._ask(Message(), payload)

    def half_close(self) -> SealedEntry:
        return self._ask(HalfClose(self.requests), None)

    def head(self) -> SealedEntry:
        return self._answer(Head(), None)

    def cancel(self) -> SealedEntry:
        return self._ask(Cancel(CancelReason.APP, self.requests, self.responses), None)

    def answer(self, payload: bytes) -> SealedEntry:
        return self._answer(Message(), payload)

    def close(self, payload: bytes | None = None, status: int = 0) -> SealedEntry:
        said = self.responses
        if payload is not None:
            salts = self._salts("answer", self.answered)
            said = said.add(commit_payload(salts[16:32], payload).hash)
        return self._answer(Close(status, self.open_digest, self.requests, said), payload)

    def refuse(self, code: str = "ACCESS_NO_AGREEMENT", status: int = 7) -> SealedEntry:
        return self._answer(Refuse(code, status, self.open_digest), None)

    def _ask(self, kind: Kind, payload: bytes | None, private: bytes | None = None) -> SealedEntry:
        draft = EntryDraft(kind, self.call_id, self.asked, payload, private=private)
        sealed = make_entry(draft, self._salts("ask", self.asked))
        commitment = parse_entry(sealed.entry).payload
        if commitment is not None:
            self.requests = self.requests.add(commitment.hash)
        self.asked += 1
        return sealed

    def _answer(self, kind: Kind, payload: bytes | None) -> SealedEntry:
        draft = EntryDraft(kind, self.call_id, self.answered, payload)
        sealed = make_entry(draft, self._salts("answer", self.answered))
        commitment = parse_entry(sealed.entry).payload
        if commitment is not None:
            self.responses = self.responses.add(commitment.hash)
        self.answered += 1
        return sealed

    def _salts(self, side: str, number: int) -> bytes:
        return fixed.fixed_bytes(f"salts {self.call_id.hex()} {side} {number}", 48)


def origin(node: NodeId) -> str:
    """As `directories` lists it."""
    return f"simpul/{node}/0"


def policy(*, quorum: int = 2, names: Sequence[str] = WITNESSES) -> directory_pb2.FederationPolicy:
    """The small federation's, with witnesses."""
    message = directories.policy()
    for name in names:
        vkey = witness_key(name, fixed.key(name)).vkey
        message.witnesses.add(vkey=vkey, url=f"https://{name.partition('/')[0]}")
    message.witness_quorum = quorum
    return message


def targets(
    *records: directory_pb2.MemberRecord, watched: directory_pb2.FederationPolicy | None = None
) -> dict[str, bytes]:
    """Target files of the members given, else of both."""
    shown = policy() if watched is None else watched
    return directories.targets(
        *records, changed={"policy": shown.SerializeToString(deterministic=True)}
    )


def watch(
    parcels: Sequence[ShownParcel],
    at: NodeId,
    *,
    names: Sequence[str] = WITNESSES,
    time_s: int = WITNESSED_S,
    beside: int = 1,
    key: PrivateKey | None = None,
    log: str | None = None,
) -> tuple[tuple[ShownParcel, ...], ShownCheckpoint]:
    """Put the parcels into a node's journal, after `beside` others, and have it cosigned."""
    leaves = [fixed.fixed_bytes(f"other leaf {number}", 32) for number in range(beside)]
    leaves += [leaf(item) for item in parcels]
    tree = Checkpoint(log or origin(at), len(leaves), merkle.root(leaves))
    signed = sign_checkpoint(tree, key or fixed.key(f"{at} node"))
    lines = [cosign(tree.text, name, fixed.key(name), time_s) for name in names]
    note = signed.note.with_signatures(lines).to_bytes()
    placed = tuple(
        replace(
            item,
            leaves=(
                *item.leaves,
                ShownLeaf(
                    sha256(note), beside + number, merkle.inclusion_path(leaves, beside + number)
                ),
            ),
        )
        for number, item in enumerate(parcels)
    )
    return placed, ShownCheckpoint(note, ())


def signed_agreement(
    message: agreement_pb2.SignedAgreement | None = None,
) -> ShownAgreement:
    """The agreement between the two members."""
    message = agreements.signed() if message is None else message
    return ShownAgreement(
        message.agreement,
        message.provider_signature,
        message.consumer_signature,
        message.delegator_signature,
        message.delegation,
    )


def evidence(
    registry: Registry,
    published: Sequence[Published],
    parcels: Sequence[ShownParcel],
    checkpoints: Sequence[ShownCheckpoint] = (),
    **more: object,
) -> Evidence:
    """Put the parts together."""
    made = Evidence(
        federation=fixed.FEDERATION,
        call_id=CALL_ID,
        roots=tuple(registry.roots),
        files=tuple(dict.fromkeys(data for item in published for data in item.files.values())),
        directories=tuple(item.shown for item in published),
        parcels=tuple(parcels),
        checkpoints=tuple(checkpoints),
        agreement=signed_agreement(),
    )
    return replace(made, **more)  # type: ignore[arg-type]


@dataclass
class Scene:
    """A registry with two versions of its directory, and a link by the first of them.

    The second was still said to be in force a day after.
    """

    registry: Registry = field(default_factory=Registry)
    records: tuple[directory_pb2.MemberRecord, ...] = ()
    watched: directory_pb2.FederationPolicy | None = None
    published: list[Published] = field(default_factory=list)

    def __post_init__(self) -> None:
        files = targets(*self.records, watched=self.watched)
        self.published.append(self.registry.publish(7, files, ISSUED_MS))
        self.link = Link(self.published[0].hash)

    def later(
        self, *records: directory_pb2.MemberRecord, at_ms: int = fixed.NOW_MS + fixed.DAY_MS
    ) -> None:
        """The directory of a later day."""
        files = targets(*(records or self.records), watched=self.watched)
        self.published.append(
            self.registry.publish(8, files, at_ms - 1000, last_issued_at_ms=at_ms)
        )

    def evidence(
        self,
        parcels: Sequence[ShownParcel],
        checkpoints: Sequence[ShownCheckpoint] = (),
        **more: object,
    ) -> Evidence:
        return evidence(self.registry, self.published, parcels, checkpoints, **more)


def unary_parcels(link: Link) -> list[Parcel]:
    """A question beside another call's, its answer, and a receipt for the answer."""
    call, other = Call(), Call(OTHER_CALL_ID)
    asked = link.send(MINISTRY, other.open(), call.open(), batch=3)
    answered = link.send(REGENCY, call.close(ANSWER), ack=asked)
    receipt = link.send(MINISTRY, ack=answered)
    return [asked, answered, receipt]


def unary(scene: Scene | None = None, *, contents: bool = True) -> Evidence:
    """A unary call, as the consumer's side exports it: everything there is."""
    scene = scene or Scene()
    if len(scene.published) == 1:
        scene.later()
    shown = [item.shown((CALL_ID,), contents=contents) for item in unary_parcels(scene.link)]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE)
    return scene.evidence(placed, (checkpoint,))
