"""What the machine says: processes' time and memory, what it is, how long a commit takes.

Linux only: it reads /proc.
"""

import os
import platform
import sqlite3
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_COMMITS: Final = 200
# About what an entry and its rows add to the log.
_ROW: Final = bytes(1024)


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += tree(int(child))
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """Processor seconds that they have used until now."""
    return sum(_cpu_ticks(pid) for pid in pids) / _TICKS


def _cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def memory_mb(pids: Iterable[int]) -> float:
    """Memory that they take, in MB: what several share is counted once among them (PSS)."""
    return sum(_pss_kib(pid) for pid in pids) * 1024 / 1e6


def _pss_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"process {pid} has no PSS")


def load_average() -> float:
    """Of the last minute: who else was here."""
    return os.getloadavg()[0]


def median_commit_ms(folder: Path) -> float:
    """How long a small commit of SQLite takes on this disk, as the journal commits."""
    file = folder / "commit.db"
    database = sqlite3.connect(file, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("CREATE TABLE record (data BLOB)")
        took_ms = []
        for _ in range(_COMMITS):
            began_s = time.perf_counter()
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO record VALUES (?)", (_ROW,))
            database.execute("COMMIT")
            took_ms.append((time.perf_counter() - began_s) * 1000)
    finally:
        database.close()
        file.unlink()
    return statistics.median(took_ms)


def journal_bytes(home: Path) -> int:
    """The size of a node's journal, with what its log has not written back yet."""
    database = sqlite3.connect(f"file:{home}/journal.db?mode=ro", uri=True)
    try:
        [(pages,)] = database.execute("PRAGMA page_count").fetchall()
        [(size,)] = database.execute("PRAGMA page_size").fetchall()
    finally:
        database.close()
    return int(pages) * int(size)


def describe(folder: Path) -> dict[str, object]:
    """The machine, for whoever compares runs."""
    return {
        "processor": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _field("/proc/meminfo", "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "filesystem": _filesystem(folder),
        "median_commit_ms": round(median_commit_ms(folder), 3),
    }


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _filesystem(folder: Path) -> str:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if folder.resolve().is_relative_to(mount[1])]
    return max(holding, key=lambda mount: len(mount[1]))[2]
