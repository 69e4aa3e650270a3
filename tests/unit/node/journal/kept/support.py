"""Journals that keep contents, for the tests of this folder."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from node.journal.kept.keys import KeptKeys, Keys
from node.journal.model import LatePayload, ParcelRecord
from node.journal.place import Place, PostgresPlace
from node.journal.postgres_store import PostgresJournalStore
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append, JournalStore
from security.commitment import Tally
from security.entry import EntryDraft, SealedEntry, make_entry
from security.errors import SimpulError
from security.identifiers import ServiceId, SubsystemId
from security.kinds import Close, Open
from security.persons import Persons
from security.private import Metadata, Private, make_private
from security.secret_key import SecretKey
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    NOW_MS,
    PROVIDER,
    SERVICE,
    Link,
    call_id,
    salts,
)

LEASE_MS = 10_000
NIK = "3171234567890123"


def secret(name: str) -> SecretKey:
    return SecretKey(sha256(name.encode()).digest())


KEYS = KeptKeys((secret("wrap"),), (secret("index"),))


def constant(keys: KeptKeys) -> Keys:
    return lambda: keys


KEPT = constant(KEYS)
CITIZEN = Persons(subject=NIK)


def open_store(place: Place, keys: Keys | None = KEPT) -> JournalStore:
    if isinstance(place, PostgresPlace):
        return PostgresJournalStore.open(place, keys=keys)
    return SqliteJournalStore.open(place, keys)


def keep(
    place: Place,
    *appends: Sequence[ParcelRecord],
    late: Sequence[LatePayload] = (),
    keys: Keys | None = KEPT,
    slot: int = 0,
) -> dict[int, SimpulError]:
    """Appends each list of records, one group in all; returns what was refused."""
    store = open_store(place, keys)
    try:
        lease, head = store.take(slot, "test", now_ms=NOW_MS, lease_ms=LEASE_MS)
        group = [Append(tuple(records)) for records in appends]
        group += [Append(late=(each,)) for each in late]
        done = store.append(lease, head, group, now_ms=NOW_MS)
        store.release(lease)
        return dict(done.refused)
    finally:
        store.close()


def question(
    number: int,
    payload: bytes | None = b"question",
    metadata: Metadata = (("x-trace", b"7"),),
    persons: Persons = CITIZEN,
) -> SealedEntry:
    """An open with a private block as the exchange makes them."""
    service = ServiceId(SubsystemId.parse(PROVIDER), SERVICE)
    kind = Open(
        SubsystemId.parse(CONSUMER), service, "Get", AGREEMENT, "tourism", 10_000, unary=True
    )
    block = make_private(
        Private(metadata, user=persons.user, issue=persons.issue, subject=persons.subject)
    )
    draft = EntryDraft(kind, call_id(number), 0, payload, private=block)
    return make_entry(draft, salts(("question", number)))


def answer(number: int, payload: bytes = b"answer") -> SealedEntry:
    tally = Tally(1, sha256(b"tally").digest())
    close = Close(0, sha256(b"open").digest(), tally, tally)
    block = make_private(Private(trailers=(("x-took", b"3"),), status_message="fine"))
    draft = EntryDraft(close, call_id(number), 0, payload, private=block)
    return make_entry(draft, salts(("answer", number)))


def kept_call(
    link: Link,
    number: int,
    persons: Persons = CITIZEN,
    metadata: Metadata = (("x-trace", b"7"),),
) -> list[ParcelRecord]:
    """A call from here whose contents are kept: two parcels of an entry each."""
    asked = link.sent(question(number, f"question {number}".encode(), metadata, persons))
    told = link.received(answer(number, f"answer {number}".encode()))
    named = ((0, persons),) if persons else ()
    return [replace(asked, kept=(0,), persons=named), replace(told, kept=(0,))]


def without_payload(record: ParcelRecord) -> ParcelRecord:
    """As a record is whose payload is still to come."""
    entries = tuple(replace(entry, payload=None) for entry in record.entries)
    return replace(record, entries=entries)


def late_of(record: ParcelRecord, number: int = 0) -> LatePayload:
    payload = record.entries[number].payload
    assert payload is not None
    return LatePayload(record.link_id, record.end, record.direction, record.number, number, payload)
