"""Removes directory versions that no parcel names: those under which this node was idle.

What the journal names is gathered once and remembered in `directory/archive/named.json`, with how
far each slot was read, so that a run reads only what is new. Whatever was named once stays, also
where the journal's own records went to an archive meanwhile: their evidence needs it.

Versions that were in force within the directory's life stay, too: a peer that lives on its copy may
still name one.

It runs beside the node's work, in a thread.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import select

from node.directory.archive import DirectoryArchive
from node.directory.replica import Replica
from node.home import NodeHome
from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.tables import PARCELS, SLOTS
from runtime.files import write_durably
from security.errors import SimpulError
from security.parcel import parse_header

Clock = Callable[[], int]

STATE: Final = "named.json"
TIDY_EVERY_S: Final = 6 * 3600.0
# Parcels read in one short transaction.
PAGE: Final = 500


_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Named:
    """The hashes that parcels name, and up to which index each slot was read."""

    hashes: frozenset[bytes]
    read: dict[int, int]


async def keep_tidy(replica: Replica, home: NodeHome, place: Place, now_ms: Clock) -> None:
    """Tidy up now and then, until cancelled. A failure is tried again."""
    while True:
        await asyncio.sleep(TIDY_EVERY_S)
        try:
            gone = await asyncio.to_thread(tidy, replica, home.directory, place, now_ms())
            _log.info("directory archive tidied", removed=gone)
        except SimpulError as error:
            _log.error("directory archive not tidied", code=error.code, why=error.message)
        except Exception:  # noqa: BLE001 - logged; a full disk must not stop the node
            _log.exception("directory archive not tidied")


def tidy(replica: Replica, directory: Path, place: Place, now_ms: int) -> int:
    """Remove what nothing names; how many versions went.

    Args:
        replica: The node's copy, whose archive it is.
        directory: Its folder.
        place: The journal.
        now_ms: The time.

    Raises:
        SimpulError: as the journal's readers and the archive do. Nothing was removed then.
        OSError: the disk is full or failing.
    """
    view = replica.view
    if view is None:
        return 0
    state = DirectoryArchive(directory).path / STATE
    named = gather(place, _load(state))
    _save(state, named)
    return replica.prune_archive(named.hashes, now_ms - view.policy.dead_after_ms)


def gather(place: Place, known: Named) -> Named:
    """Read what was appended since, and add the hashes that it names."""
    hashes, read = set(known.hashes), dict(known.read)
    journal = ReadOnly(place)
    try:
        with journal.snapshot() as connection:
            sizes = {
                int(row.number): int(row.size) for row in connection.execute(select(SLOTS)).all()
            }
        for slot, size in sizes.items():
            for start in range(read.get(slot, 0), size, PAGE):
                query = select(PARCELS.c.header).where(
                    PARCELS.c.slot == slot, PARCELS.c.idx >= start, PARCELS.c.idx < start + PAGE
                )
                with journal.snapshot() as connection:
                    found = connection.execute(query).scalars().all()
                hashes |= {parse_header(bytes(data)).directory_hash for data in found}
            read[slot] = size
    finally:
        journal.close()
    return Named(frozenset(hashes), read)


def _load(state: Path) -> Named:
    try:
        tree = json.loads(state.read_bytes())
        return Named(
            frozenset(map(bytes.fromhex, tree["hashes"])),
            {int(slot): int(size) for slot, size in tree["read"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Gone or damaged: everything is read anew.
        return Named(frozenset(), {})


def _save(state: Path, named: Named) -> None:
    tree = {
        "hashes": sorted(item.hex() for item in named.hashes),
        "read": {str(slot): size for slot, size in named.read.items()},
    }
    write_durably(state, json.dumps(tree).encode())
