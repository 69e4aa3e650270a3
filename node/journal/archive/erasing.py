"""Erases a call whose parcels were dropped: what is left of its content, by the archives' word.

The journal's index no longer knows the call, so `node.journal.kept` can't find it. Archives hold
its entries and where in the log they are, and the journal still holds their salts: those go.
Nothing in an archive is changed, because nothing in it could be.

It's recorded and told as any erasure is.

Source: docs/spec, "Journal: erasure"; "Archives: what stays in the journal".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, delete, event, select, update
from sqlalchemy.exc import DBAPIError

from node.journal.archive.places import ArchivePlace
from node.journal.archive.reader import FoundCall, candidates, detail_of, find_in_place
from node.journal.archive.store import ArchiveStore
from node.journal.blobs import erase_salts
from node.journal.kept.model import Erased, ErasureOrder, Settled
from node.journal.kept.recording import record_erasure, record_telling
from node.journal.kept.store import KeptStore
from node.journal.kept.tables import ERASURES, KEPT_KEYS, KEPT_PARTS, NOTICES
from node.journal.model import CallRow, Role
from node.journal.place import Place, PostgresPlace
from node.journal.tables import SALTS
from node.journal.writable import open_to_write
from security.errors import Code, SimpulError

# Opens the place where an archive was put, by what the journal remembers of it.
OpenPlace = Callable[[str], ArchivePlace]

_CONTENT: Final = (KEPT_KEYS, KEPT_PARTS)


def find_archived(
    place: Place, open_place: OpenPlace, call_id: bytes, *, only_dropped: bool = False
) -> list[FoundCall]:
    """Returns what the archives of the journal at `place` hold of a call; nothing where none does.

    `only_dropped`: no archive is read whose parcels are all in the journal still.

    Raises:
        SimpulError: ARCHIVE_FAILED, ARCHIVE_INVALID, NOT_FOUND: an archive can't be read.
    """
    store = ArchiveStore.open(place)
    try:
        dropped = {item.slot: item.dropped for item in store.slots()}
        wanted = [
            item
            for item in candidates(store.archived(), call_id)
            if not only_dropped or item.first < dropped[item.slot]
        ]
    finally:
        store.close()
    found: list[FoundCall] = []
    for where, items in groupby(wanted, key=lambda item: item.place):
        found += find_in_place(open_place(where), items, call_id)
    return found


def find_dropped(place: Place, open_place: OpenPlace, call_id: bytes) -> CallRow | None:
    """Returns a call whose parcels were dropped, where something of it may still be kept here.

    Contents go with the parcels; salts may stay. Where none of the time of the call are left, there
    is nothing to erase, and no archive is read.

    Raises:
        SimpulError: as `find_archived`.
    """
    store = ArchiveStore.open(place)
    try:
        dropped = {item.slot: item.dropped for item in store.slots()}
        wanted = candidates(store.archived(), call_id)
        with store.journal.snapshot() as connection:
            is_salted = any(
                connection.execute(
                    select(SALTS.c.idx)
                    .where(
                        SALTS.c.slot == item.slot,
                        SALTS.c.idx >= item.first,
                        SALTS.c.idx < min(item.end, dropped[item.slot]),
                    )
                    .limit(1)
                ).first()
                for item in wanted
            )
    finally:
        store.close()
    found = find_archived(place, open_place, call_id, only_dropped=True) if is_salted else []
    return detail_of(found, call_id).call if len(found) > 0 else None


def erase_everywhere(
    kept: KeptStore, place: Place, open_place: OpenPlace, order: ErasureOrder, *, now_ms: int
) -> Erased:
    """Erases a call whose parcels are in the journal, were dropped, or were dropped in part.

    What the index knows of it goes first. Where an archive can't be read after that, the error says
    so, and the same order again does the rest.

    Raises:
        SimpulError: NOT_FOUND, where neither the journal nor an archive has it; CONFLICT, while it
            is under way; those of `find_archived` and of the journal.
    """
    done: Erased | None = None
    try:
        done = kept.erase(order, now_ms=now_ms)
    except SimpulError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        found = find_archived(place, open_place, order.call_id, only_dropped=True)
        if len(found) == 0:
            raise
    else:
        found = find_archived(place, open_place, order.call_id, only_dropped=True)
    if len(found) == 0 and done is not None:
        return done
    rest = erase_archived(place, found, order, now_ms=now_ms)
    return rest if done is None else replace(done, entries=done.entries + rest.entries)


def erase_archived(
    place: Place, found: Sequence[FoundCall], order: ErasureOrder, *, now_ms: int
) -> Erased:
    """Erases what the journal at `place` still holds of a call that archives were found to hold.

    Erasing it again does no harm and records nothing.

    Raises:
        SimpulError: NOT_FOUND, where the archives don't hold the call's open; those of the journal.
    """
    engine, told = open_to_write(place)
    if not isinstance(place, PostgresPlace):
        # What is overwritten or deleted is gone from the file.
        event.listen(engine, "connect", lambda driver, _: driver.execute("PRAGMA secure_delete=ON"))
    try:
        with engine.begin() as connection:
            entries = sum(_destroy(connection, item) for item in found)
            connection.execute(
                update(NOTICES)
                .where(NOTICES.c.call_id == order.call_id, NOTICES.c.settled_at_ms.is_(None))
                .values(settled_at_ms=now_ms, settled=str(Settled.ERASED))
            )
            before = connection.execute(
                select(ERASURES.c.at_ms).where(ERASURES.c.call_id == order.call_id)
            ).scalar()
            if before is not None:
                return Erased(order.call_id, entries, int(before), again=True, tells=())
            # What raises here undoes what was destroyed: nothing is erased without a record.
            call = detail_of(found, order.call_id).call
            tells = _record(connection, order, call, entries, now_ms)
            return Erased(order.call_id, entries, now_ms, again=False, tells=tells)
    except DBAPIError as error:
        raise told(error.orig) from error
    finally:
        engine.dispose()


def _destroy(connection: Connection, found: FoundCall) -> int:
    """Destroys what lies beside these entries; returns how many there are."""
    for item in found.parcels:
        here = (SALTS.c.slot == item.slot, SALTS.c.idx == item.idx)
        salts = connection.execute(select(SALTS.c.salts).where(*here).with_for_update()).scalar()
        if salts is not None:
            left = erase_salts(bytes(salts), item.entry_numbers)
            connection.execute(update(SALTS).where(*here).values(salts=left))
        for table in _CONTENT:
            connection.execute(
                delete(table).where(
                    table.c.slot == item.slot,
                    table.c.idx == item.idx,
                    table.c.entry_no.in_(item.entry_numbers),
                )
            )
    return sum(len(item.entry_numbers) for item in found.parcels)


def _record(
    connection: Connection, order: ErasureOrder, call: CallRow, entries: int, now_ms: int
) -> tuple[str, ...]:
    """Records it, and that the other side is to be told."""
    erasure = record_erasure(connection, order, entries, now_ms)
    if call.peer is None:
        return ()
    parties = (call.consumer, call.provider)
    sender, receiver = parties if call.role is Role.CONSUMER else reversed(parties)
    record_telling(connection, erasure, call.peer, sender, receiver, now_ms)
    return (call.peer,)
