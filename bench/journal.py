"""The journal's append beside a raw insert of the same rows, and its bytes on the disk.

    python bench/journal.py [--calls 20000] [--entries 64] [--group 16] [--dir DIR] [--out FILE]

Both write to the same disk with full sync, in groups of the same size. The raw insert has no tree,
no index and no checks, and its rows are made beforehand. It's measured twice: with a statement for
each row, as one would write it, and with one for many rows, as the journal does. Prints JSON. Look
at the ratios: the rates are the disk's.
"""

import argparse
import json
import os
import resource
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]

from node.journal.model import Direction, LinkEnd, ParcelRecord  # noqa: E402
from node.journal.sqlite_store import SqliteJournalStore  # noqa: E402
from node.journal.statements import BULK_ROWS  # noqa: E402
from node.journal.store import Append  # noqa: E402
from node.journal.verify import verify  # noqa: E402
from runtime.clock import now_ms  # noqa: E402
from security.commitment import Tally  # noqa: E402
from security.entry import EntryDraft, SealedEntry, make_entry  # noqa: E402
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId  # noqa: E402
from security.kinds import Close, Kind, Open  # noqa: E402
from security.parcel import (  # noqa: E402
    HeaderFields,
    Received,
    entries_root,
    header_hash,
    make_header,
)
from simpul.v1 import parcel_pb2  # noqa: E402

CONSUMERS = 5
# Paths in a seal: a signature over 16 parcels.
PATH_HASHES = 4
SLOT, LEASE_MS = 0, 60_000
TURNS = 5


def call_id() -> bytes:
    """A UUIDv7 of now."""
    raw = bytearray(now_ms().to_bytes(6, "big") + secrets.token_bytes(10))
    raw[6], raw[8] = 0x70 | (raw[6] & 0x0F), 0x80 | (raw[8] & 0x3F)
    return bytes(raw)


def entry(kind: Kind, call: bytes) -> SealedEntry:
    """An entry with a payload and a private block."""
    return make_entry(
        EntryDraft(kind, call, 0, b"payload", private=b"private"), secrets.token_bytes(48)
    )


class Links:
    """Two directions of one link: questions sent, answers received."""

    def __init__(self) -> None:
        self.link_id = secrets.token_bytes(32)
        self.number = 0
        self.previous = {Direction.SENT: self.link_id, Direction.RECEIVED: self.link_id}

    def records(self, calls: int) -> tuple[ParcelRecord, ParcelRecord]:
        """A parcel of questions and one of their answers."""
        ids = [call_id() for _ in range(calls)]
        tally = Tally(1, secrets.token_bytes(32))
        service = ServiceId(SubsystemId.parse("ID/DAERAH/53.15/pariwisata"), "wisata.v1.Wisata")
        opens = tuple(
            entry(
                Open(
                    SubsystemId.parse(f"ID/KEMENTERIAN/KOMDIGI/superapp-{number % CONSUMERS}"),
                    service,
                    "Get",
                    bytes(32),
                    "tourism",
                    10_000,
                    unary=True,
                ),
                call,
            )
            for number, call in enumerate(ids)
        )
        closes = tuple(entry(Close(0, secrets.token_bytes(32), tally, tally), call) for call in ids)
        asked = self._record(Direction.SENT, "ID/KEMENTERIAN/KOMDIGI", opens)
        answered = self._record(Direction.RECEIVED, "ID/DAERAH/53.15", closes)
        self.number += 1
        return asked, answered

    def _record(
        self, direction: Direction, member: str, entries: tuple[SealedEntry, ...]
    ) -> ParcelRecord:
        at_ms = now_ms()
        node = "ID/~labuan-bajo-1" if direction is Direction.SENT else "ID/~jakarta-1"
        header = make_header(
            HeaderFields(
                "ID",
                MemberId.parse(member),
                bytes(32),
                NodeId.parse(node),
                self.link_id,
                self.number,
                self.previous[direction],
                Received(self.number, secrets.token_bytes(32)),
                100_000,
                at_ms,
                bytes(32),
                len(entries),
                entries_root(entries),
            )
        )
        hashed = header_hash(header)
        self.previous[direction] = hashed
        seal = parcel_pb2.Seal(
            signature=secrets.token_bytes(64),
            batch_size=1 << PATH_HASHES,
            index=3,
            path=[secrets.token_bytes(32) for _ in range(PATH_HASHES)],
        )
        return ParcelRecord(
            direction,
            "ID/~labuan-bajo-1",
            member,
            self.link_id,
            LinkEnd.DIALLER,
            self.number,
            at_ms,
            header,
            seal.SerializeToString(),
            hashed,
            entries,
        )


def groups(records: Sequence[ParcelRecord], size: int) -> Iterator[Sequence[ParcelRecord]]:
    """The records in groups, as transactions take them."""
    for at in range(0, len(records), size):
        yield records[at : at + size]


def append_all(path: Path, records: Sequence[ParcelRecord], size: int) -> float:
    """Appends through the store; returns seconds."""
    store = SqliteJournalStore.open(path)
    lease, head = store.take(SLOT, "bench", now_ms=now_ms(), lease_ms=LEASE_MS)
    begin = time.perf_counter()
    for group in groups(records, size):
        appends = [Append((record,)) for record in group]
        head = store.append(lease, head, appends, now_ms=now_ms()).head
        store.tidy()
    took = time.perf_counter() - begin
    store.release(lease)
    store.close()
    return took


TABLES = ("parcels", "salts", "calls", "call_entries")


def read_rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """The rows that the journal wrote."""
    connection = sqlite3.connect(path)
    rows = {
        table: connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608
        for table in TABLES
    }
    connection.close()
    return rows


def insert_raw(
    path: Path, rows: dict[str, list[tuple[object, ...]]], count: int, *, at_once: bool = False
) -> float:
    """Inserts the same rows in as many transactions; returns seconds.

    `at_once`: many rows with one statement.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    inserts = {}
    for table, found in rows.items():
        columns = ", ".join(f"c{number}" for number in range(len(found[0])))
        connection.execute(f"CREATE TABLE {table} ({columns})")
        marks = ", ".join("?" * len(found[0]))
        inserts[table] = f"INSERT INTO {table} VALUES ({marks})"  # noqa: S608
    begin = time.perf_counter()
    for number in range(count):
        connection.execute("BEGIN IMMEDIATE")
        for table, found in rows.items():
            low, high = len(found) * number // count, len(found) * (number + 1) // count
            if not at_once:
                connection.executemany(inserts[table], found[low:high])
                continue
            while low < high:
                part = found[low : min(low + BULK_ROWS[0], high)]
                more = ", (" + ", ".join("?" * len(part[0])) + ")"
                connection.execute(
                    inserts[table] + more * (len(part) - 1), list(chain.from_iterable(part))
                )
                low += len(part)
        connection.execute("COMMIT")
    took = time.perf_counter() - begin
    connection.close()
    return took


def table_bytes(path: Path) -> dict[str, int]:
    """Bytes of each table and index, where SQLite can tell."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name").fetchall()
    except sqlite3.OperationalError:
        rows = []
    finally:
        connection.close()
    return dict(rows)


def measure(calls: int, entries: int, group: int, folder: Path) -> dict[str, object]:
    """One size of parcels and groups."""
    links = Links()
    records = [record for _ in range(calls // entries) for record in links.records(entries)]
    calls = len(records) // 2 * entries
    path, raw = folder / "journal.db", folder / "raw.db"
    append_s = append_all(path, records, group)
    rows = read_rows(path)
    commits = -(-len(records) // group)
    raw_s = insert_raw(raw, rows, commits)
    bulk_s = insert_raw(folder / "bulk.db", rows, commits, at_once=True)
    # The better of several runs each, in turns: what disturbs the machine disturbs both.
    for turn in range(1, TURNS):
        append_s = min(append_s, append_all(folder / f"journal-{turn}.db", records, group))
        raw_s = min(raw_s, insert_raw(folder / f"raw-{turn}.db", rows, commits))
        bulk_s = min(bulk_s, insert_raw(folder / f"bulk-{turn}.db", rows, commits, at_once=True))
    begin = time.perf_counter()
    report = verify(path)
    verify_s = time.perf_counter() - begin
    assert report.ok, report.problems[:3]
    size = path.stat().st_size
    return {
        "calls": calls,
        "entries_per_parcel": entries,
        "parcels_per_group": group,
        "append_calls_per_s": round(calls / append_s),
        "raw_calls_per_s": round(calls / raw_s),
        "append_to_raw": round(raw_s / append_s, 2),
        "append_to_raw_at_once": round(bulk_s / append_s, 2),
        "bytes_per_call": round(size / calls),
        "bytes_per_parcel": round(size / len(records)),
        "verify_parcels_per_s": round(len(records) / verify_s),
        "bytes_per_call_by_table": {
            name: round(value / calls, 1) for name, value in table_bytes(path).items()
        },
    }


def keep(file: Path, name: str, found: object) -> None:
    """Puts one bench's results into a file that holds those of several."""
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | {name: found}, indent=1) + "\n")


def main() -> None:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--entries", type=int, nargs="+", default=[1, 16, 128])
    parser.add_argument("--group", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--out", type=Path, default=None, help="a file of results to write to")
    options = parser.parse_args()
    found = []
    for entries in options.entries:
        for group in options.group:
            # Small groups are slow: fewer calls say as much.
            calls = min(options.calls, entries * group * 500)
            with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                found.append(measure(calls, entries, group, Path(folder)))
                print(json.dumps(found[-1]), flush=True)
    if options.out is not None:
        keep(options.out, "append", found)
    print(json.dumps({"max_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
    os.sync()


if __name__ == "__main__":
    main()
