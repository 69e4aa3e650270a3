"""Opens what is kept of a call, for the command line and for evidence.

It works while the node writes and when it's stopped, and changes nothing. What it gives has been
checked against the commitments in the entries: bytes that don't match are JOURNAL_CORRUPT, never
shown.

Source: docs/spec, "Journal: payloads".
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, select

from node.journal.blobs import Salts, unpack_entries, unpack_salts
from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import KeptEntry, KeptPart, State
from node.journal.kept.tables import KEPT_KEYS, KEPT_PARTS
from node.journal.place import Place
from node.journal.readonly import JournalReading
from node.journal.tables import CALL_ENTRIES, CALLS, PARCELS, SALTS
from security.commitment import Commitment, check_payload, check_private
from security.entry import ParsedEntry, parse_entry
from security.errors import Code, SimpulError
from security.kept import EntryPlace, Part, open_part

# One call's entries, past which the rest isn't opened; as in node.journal.reader.
MAX_ENTRIES: Final = 100_000

_NOTHING: Final = KeptPart(State.NOT_KEPT)


class KeptReader(JournalReading):
    """Reads contents. A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def __init__(self, place: Place, keys: KeptKeys) -> None:
        super().__init__(place)
        self._keys = keys

    def of_call(self, call_id: bytes) -> list[KeptEntry]:
        """The contents of all entries of the calls of this id, in the order of recording.

        Raises:
            SimpulError: JOURNAL_CORRUPT, where something doesn't open or doesn't match.
        """
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
                .join(CALLS, CALLS.c.id == CALL_ENTRIES.c.call)
                .where(CALLS.c.call_id == call_id)
                .order_by(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
                .limit(MAX_ENTRIES)
            ).all()
            places = [EntryPlace(int(row.slot), int(row.idx), int(row.entry_no)) for row in rows]
            return kept_entries(connection, self._keys, places)


def kept_entries(
    connection: Connection, keys: KeptKeys, places: Iterable[EntryPlace]
) -> list[KeptEntry]:
    """The contents of these entries, in their order, within the caller's snapshot.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where something doesn't open or doesn't match.
    """
    by_parcel: dict[tuple[int, int], list[EntryPlace]] = defaultdict(list)
    for place in places:
        by_parcel[place.slot, place.idx].append(place)
    return [
        entry
        for (slot, idx), wanted in by_parcel.items()
        for entry in _of_parcel(connection, keys, (slot, idx), wanted)
    ]


def _of_parcel(
    connection: Connection, keys: KeptKeys, parcel: tuple[int, int], places: list[EntryPlace]
) -> Iterable[KeptEntry]:
    row = connection.execute(
        select(PARCELS.c.entries, SALTS.c.salts)
        .outerjoin(SALTS, (SALTS.c.slot == PARCELS.c.slot) & (SALTS.c.idx == PARCELS.c.idx))
        .where(PARCELS.c.slot == parcel[0], PARCELS.c.idx == parcel[1])
    ).first()
    if row is None:
        return
    entries = unpack_entries(bytes(row.entries))
    salts = [None] * len(entries) if row.salts is None else unpack_salts(bytes(row.salts))
    wrapped = {
        int(each.entry_no): (bytes(each.secret), bytes(each.wrapped))
        for each in connection.execute(
            select(KEPT_KEYS).where(KEPT_KEYS.c.slot == parcel[0], KEPT_KEYS.c.idx == parcel[1])
        )
    }
    parts: dict[int, dict[Part, bytes]] = defaultdict(dict)
    for each in connection.execute(
        select(KEPT_PARTS).where(KEPT_PARTS.c.slot == parcel[0], KEPT_PARTS.c.idx == parcel[1])
    ):
        parts[int(each.entry_no)][Part(int(each.part))] = bytes(each.data)
    for place in places:
        number = place.entry_no
        parsed = parse_entry(entries[number])
        key: bytes | State = State.NOT_KEPT
        if number in wrapped:
            try:
                key = keys.unwrap(*wrapped[number])
            except SimpulError as error:
                if error.code is not Code.KEY_UNKNOWN:
                    raise
                key = State.KEY_GONE
        elif number in parts:
            key = State.KEY_GONE
        yield _entry(place, parsed, salts[number], key, parts[number])


def _entry(
    place: EntryPlace,
    parsed: ParsedEntry,
    salts: Salts | None,
    key: bytes | State,
    parts: Mapping[Part, bytes],
) -> KeptEntry:
    erased = KeptPart(State.ERASED)
    if salts is None:
        payload = private = erased
    else:
        payload = _part(place, key, parts, (Part.PAYLOAD,), parsed.payload, salts[0])
        private = _part(
            place, key, parts, (Part.PRIVATE, Part.PRIVATE_IN_PART), parsed.private, salts[1]
        )
    return KeptEntry(
        place.slot,
        place.idx,
        place.entry_no,
        None if parsed.payload is None else payload,
        None if parsed.private is None else private,
    )


def _part(
    place: EntryPlace,
    key: bytes | State,
    parts: Mapping[Part, bytes],
    wanted: tuple[Part, ...],
    commitment: Commitment | None,
    salt: bytes,
) -> KeptPart:
    part = next((each for each in wanted if each in parts), None)
    if commitment is None:
        return _NOTHING
    if part is None:
        return KeptPart(State.NOT_KEPT, None, salt)
    if isinstance(key, State):
        return KeptPart(key, None, salt)
    data = open_part(key, place, part, commitment.hash, parts[part])
    if part is Part.PRIVATE_IN_PART:
        return KeptPart(State.KEPT_IN_PART, data, salt)
    check = check_payload if part is Part.PAYLOAD else check_private
    try:
        check(commitment, salt, data)
    except SimpulError as error:
        raise SimpulError(
            Code.JOURNAL_CORRUPT,
            f"what is kept of entry {place.entry_no} of parcel {place.idx}, slot {place.slot}, "
            "isn't what the entry commits to: restore the journal from a backup",
        ) from error
    return KeptPart(State.KEPT, data, salt)
