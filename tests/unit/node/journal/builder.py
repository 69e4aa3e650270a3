"""Real parcels for the journal's tests: chained headers, salted entries, no keys."""

from dataclasses import dataclass, field
from hashlib import sha256

from node.journal.model import Direction, LinkEnd, ParcelRecord
from security.commitment import Tally
from security.entry import EntryDraft, SealedEntry, make_entry
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from security.kinds import Close, HalfClose, Kind, Message, Open, Refuse
from security.parcel import HeaderFields, entries_root, header_hash, make_header
from simpul.v1 import parcel_pb2

ME = "ID/~jakarta-1"
PEER = "ID/~labuan-bajo-1"
MY_MEMBER = "ID/KEMENTERIAN/KOMDIGI"
PEER_MEMBER = "ID/DAERAH/53.15"
CONSUMER = "ID/KEMENTERIAN/KOMDIGI/superapp"
PROVIDER = "ID/DAERAH/53.15/pariwisata"
SERVICE = "wisata.v1.Wisata"
AGREEMENT = sha256(b"agreement").digest()
NOW_MS = 1_760_000_000_000


def call_id(number: int) -> bytes:
    """A UUIDv7 that is the same for the same number."""
    raw = bytearray((NOW_MS + number).to_bytes(6, "big") + number.to_bytes(10, "big"))
    raw[6] = 0x70 | (raw[6] & 0x0F)
    raw[8] = 0x80 | (raw[8] & 0x3F)
    return bytes(raw)


def salts(seed: object, count: int = 48) -> bytes:
    return b"".join(sha256(f"{seed}/{part}".encode()).digest() for part in range(2))[:count]


def entry(
    kind: Kind, call: int, index: int, payload: bytes | None = None, private: bytes | None = None
) -> SealedEntry:
    draft = EntryDraft(kind, call_id(call), index, payload, private=private)
    return make_entry(draft, salts((kind.kind, call, index)))


def open_entry(
    call: int, method: str = "Get", *, unary: bool = True, gather: bytes | None = None
) -> SealedEntry:
    service = ServiceId(SubsystemId.parse(PROVIDER), SERVICE)
    kind = Open(
        SubsystemId.parse(CONSUMER), service, method, AGREEMENT, "tourism", 10_000, gather, unary
    )
    return entry(kind, call, 0, b"question" if unary else None, b"metadata")


def close_entry(
    call: int, status: int = 0, index: int = 0, said: bytes | None = b"answer"
) -> SealedEntry:
    tally = Tally(1, sha256(b"tally").digest())
    kind = Close(status, sha256(b"open").digest(), tally, tally)
    return entry(kind, call, index, said, b"trailers")


def refuse_entry(call: int, code: str = "ACCESS_NO_AGREEMENT") -> SealedEntry:
    return entry(Refuse(code, 7, sha256(b"open").digest()), call, 0, None, b"why")


def message_entry(call: int, index: int, payload: bytes = b"message") -> SealedEntry:
    return entry(Message(), call, index, payload)


def half_close_entry(call: int, index: int) -> SealedEntry:
    return entry(HalfClose(Tally(1, sha256(b"tally").digest())), call, index)


@dataclass
class Link:
    """Makes the records of one link, as one of its nodes journals them."""

    name: str = "link"
    end: LinkEnd = LinkEnd.DIALLER
    peer: str = PEER
    numbers: dict[Direction, int] = field(default_factory=dict)
    previous: dict[Direction, bytes] = field(default_factory=dict)

    @property
    def link_id(self) -> bytes:
        return sha256(self.name.encode()).digest()

    def sent(self, *entries: SealedEntry, **changes: object) -> ParcelRecord:
        return self.record(Direction.SENT, entries, **changes)

    def received(self, *entries: SealedEntry, **changes: object) -> ParcelRecord:
        return self.record(Direction.RECEIVED, entries, **changes)

    def record(
        self, direction: Direction, entries: tuple[SealedEntry, ...], **changes: object
    ) -> ParcelRecord:
        """The next parcel of this direction. `changes` replace header fields."""
        mine = direction is Direction.SENT
        number = self.numbers.get(direction, 0)
        values = {
            "federation": "ID",
            "member": MemberId.parse(MY_MEMBER if mine else PEER_MEMBER),
            "seal_key_id": sha256(b"key").digest(),
            "node": NodeId.parse(self.peer if mine else ME),
            "link_id": self.link_id,
            "number": number,
            "previous": self.previous.get(direction, self.link_id),
            "received": None,
            "credit": 1024,
            "sealed_at_ms": NOW_MS + number,
            "directory_hash": sha256(b"directory").digest(),
            "entry_count": len(entries),
            "entries_root": entries_root(entries),
        }
        fields = HeaderFields(**{**values, **changes})  # type: ignore[arg-type]
        header = make_header(fields)
        hashed = header_hash(header)
        self.numbers[direction] = fields.number + 1
        self.previous[direction] = hashed
        seal = parcel_pb2.Seal(signature=sha256(hashed).digest() * 2, batch_size=1, index=0)
        return ParcelRecord(
            direction,
            self.peer,
            str(fields.member),
            self.link_id,
            self.end,
            fields.number,
            fields.sealed_at_ms,
            header,
            seal.SerializeToString(deterministic=True),
            hashed,
            entries,
        )


def unary_call(link: Link, call: int, status: int = 0) -> list[ParcelRecord]:
    """A call from here, opened and closed: two parcels."""
    return [link.sent(open_entry(call)), link.received(close_entry(call, status))]
