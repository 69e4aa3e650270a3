"""Builds the vectors of entries, private blocks, headers, seals, greetings and whole parcels.

    python -m tests.conformance.build_parcel_vectors [--check]

Everything follows from fixed keys, names, times and salts. Only Ed25519 signs here, because the
signatures of the other algorithms differ each time. Bytes are lower-case hex.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from security.commitment import NO_MESSAGES, rounded
from security.entry import (
    EntryDraft,
    ParsedEntry,
    SealedEntry,
    entry_digest,
    make_entry,
    parse_entry,
)
from security.greeting import (
    GreetingFields,
    Unsettled,
    child_link_id,
    greeting_hash,
    link_id,
    make_greeting,
)
from security.identifiers import MemberId, ServiceId
from security.kinds import (
    Cancel,
    CancelReason,
    Close,
    EntryKind,
    HalfClose,
    Head,
    Kind,
    Message,
    Open,
    Refuse,
)
from security.parcel import (
    HeaderFields,
    Received,
    entries_root,
    entry_path,
    header_hash,
    make_header,
    to_wire,
)
from security.private import Private, make_private
from security.seal import make_seals, parse_seal
from simpul.v1 import exchange_pb2
from tests.conformance.fixed import (
    FEDERATION,
    MINISTRY,
    MINISTRY_NODE,
    NOW_MS,
    REGENCY_NODE,
    SERVICE,
    SUPER_APP,
    TOURISM,
    fixed_bytes,
    key,
    main,
)

CALL_ID = NOW_MS.to_bytes(6, "big") + b"\x70\x01\x80\x02" + bytes(5) + b"\x01"
SEAL_KEY = key("seal ministry")
OPEN = Open(
    SUPER_APP,
    ServiceId(TOURISM, SERVICE),
    "Get",
    agreement=fixed_bytes("agreement", 32),
    purpose="layanan-wisata",
    deadline_left_ms=5000,
    unary=True,
)
OTHER_REGENCY = MemberId.parse("ID/DAERAH/53.16")
REQUEST = b"\x0a\x05Komodo"
ASKED = Private(
    metadata=(("x-trace", b"1"), ("x-raw-bin", b"\x00\xff"), ("x-trace", b"2")),
    user="3171010101010001",
    issue="53.15/2026/17",
)
ANSWERED = Private(trailers=(("x-rows", b"1"),), status_message="selesai")


def documents() -> Mapping[str, Mapping[str, Any]]:
    """All vector files, by name."""
    entries = drafts()
    return {
        "commitments": {"vectors": [_commitment(name, draft) for name, draft in entries.items()]},
        "entries": {"vectors": [_entry(name, draft) for name, draft in entries.items()]},
        "private_blocks": {"vectors": [_private("open", ASKED), _private("close", ANSWERED)]},
        "tallies": {"vectors": _tallies()},
        "rounding": {
            "vectors": [
                {"length": length, "rounded": rounded(length)}
                for length in (0, 1, 255, 256, 257, 1024, 1025, 65_536, 4_194_304)
            ]
        },
        "seals": {"public_key": SEAL_KEY.public.key.hex(), "vectors": _seals()},
        "greetings": _greetings(),
        "parcels": _parcels(),
    }


def drafts() -> Mapping[str, EntryDraft]:
    """One entry of each kind, and the edges between them."""
    open_digest = entry_digest(_make("open unary", EntryDraft(OPEN, CALL_ID, 0, REQUEST)).entry)
    one = NO_MESSAGES.add(fixed_bytes("message", 32))

    def draft(kind: Kind, index: int, payload: bytes | None = None, **more: Any) -> EntryDraft:
        return EntryDraft(kind, CALL_ID, index, payload, **more)

    agreements = Open(SUPER_APP, ServiceId(TOURISM, "simpul.v1.Agreements"), "Offer", unary=True)
    return {
        "open unary": draft(OPEN, 0, REQUEST, private=make_private(ASKED)),
        "open stream": draft(replace(OPEN, method="Import", deadline_left_ms=None, unary=False), 0),
        "open of a gather": draft(replace(OPEN, gather_id=fixed_bytes("gather", 16)), 0, b""),
        "open on behalf of a member": draft(replace(OPEN, on_behalf_of=OTHER_REGENCY), 0, b""),
        "open without an agreement": draft(agreements, 0, b"\x00" * 256),
        "head": draft(Head(), 0, private=make_private(Private(metadata=(("a", b"b"),)))),
        "message": draft(Message(), 1, REQUEST * 40),
        "message compressed": draft(Message(), 1, b"\x1f\x8b", compressed=True),
        "half-close": draft(HalfClose(one), 2),
        "close": draft(
            Close(0, open_digest, one, one), 0, b"answer", private=make_private(ANSWERED)
        ),
        "close with an error": draft(Close(5, open_digest, one), 0),
        "cancel": draft(Cancel(CancelReason.DEADLINE, one), 2),
        "refuse": draft(Refuse("ACCESS_NO_AGREEMENT", 7, open_digest), 0, private=b""),
    }


def _make(name: str, draft: EntryDraft) -> SealedEntry:
    return make_entry(draft, fixed_bytes(f"salts {name}", 48))


def _entry(name: str, draft: EntryDraft) -> dict[str, Any]:
    sealed = _make(name, draft)
    return {
        "name": name,
        "salts": fixed_bytes(f"salts {name}", 48).hex(),
        "payload": _hex(draft.payload),
        "private_block": _hex(draft.private),
        "says": _says(parse_entry(sealed.entry)),
        "entry": sealed.entry.hex(),
        "digest": entry_digest(sealed.entry).hex(),
    }


def _says(entry: ParsedEntry) -> dict[str, Any]:
    kind = entry.kind
    said: dict[str, Any] = {
        "kind": kind.kind.value,
        "call_id": entry.call_id.hex(),
        "index": entry.index,
        "compressed": entry.compressed,
    }
    if isinstance(kind, Open):
        said |= {
            "consumer": str(kind.consumer),
            "provider": str(kind.service.subsystem),
            "service": kind.service.service,
            "method": kind.method,
            "agreement": _hex(kind.agreement),
            "purpose": kind.purpose,
            "deadline_left_ms": kind.deadline_left_ms,
            "gather_id": _hex(kind.gather_id),
            "unary": kind.unary,
            "on_behalf_of": None if kind.on_behalf_of is None else str(kind.on_behalf_of),
        }
    elif isinstance(kind, Close | Refuse):
        said |= {"status": kind.status, "open_digest": kind.open_digest.hex()}
    return said


def _commitment(name: str, draft: EntryDraft) -> dict[str, Any]:
    sealed = _make(name, draft)
    entry = parse_entry(sealed.entry)
    return {
        "name": name,
        "payload": None
        if entry.payload is None
        else {
            "salt": sealed.payload_salt.hex(),
            "bytes": _hex(sealed.payload),
            "hash": entry.payload.hash.hex(),
            "rounded_bytes": entry.payload.rounded_bytes,
        },
        "private_block": None
        if entry.private is None
        else {
            "salt": sealed.private_salt.hex(),
            "bytes": _hex(sealed.private),
            "hash": entry.private.hash.hex(),
            "rounded_bytes": entry.private.rounded_bytes,
        },
    }


def _private(kind: str, content: Private) -> dict[str, Any]:
    return {
        "kind": EntryKind(kind).value,
        "metadata": [[name, value.hex()] for name, value in content.metadata],
        "trailers": [[name, value.hex()] for name, value in content.trailers],
        "status_message": content.status_message,
        "user": content.user,
        "issue": content.issue,
        "subject": content.subject,
        "bytes": make_private(content).hex(),
    }


def _tallies() -> list[dict[str, Any]]:
    tally, found = NO_MESSAGES, []
    for number in range(4):
        found.append({"count": tally.count, "digest": tally.digest.hex()})
        tally = tally.add(fixed_bytes(f"commitment {number}", 32))
        found[-1]["next_commitment"] = fixed_bytes(f"commitment {number}", 32).hex()
    return found


def _seals() -> list[dict[str, Any]]:
    found = []
    for size in (1, 2, 3, 5, 8):
        hashes = [fixed_bytes(f"header {number}", 32) for number in range(size)]
        for index, data in enumerate(make_seals(SEAL_KEY, hashes)):
            seal = parse_seal(data)
            found.append(
                {
                    "batch_size": size,
                    "index": index,
                    "header_hash": hashes[index].hex(),
                    "path": [item.hex() for item in seal.path],
                    "signature": seal.signature.hex(),
                    "seal": data.hex(),
                }
            )
    return found


def greetings() -> tuple[exchange_pb2.SignedGreeting, exchange_pb2.SignedGreeting]:
    """The dialler's, the ministry's node; and the acceptor's, the regency's."""
    dialled = GreetingFields(
        FEDERATION,
        MINISTRY_NODE,
        REGENCY_NODE,
        fixed_bytes("nonce dialler", 32),
        None,
        12,
        fixed_bytes("directory", 32),
        1000,
        NOW_MS,
        unsettled=(Unsettled(fixed_bytes("cut link", 32), 3, Received(1, fixed_bytes("h", 32))),),
        features=("chunks",),
    )
    dialler = make_greeting(dialled, key("node ministry"))
    acceptor = make_greeting(
        replace(
            dialled,
            node=REGENCY_NODE,
            peer=MINISTRY_NODE,
            nonce=fixed_bytes("nonce acceptor", 32),
            in_reply_to=greeting_hash(dialler.greeting),
            unsettled=(),
            worker=1,
            workers=2,
        ),
        key("node regency"),
    )
    return dialler, acceptor


def _greetings() -> dict[str, Any]:
    dialler, acceptor = greetings()
    link = link_id(dialler.greeting, acceptor.greeting)
    return {
        "now_ms": NOW_MS,
        "dialler": _greeting(dialler, "ministry"),
        "acceptor": _greeting(acceptor, "regency"),
        "in_reply_to": greeting_hash(dialler.greeting).hex(),
        "link_id": link.hex(),
        "call_id": CALL_ID.hex(),
        "child_link_id": child_link_id(link, CALL_ID).hex(),
    }


def _greeting(signed: exchange_pb2.SignedGreeting, who: str) -> dict[str, str]:
    return {
        "node_key": key(f"node {who}").public.key.hex(),
        "greeting": signed.greeting.hex(),
        "signature": signed.signature.hex(),
    }


def _parcels() -> dict[str, Any]:
    """Two parcels of the ministry on the greeted link: three entries, then a receipt."""
    link = bytes.fromhex(_greetings()["link_id"])
    names = ("open unary", "open stream", "open without an agreement")
    entries = [
        _make(name, replace(drafts()[name], call_id=CALL_ID[:-1] + bytes([number])))
        for number, name in enumerate(names)
    ]
    first = _fields(link, 0, link, entries)
    hashed = header_hash(make_header(first))
    received = Received(0, fixed_bytes("the regency's first header", 32))
    second = replace(_fields(link, 1, hashed, []), received=received, drain=0)
    return {
        "public_key": SEAL_KEY.public.key.hex(),
        "vectors": [_parcel(first, entries), _parcel(second, [])],
    }


def _fields(link: bytes, number: int, previous: bytes, entries: list[SealedEntry]) -> HeaderFields:
    return HeaderFields(
        FEDERATION,
        MINISTRY,
        SEAL_KEY.public.key_id,
        REGENCY_NODE,
        link,
        number,
        previous,
        None,
        1000,
        NOW_MS + number,
        fixed_bytes("directory", 32),
        len(entries),
        entries_root(entries),
    )


def _parcel(fields: HeaderFields, entries: list[SealedEntry]) -> dict[str, Any]:
    header = make_header(fields)
    [seal] = make_seals(SEAL_KEY, [header_hash(header)])
    return {
        "number": fields.number,
        "previous": fields.previous.hex(),
        "entries": [sealed.entry.hex() for sealed in entries],
        "entries_root": fields.entries_root.hex(),
        "paths": [
            [item.hex() for item in entry_path(entries, index)] for index in range(len(entries))
        ],
        "header": header.hex(),
        "header_hash": header_hash(header).hex(),
        "seal": seal.hex(),
        "parcel": to_wire(header, seal, entries).SerializeToString(deterministic=True).hex(),
    }


def _hex(data: bytes | None) -> str | None:
    return None if data is None else data.hex()


if __name__ == "__main__":
    sys.exit(main(documents(), sys.argv[1:]))
