"""Writes what a transaction is to keep: payloads, private blocks, and the persons of opens.

It runs in the writer's thread, within the transaction that writes the parcels, because what is
bound to a ciphertext is the place that the entry gets there; and because a key that was replaced
must not be used by a transaction that begins afterwards (`store` rewraps behind the lock).

Nothing to keep costs nothing: `is_needed` looks at two empty tuples.

Source: docs/spec, "Journal: payloads" and "Journal: persons".
"""

import os
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, Dialect, func, select

from node.journal.blobs import unpack_entries, unpack_salts
from node.journal.kept.keys import KeptKeys, Keys
from node.journal.kept.tables import KEPT_KEYS, KEPT_PARTS, PERSONS
from node.journal.model import LatePayload, ParcelRecord
from node.journal.statements import BulkInsert, Row
from node.journal.tables import DIRECTIONS, ENDS, LINKS, PARCELS, SALTS
from security.entry import ParsedEntry, SealedEntry, parse_entry
from security.errors import Code, SimpulError
from security.kept import EntryPlace, Part, seal_part, without_credentials, wrap_key
from security.limits import Limits
from security.persons import Persons, person_tag
from security.private import make_private, parse_private
from security.secret_key import SECRET_BYTES

# Held shared by who writes keys, and alone by who replaces the wrapping key; any number of ours.
KEPT_LOCK: Final = 0x51_4D_50_4B
# What came over a link was held to that link's limits; here the largest there are.
_LIMITS: Final = Limits()


def is_needed(record: ParcelRecord) -> bool:
    """Whether anything of a parcel is to be kept, or found by a person."""
    return len(record.kept) > 0 or len(record.persons) > 0


class KeptRows:
    """What is made once: the statements, and where the keys come from."""

    def __init__(self, dialect: Dialect, keys: Keys | None) -> None:
        self._locks = dialect.name == "postgresql"
        self._keys = keys
        self._insert_keys = BulkInsert(KEPT_KEYS, dialect)
        self._insert_parts = BulkInsert(KEPT_PARTS, dialect)
        self._insert_persons = BulkInsert(PERSONS, dialect)

    def check(self, records: Sequence[ParcelRecord], late: Sequence[LatePayload]) -> None:
        """Passes where there is nothing to keep, or there are keys for it.

        Raises:
            SimpulError: KEY_UNKNOWN, where the keys are gone; INTERNAL, where a caller of ours
                opened the journal without any.
        """
        if len(late) == 0 and not any(map(is_needed, records)):
            return
        if self._keys is None:
            raise SimpulError(
                Code.INTERNAL, "the journal was opened without keys to keep content by; report this"
            )
        keys = self._keys()
        _ = keys.newest, keys.newest_index

    def begin(self, connection: Connection) -> "KeptGroup":
        """For one transaction that keeps something."""
        if self._keys is None:
            raise SimpulError(Code.INTERNAL, "no keys to keep content by; report this")
        if self._locks:
            connection.execute(select(func.pg_advisory_xact_lock_shared(KEPT_LOCK)))
        return KeptGroup(connection, self._keys())

    def write(self, connection: Connection, group: "KeptGroup") -> None:
        """Writes what was gathered."""
        self._insert_keys.run(connection, group.keys)
        self._insert_parts.run(connection, group.parts)
        self._insert_persons.run(connection, group.persons)


class KeptGroup:
    """What one transaction keeps."""

    def __init__(self, connection: Connection, keys: KeptKeys) -> None:
        self._connection = connection
        self._secrets = keys
        self.keys: list[Row] = []
        self.parts: list[Row] = []
        self.persons: list[Row] = []

    def keep(self, record: ParcelRecord, slot: int, idx: int) -> None:
        """Takes up the entries of a parcel that are to be kept."""
        for number in record.kept:
            sealed = record.entries[number]
            if sealed.payload is None and sealed.private is None:
                continue
            place, record_key = EntryPlace(slot, idx, number), os.urandom(SECRET_BYTES)
            parsed = parse_entry(sealed.entry)
            self._wrap(place, record_key)
            if sealed.payload is not None:
                self._payload(place, record_key, parsed, sealed.payload)
            if sealed.private is not None:
                self._private(place, record_key, parsed, sealed)

    def concern(self, persons: Persons, call: int, opened_at_ms: int) -> None:
        """Takes up whom a call concerns."""
        secret = self._secrets.newest_index
        tags = {person_tag(secret, kind, text) for kind, text in persons.items()}
        self.persons += ((tag, opened_at_ms, call) for tag in tags)

    def keep_late(self, late: LatePayload, slot: int) -> None:
        """Takes up a payload that came in pieces; not one that is there, or was erased meanwhile.

        Raises:
            SimpulError: KEY_UNKNOWN, JOURNAL_CORRUPT.
        """
        found = self._connection.execute(
            select(PARCELS.c.idx, PARCELS.c.entries, SALTS.c.salts)
            .join(LINKS, LINKS.c.id == PARCELS.c.link)
            .join(SALTS, (SALTS.c.slot == PARCELS.c.slot) & (SALTS.c.idx == PARCELS.c.idx))
            .where(
                LINKS.c.link_id == late.link_id,
                LINKS.c.end == ENDS.index(late.end),
                PARCELS.c.direction == DIRECTIONS.index(late.direction),
                PARCELS.c.number == late.number,
                PARCELS.c.slot == slot,
            )
        ).first()
        if found is None or unpack_salts(bytes(found.salts))[late.entry_no] is None:
            return
        place = EntryPlace(slot, int(found.idx), late.entry_no)
        if self._is_there(place):
            return
        parsed = parse_entry(unpack_entries(bytes(found.entries))[late.entry_no])
        record_key = self._known_key(place)
        if record_key is None:
            record_key = os.urandom(SECRET_BYTES)
            self._wrap(place, record_key)
        self._payload(place, record_key, parsed, late.payload)

    def _wrap(self, place: EntryPlace, record_key: bytes) -> None:
        secret = self._secrets.newest
        wrapped = wrap_key(secret, record_key)
        self.keys.append((place.slot, place.idx, place.entry_no, secret.id, wrapped))

    def _payload(
        self, place: EntryPlace, record_key: bytes, parsed: ParsedEntry, payload: bytes
    ) -> None:
        if parsed.payload is None:
            raise SimpulError(Code.INTERNAL, "a payload that its entry doesn't commit to")
        self._add(place, Part.PAYLOAD, record_key, parsed.payload.hash, payload)

    def _private(
        self, place: EntryPlace, record_key: bytes, parsed: ParsedEntry, sealed: SealedEntry
    ) -> None:
        if parsed.private is None or sealed.private is None:
            raise SimpulError(Code.INTERNAL, "a private block that its entry doesn't commit to")
        try:
            content = parse_private(sealed.private, parsed.kind.kind, _LIMITS)
        except SimpulError:
            # Whatever it is, credentials can't be told from the rest; and no link lets it through.
            return
        stored = without_credentials(content, self._secrets.secret_metadata)
        if stored == content:
            part, data = Part.PRIVATE, sealed.private
        else:
            part, data = Part.PRIVATE_IN_PART, make_private(stored)
        self._add(place, part, record_key, parsed.private.hash, data)

    def _add(
        self, place: EntryPlace, part: Part, record_key: bytes, commitment: bytes, data: bytes
    ) -> None:
        ciphertext = seal_part(record_key, place, part, commitment, data)
        self.parts.append((place.slot, place.idx, place.entry_no, int(part), ciphertext))

    def _is_there(self, place: EntryPlace) -> bool:
        query = select(KEPT_PARTS.c.part).where(
            KEPT_PARTS.c.slot == place.slot,
            KEPT_PARTS.c.idx == place.idx,
            KEPT_PARTS.c.entry_no == place.entry_no,
            KEPT_PARTS.c.part == int(Part.PAYLOAD),
        )
        return self._connection.execute(query).first() is not None

    def _known_key(self, place: EntryPlace) -> bytes | None:
        row = self._connection.execute(
            select(KEPT_KEYS.c.secret, KEPT_KEYS.c.wrapped).where(
                KEPT_KEYS.c.slot == place.slot,
                KEPT_KEYS.c.idx == place.idx,
                KEPT_KEYS.c.entry_no == place.entry_no,
            )
        ).first()
        return None if row is None else self._secrets.unwrap(bytes(row.secret), bytes(row.wrapped))
