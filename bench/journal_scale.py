"""A large journal: each look-up by an indexed key, a proof from its tree, what verifying takes.

    python bench/journal_scale.py [--calls 10000000] [--leaves 10000000]
        [--parcels 100000 1000000] [--dir /on/the/disk]

The calls of the first part are written straight into the index's tables, because only looking them
up is measured; their index is what `append` writes. So are the leaves of the second part. The
parcels of the third are real ones, appended through the store with the sync off. Prints JSON.
"""

import argparse
import json
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "protos")]

from bench import journal as bench  # noqa: E402
from node.journal import sqlite_store  # noqa: E402
from node.journal.model import CallFilter, Outcome, ParcelRecord, Role  # noqa: E402
from node.journal.reader import JournalReader  # noqa: E402
from node.journal.sql_checkpoints import SqlCheckpointStore  # noqa: E402
from node.journal.sqlite_store import SqliteJournalStore  # noqa: E402
from node.journal.store import Append  # noqa: E402
from node.journal.verify import verify  # noqa: E402
from security.merkle import Frontier, leaf_hash, verify_inclusion  # noqa: E402
from security.tiles import TILE_WIDTH, completed_nodes, inclusion_path  # noqa: E402

BEGIN_MS = 1_700_000_000_000
# Consumers and providers of a busy node; each pair has terms of its own.
CONSUMERS, PROVIDERS = 20, 50
LINKS = 10_000
# One call in so many is refused.
REFUSED_EACH = 1000
# One call in so many was answered here, for the only peer that ever asks anything.
ANSWERED_EACH = 200_000
LOOKS = 40
PROOFS = 200
BATCH = 100_000
GROUP = 2000
# As much of a parcel as lies between one leaf's hash and the next.
PARCEL_BYTES = 1000


def call_id(number: int) -> bytes:
    """A UUIDv7 that is found again by its number."""
    raw = bytearray((BEGIN_MS + number).to_bytes(6, "big") + (number * 2654435761).to_bytes(10))
    raw[6], raw[8] = 0x70 | (raw[6] & 0x0F), 0x80 | (raw[8] & 0x3F)
    return bytes(raw)


def terms_of(number: int) -> int:
    """The terms of a call; the last ones are those of calls answered here."""
    if number % ANSWERED_EACH == 1:
        return CONSUMERS * PROVIDERS + 1
    return number % (CONSUMERS * PROVIDERS) + 1


def link_of(number: int, calls: int) -> int:
    """The link of a call: with its provider's node, and so many calls long; the last is rare."""
    terms = terms_of(number) - 1
    if terms == CONSUMERS * PROVIDERS:
        return LINKS + 1
    return 1 + number * LINKS // PROVIDERS // calls * PROVIDERS + terms // CONSUMERS


def fill_names(connection: sqlite3.Connection) -> None:
    """Names 1..: consumers, providers, then service, method, agreement, purpose, code, peer."""
    texts = [f"ID/KEMENTERIAN/K{n}/app" for n in range(CONSUMERS)]
    texts += [f"ID/DAERAH/53.{n}/pariwisata" for n in range(PROVIDERS)]
    texts += ["wisata.v1.Wisata", "Get", "ab" * 32, "tourism", "ACCESS_EXPIRED"]
    texts += [f"ID/~peer-{n}" for n in range(PROVIDERS + 1)]
    connection.executemany("INSERT INTO names VALUES (?, ?)", enumerate(texts, 1))
    common = CONSUMERS + PROVIDERS
    connection.executemany(
        "INSERT INTO terms VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (
                1 + at,
                1 + at % CONSUMERS,
                1 + CONSUMERS + at // CONSUMERS % PROVIDERS,
                *range(common + 1, common + 5),
                at // (CONSUMERS * PROVIDERS),
                common + 6 + at // CONSUMERS,
            )
            for at in range(CONSUMERS * PROVIDERS + 1)
        ),
    )
    connection.executemany(
        "INSERT INTO links VALUES (?, ?, 0, ?)",
        ((1 + at, secrets.token_bytes(32), common + 6 + at % PROVIDERS) for at in range(LINKS)),
    )
    connection.execute(
        "INSERT INTO links VALUES (?, ?, 1, ?)",
        (LINKS + 1, secrets.token_bytes(32), common + 6 + PROVIDERS),
    )


def fill_calls(path: Path, calls: int) -> float:
    """Writes the index of so many unary calls; returns seconds."""
    SqliteJournalStore.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):
        connection.execute(f"PRAGMA {pragma}")
    begin = time.perf_counter()
    code = CONSUMERS + PROVIDERS + 5
    connection.execute("BEGIN")
    fill_names(connection)

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(calls):
            # Of another pair each time.
            refused = number % REFUSED_EACH == number // REFUSED_EACH % REFUSED_EACH
            end = (2, 7, code) if refused else (1, 0, 0)
            at_ms = BEGIN_MS + number
            outcome, status, named = end
            yield (
                number + 1, call_id(number), link_of(number, calls),
                int(number % ANSWERED_EACH == 1), outcome,
                terms_of(number), status, named, at_ms, at_ms + 5, None, None, 0,
            )  # fmt: skip

    every = rows()
    for low in range(0, calls, BATCH):
        connection.executemany(
            f"INSERT INTO calls VALUES ({', '.join('?' * 13)})",  # noqa: S608
            islice(every, BATCH),
        )
        connection.executemany(
            "INSERT INTO call_entries VALUES (0, ?, ?, ?, ?, ?, 1)",
            (
                (2 * (number // 16) + answer, number % 16, number + 1, answer, 4 * answer)
                for answer in (0, 1)
                for number in range(low, min(low + BATCH, calls))
            ),
        )
    connection.execute("COMMIT")
    connection.close()
    return time.perf_counter() - begin


def look_ups(path: Path, calls: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a look-up by each key, each time for another value: median and worst."""
    # Each of another consumer, provider and peer.
    somewhere = [number * calls // LOOKS + 7 * number for number in range(LOOKS)]
    keys: dict[str, Callable[[int], CallFilter]] = {
        "call_id": lambda n: CallFilter(call_id=call_id(n)),
        "consumer": lambda n: CallFilter(consumer=f"ID/KEMENTERIAN/K{n % CONSUMERS}/app"),
        "provider": lambda n: CallFilter(provider=f"ID/DAERAH/53.{n % PROVIDERS}/pariwisata"),
        "consumer and provider": lambda n: CallFilter(
            consumer=f"ID/KEMENTERIAN/K{n % CONSUMERS}/app",
            provider=f"ID/DAERAH/53.{n % PROVIDERS}/pariwisata",
            until_ms=BEGIN_MS + n + 1,
        ),
        "method": lambda _: CallFilter(method="Get"),
        "agreement": lambda _: CallFilter(agreement=bytes.fromhex("ab" * 32)),
        "purpose": lambda _: CallFilter(purpose="tourism"),
        "status": lambda n: CallFilter(status=7, until_ms=BEGIN_MS + n + 1),
        "code": lambda n: CallFilter(code="ACCESS_EXPIRED", until_ms=BEGIN_MS + n + 1),
        "time": lambda n: CallFilter(since_ms=BEGIN_MS + n, until_ms=BEGIN_MS + n + 1000),
        "peer": lambda n: CallFilter(peer=f"ID/~peer-{n % PROVIDERS}"),
        "peer that few calls have": lambda _: CallFilter(peer=f"ID/~peer-{PROVIDERS}"),
        "role that few calls have": lambda _: CallFilter(role=Role.PROVIDER),
        "role that nearly all have": lambda _: CallFilter(role=Role.CONSUMER),
        "consumer and status": lambda n: CallFilter(
            consumer=f"ID/KEMENTERIAN/K{n % CONSUMERS}/app", status=7
        ),
        "consumer and a status that no call has": lambda n: CallFilter(
            consumer=f"ID/KEMENTERIAN/K{n % CONSUMERS}/app", status=14
        ),
        "outcome refused": lambda _: CallFilter(outcome=Outcome.REFUSED),
        "outcome open or lost": lambda n: CallFilter(
            outcome=Outcome.OPEN if n % 50_000 else Outcome.LOST
        ),
    }
    found: dict[str, dict[str, float]] = {}
    with JournalReader(path) as reader:
        for name, make in keys.items():
            took = []
            for number in somewhere:
                begin = time.perf_counter()
                reader.list_calls(make(number))
                took.append((time.perf_counter() - begin) * 1000)
                if sum(took) > 20_000:
                    break
            found[name] = {
                "median_ms": round(statistics.median(took), 2),
                "worst_ms": round(max(took), 2),
            }
            print(json.dumps({name: found[name]}), file=sys.stderr, flush=True)
    return found


def fill_tree(path: Path, leaves: int, wide: set[int]) -> bytes:
    """Writes so many leaves and their nodes; returns the root.

    The parcels of the tiles `wide` are as wide as real ones: a proof reads past what stands between
    the hashes.
    """
    SqliteJournalStore.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=OFF", "synchronous=OFF", "cache_size=-500000"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN")
    head = Frontier()
    nodes: list[tuple[object, ...]] = []

    def rows() -> Iterator[tuple[object, ...]]:
        nonlocal head
        full, narrow = secrets.token_bytes(PARCEL_BYTES), b""
        for number in range(leaves):
            leaf = leaf_of(number)
            nodes.extend(
                (0, each.level, each.index, each.hash) for each in completed_nodes(head, leaf)
            )
            head = head.append(leaf)
            header = full if number // TILE_WIDTH in wide else narrow
            yield (0, number, 0, 1, 0, number, 0, 0, leaf, leaf, 0, header, b"", b"", 0)

    connection.executemany(
        f"INSERT INTO parcels VALUES ({', '.join('?' * 15)})",  # noqa: S608
        rows(),
    )
    connection.executemany("INSERT INTO tree_nodes VALUES (?, ?, ?, ?)", nodes)
    connection.execute("COMMIT")
    connection.close()
    return head.root()


def leaf_of(number: int) -> bytes:
    """A leaf's hash."""
    return leaf_hash(number.to_bytes(8))


def proofs(path: Path, leaves: int) -> dict[str, object]:
    """Milliseconds of an inclusion proof, each of another leaf; each is verified."""
    asked = [(number * leaves // PROOFS + 7 * number) % leaves for number in range(PROOFS)]
    begin = time.perf_counter()
    root = fill_tree(path, leaves, {each // TILE_WIDTH for each in (*asked, leaves - 1)})
    fill_s = time.perf_counter() - begin
    took = []
    store = SqlCheckpointStore.read(path)
    for number in asked:
        begin = time.perf_counter()
        with store.tree(0) as tree:
            path_ = inclusion_path(tree, number, leaves)
        took.append((time.perf_counter() - begin) * 1000)
        verify_inclusion(leaf_of(number), number, leaves, path_, root)
    return {
        "leaves": leaves,
        "filled_in_s": round(fill_s),
        "median_ms": round(statistics.median(took), 2),
        "worst_ms": round(max(took), 2),
    }


def write_parcels(path: Path, count: int) -> None:
    """So many real parcels of one entry each, over many links."""
    sqlite_store.PRAGMAS = ("synchronous=OFF", *sqlite_store.PRAGMAS[1:])  # type: ignore[misc]
    store = SqliteJournalStore.open(path)
    lease, head = store.take(0, "bench", now_ms=BEGIN_MS, lease_ms=10**12)

    def records() -> Iterator[ParcelRecord]:
        while True:
            link = bench.Links()
            for _ in range(1000):
                yield from link.records(1)

    every = records()
    for low in range(0, count, GROUP):
        group = [Append((record,)) for record in islice(every, min(GROUP, count - low))]
        head = store.append(lease, head, group, now_ms=BEGIN_MS + low).head
        store.tidy()
    store.release(lease)
    store.close()


def verified(path: Path) -> dict[str, object]:
    """Verifies in a process of its own, whose memory is measured."""
    done = subprocess.run(
        [sys.executable, __file__, "--verify", path], check=True, capture_output=True, text=True
    )
    found: dict[str, object] = json.loads(done.stdout)
    return found


def most_memory_kb() -> int:
    """The most that this program had in memory; `getrusage` tells that of whoever started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(line.split()[1])


def verify_here(path: Path) -> dict[str, object]:
    """Verifies in this process, and tells what it took."""
    before = most_memory_kb()
    begin = time.perf_counter()
    report = verify(path)
    took = time.perf_counter() - begin
    assert report.ok, report.problems[:3]
    return {
        "parcels": report.parcels,
        "seconds": round(took, 1),
        "parcels_per_s": round(report.parcels / took),
        "rss_mb_before": round(before / 1024, 1),
        "rss_mb_most": round(most_memory_kb() / 1024, 1),
    }


def main() -> None:
    """Runs what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000_000)
    parser.add_argument("--leaves", type=int, default=10_000_000)
    parser.add_argument("--parcels", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--dir", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--out", type=Path, default=None, help="a file of results to write to")
    parser.add_argument("--verify", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.verify is not None:
        print(json.dumps(verify_here(options.verify)))
        return
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        if options.calls > 0:
            path = Path(folder) / "calls.db"
            fill_s = fill_calls(path, options.calls)
            found["look_ups"] = {
                "calls": options.calls,
                "filled_in_s": round(fill_s),
                "index_bytes_per_call": round(path.stat().st_size / options.calls),
                "by_key": look_ups(path, options.calls),
            }
            path.unlink()
        if options.leaves > 0:
            path = Path(folder) / "tree.db"
            found["proofs"] = proofs(path, options.leaves)
            path.unlink()
        results: list[dict[str, object]] = []
        for count in options.parcels:
            path = Path(folder) / f"parcels-{count}.db"
            write_parcels(path, count)
            results.append(verified(path))
            path.unlink()
        if results:
            found["verify"] = results
    print(json.dumps(found, indent=2))
    if options.out is not None:
        for name, value in found.items():
            bench.keep(options.out, name, value)


if __name__ == "__main__":
    main()
