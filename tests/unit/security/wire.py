"""A consumer's and a provider's node with a link between them, all from fixed keys and salts.

The directory is a real `DirectoryView`, built from real records and signed statements.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from security.directory import DirectoryView
from security.entry import EntryDraft, SealedEntry, make_entry
from security.errors import Code, LinkFault
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.keys import PrivateKey
from security.kinds import Kind, Open
from security.limits import Limits
from security.parcel import (
    HeaderFields,
    Received,
    entries_root,
    header_hash,
    make_header,
    to_wire,
)
from security.private import Private, make_private
from security.receiver import AcceptedParcel, Receiver
from security.seal import make_seals
from security.sender import LinkContext, OutgoingEntry, PreparedParcel, Sender
from security.statement import MemberStatementView, SealKeyView, make_statement
from simpul.v1 import directory_pb2, parcel_pb2
from tests.conformance.fixed import DAY_MS, NOW_MS, fixed_bytes, key

KOMDIGI = MemberId.parse("ID/KEMENTERIAN/KOMDIGI")
# A second member on the consumer's node.
BSSN = MemberId.parse("ID/LEMBAGA/BSSN")
BAJO = MemberId.parse("ID/DAERAH/53.15")
CONSUMER_NODE = NodeId.parse("ID/~komdigi-1")
PROVIDER_NODE = NodeId.parse("ID/~labuan-bajo-1")
OTHER_HASH = hashlib.sha256(b"other").digest()
LINK_ID = hashlib.sha256(b"link").digest()
DIRECTORY_HASH = hashlib.sha256(b"directory").digest()
OPEN = Open(
    SubsystemId.parse(f"{KOMDIGI}/superapp"),
    ServiceId.parse(f"{BAJO}/pariwisata/wisata.v1.Wisata"),
    "Get",
    agreement=hashlib.sha256(b"agreement").digest(),
    purpose="layanan-wisata",
    deadline_left_ms=10_000,
    unary=True,
)
STREAM = replace(OPEN, method="Import", unary=False)


NODE_KEYS = {node: key(f"node {node}") for node in (CONSUMER_NODE, PROVIDER_NODE)}
SEAL_KEYS = {member: key(f"seal {member}") for member in (KOMDIGI, BSSN, BAJO)}
HOSTS = {KOMDIGI: CONSUMER_NODE, BSSN: CONSUMER_NODE, BAJO: PROVIDER_NODE}


def call_id(number: int) -> bytes:
    """A UUIDv7 of `NOW_MS`."""
    return NOW_MS.to_bytes(6, "big") + b"\x70\x00\x80" + number.to_bytes(7, "big")


def salts(label: object) -> bytes:
    """48 bytes that are the same every time."""
    return fixed_bytes(f"salts {label}", 48)


def statement(member: MemberId, **changes: Any) -> MemberStatementView:
    """A statement with one seal key, valid around `NOW_MS`."""
    seal_key = SealKeyView(
        SEAL_KEYS[member].public, HOSTS[member], NOW_MS - DAY_MS, NOW_MS + DAY_MS
    )
    identity = key(f"identity {member}").public
    view = MemberStatementView(member, 1, identity, (seal_key,), NOW_MS - DAY_MS, None)
    return replace(view, **changes)


def record(
    view: MemberStatementView, nodes: Sequence[NodeId] = (), **changes: Any
) -> directory_pb2.MemberRecord:
    """A member's record around its statement."""
    message = directory_pb2.MemberRecord(
        version=1,
        federation="ID",
        member=str(view.member),
        number=1,
        state=directory_pb2.MEMBER_STATE_ACTIVE,
        legal_name=view.member.code,
        statement=make_statement(view, key(f"identity {view.member}")),
        nodes=[
            directory_pb2.Node(
                id=str(node),
                node_key=NODE_KEYS[node].public.to_proto(),
                link_address="127.0.0.1:1",
                slots=[directory_pb2.JournalSlot(number=0, origin=f"{node.dns_name}/0")],
                state=directory_pb2.NODE_STATE_ACTIVE,
            )
            for node in nodes
        ],
    )
    message.MergeFrom(directory_pb2.MemberRecord(**changes))
    return message


def records() -> dict[MemberId, directory_pb2.MemberRecord]:
    """What the registry says of all three members."""
    return {
        KOMDIGI: record(statement(KOMDIGI), [CONSUMER_NODE]),
        BSSN: record(statement(BSSN)),
        BAJO: record(statement(BAJO), [PROVIDER_NODE]),
    }


def directory(
    members: Mapping[MemberId, directory_pb2.MemberRecord] | None = None,
    hashed: bytes = DIRECTORY_HASH,
) -> DirectoryView:
    """A directory that lists these members."""
    policy = directory_pb2.FederationPolicy(
        version=1,
        federation="ID",
        stale_after_ms=600_000,
        dead_after_ms=7 * DAY_MS,
        tls_authorities=[b"authority"],
        member_classes=["DAERAH", "KEMENTERIAN", "LEMBAGA"],
        limits=Limits().to_proto(),
    )
    targets = {"policy": policy.SerializeToString()}
    for member, message in (records() if members is None else members).items():
        targets[f"members/{member.member_class}/{member.code}"] = message.SerializeToString()
    return DirectoryView.build("ID", 1, hashed, NOW_MS, targets)


DIRECTORY = directory()
# The same, with the consumer's seal key revoked.
REVOKED = directory(
    {
        **records(),
        KOMDIGI: record(
            statement(KOMDIGI),
            [CONSUMER_NODE],
            revoked_keys=[
                directory_pb2.RevokedKey(
                    key_id=SEAL_KEYS[KOMDIGI].public.key_id, revoked_at_ms=NOW_MS
                )
            ],
        ),
    }
)


@dataclass
class End:
    """One end of the link: what it sends and receives, and in whose name."""

    context: LinkContext
    member: MemberId
    sender: Sender = field(init=False)
    receiver: Receiver = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.sender = Sender(self.context)
        self.receiver = Receiver(self.sender)

    def add(self, kind: Kind, call: bytes, **beside: Any) -> OutgoingEntry:
        """Make an entry with fresh, fixed salts."""
        self.made += 1
        return self.sender.add(kind, call, salts(f"{self.member} {self.made}"), **beside)

    def prepare(
        self, *entries: OutgoingEntry, now_ms: int = NOW_MS, member: MemberId | None = None
    ) -> PreparedParcel:
        """Make the header over these entries."""
        member = self.member if member is None else member
        return self.sender.prepare(
            entries,
            member=member,
            seal_key_id=SEAL_KEYS[member].public.key_id,
            directory_hash=DIRECTORY_HASH,
            now_ms=now_ms,
        )

    def accept(
        self,
        parcel: parcel_pb2.Parcel | bytes,
        view: DirectoryView = DIRECTORY,
        *,
        now_ms: int = NOW_MS,
        fetched: bool = False,
    ) -> AcceptedParcel:
        """Receive a parcel; it is not durable yet."""
        return self.receiver.accept(parcel, now_ms=now_ms, directory=view, fetched=fetched)


@dataclass
class Pair:
    """Both ends. `deliver` seals, sends, accepts, and makes durable."""

    consumer: End
    provider: End

    def deliver(self, source: End, prepared: PreparedParcel) -> AcceptedParcel:
        """Carry a parcel to the other end."""
        target = self.provider if source is self.consumer else self.consumer
        accepted = target.accept(sealed(prepared))
        target.sender.durable(Received(accepted.fields.number, accepted.header_hash))
        return accepted

    def send(self, source: End, *entries: OutgoingEntry) -> AcceptedParcel:
        """Prepare and deliver."""
        return self.deliver(source, source.prepare(*entries))


def pair(credit: int = 100, limits: Limits | None = None, **changes: Any) -> Pair:
    """A fresh link; the consumer's node hosts two members, the provider's one."""
    limits = Limits() if limits is None else limits
    consumer = LinkContext(
        "ID",
        CONSUMER_NODE,
        PROVIDER_NODE,
        LINK_ID,
        frozenset({KOMDIGI, BSSN}),
        limits,
        credit,
        credit,
    )
    provider = replace(
        consumer, my_node=PROVIDER_NODE, peer_node=CONSUMER_NODE, hosted=frozenset({BAJO})
    )
    return Pair(End(replace(consumer, **changes), KOMDIGI), End(replace(provider, **changes), BAJO))


def sealed(prepared: PreparedParcel) -> parcel_pb2.Parcel:
    """The parcel with its seal."""
    return forge(prepared.fields, prepared.entries)


def forge(
    fields: HeaderFields,
    entries: Sequence[SealedEntry],
    signer: PrivateKey | None = None,
) -> parcel_pb2.Parcel:
    """A parcel with this very header, sealed all right; by the member's key unless told."""
    header = make_header(fields)
    signer = SEAL_KEYS[fields.member] if signer is None else signer
    [seal] = make_seals(signer, [header_hash(header)])
    return to_wire(header, seal, entries)


@contextmanager
def refuses(end: End, step: int, code: Code) -> Iterator[None]:
    """The end raises the link fault of this step, and nothing of it changes."""

    def look() -> object:
        sender = end.sender
        return (
            end.receiver.state,
            sender.acknowledged,
            sender.unacknowledged,
            sender.opens_left,
            dict(sender.calls._calls),
            dict(sender.calls._closed_in),
        )

    before = look()
    with pytest.raises(LinkFault) as caught:
        yield
    assert (caught.value.step, caught.value.code) == (step, code)
    assert look() == before


def opening(link: Pair, **changes: Any) -> tuple[HeaderFields, tuple[SealedEntry, ...]]:
    """The header's fields and the entry of the consumer's first parcel, with one open."""
    prepared = link.consumer.prepare(
        link.consumer.add(
            OPEN, call_id(1), payload=b"53.15", private=make_private(Private(user="3201"))
        )
    )
    return replace(prepared.fields, **changes), prepared.entries


def changed(sealed_entry: SealedEntry, change: Callable[[parcel_pb2.Entry], None]) -> SealedEntry:
    """An entry with its bytes printed anew after a change."""
    entry = parcel_pb2.Entry.FromString(sealed_entry.entry)
    change(entry)
    return replace(sealed_entry, entry=entry.SerializeToString(deterministic=True))


def over(fields: HeaderFields, entries: Sequence[SealedEntry]) -> parcel_pb2.Parcel:
    """A parcel over these entries, with the root that is theirs."""
    right = replace(fields, entry_count=len(entries), entries_root=entries_root(entries))
    return forge(right, entries)


def stray(kind: Kind, call: bytes) -> SealedEntry:
    """An entry, the second of its direction, that no sender of ours would make."""
    return make_entry(EntryDraft(kind, call, 1), salts("stray"))
