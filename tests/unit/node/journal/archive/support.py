"""Journals that were signed and cosigned, and archives made of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from node.journal.archive.places import ArchivePlace, FolderPlace
from node.journal.archive.run import Run, archive_due
from node.journal.archive.store import Archived, ArchiveStore
from node.journal.checkpoints import KeptCheckpoint
from node.journal.model import ParcelRecord
from node.journal.place import Place
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.store import Append
from security.archive_check import Trust
from security.checkpoint import Checkpoint, sign_checkpoint
from security.cosignature import cosign, witness_key
from security.merkle import Frontier
from tests.conformance import fixed
from tests.unit.node.journal.builder import NOW_MS
from tests.unit.node.journal.support import LEASE_MS, open_place

KEY = fixed.key("a node")
WITNESS = fixed.key("a witness")
DAY_MS = 24 * 3600 * 1000
TRUST = Trust(keys=(KEY.public,), witnesses=(witness_key("w", WITNESS),), quorum=1)


def origin(slot: int = 0) -> str:
    return f"jakarta-1.example/journal/{slot}"


class Written:
    """A journal that is written to, group by group, each at its time, and cosigned behind it."""

    def __init__(self, place: Place, slot: int = 0) -> None:
        self.place = place
        self.slot = slot
        self.head = Frontier()

    def add(
        self, *appends: Sequence[ParcelRecord], at_ms: int = NOW_MS, cosigned: bool = True
    ) -> None:
        store = open_place(self.place)
        try:
            lease, self.head = store.take(self.slot, "test", now_ms=at_ms, lease_ms=LEASE_MS)
            group = [Append(tuple(records)) for records in appends]
            self.head = store.append(lease, self.head, group, now_ms=at_ms).head
            store.release(lease)
        finally:
            store.close()
        self.sign(at_ms, cosigned=cosigned)

    def sign(self, at_ms: int, *, cosigned: bool = True) -> None:
        checkpoint = Checkpoint(origin(self.slot), self.head.size, self.head.root())
        note = sign_checkpoint(checkpoint, KEY).note
        if cosigned:
            note = note.with_signatures([cosign(note.text, "w", WITNESS, at_ms // 1000)])
        SqlCheckpointStore.open(self.place).save(
            KeptCheckpoint(
                self.slot,
                self.head.size,
                note.to_bytes(),
                at_ms,
                at_ms if cosigned else None,
            )
        )


@contextmanager
def run_of(
    place: Place, archives: ArchivePlace | Path, staging: Path, *, max_parcels: int = 65_536
) -> Iterator[Run]:
    to = FolderPlace(archives) if isinstance(archives, Path) else archives
    store = ArchiveStore.open(place)
    try:
        yield Run(store, to, staging, lambda: NOW_MS + 500 * DAY_MS, max_parcels)
    finally:
        store.close()


def archive(
    place: Place, archives: ArchivePlace | Path, staging: Path, *, before_ms: int = NOW_MS + DAY_MS
) -> tuple[Archived, ...]:
    with run_of(place, archives, staging) as run:
        return archive_due(run, before_ms)


def archived(place: Place) -> tuple[Archived, ...]:
    store = ArchiveStore.open(place)
    try:
        return store.archived()
    finally:
        store.close()
