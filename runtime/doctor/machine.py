"""Looks at the machine: who can read a home's files, and the disk below it."""

from __future__ import annotations

import os
import shutil
import stat
import statistics
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.doctor.findings import Finding, fault, warning, well
from security.errors import Code

# Below it databases and the directory's files run into the end of the disk within hours.
LITTLE_BYTES: Final = 1024**3
NONE_BYTES: Final = 64 * 1024**2
# A call waits for two of these in turn, one at each node.
SLOW_SYNC_MS: Final = 25.0
SYNCS: Final = 7


@dataclass(frozen=True, slots=True)
class Advice:
    """What a fault is called here, and what mends it."""

    mend: str
    code: Code


def check_files(home: Path, *secret: Path) -> Iterator[Finding]:
    """That nobody but its user reads a home's secrets.

    Args:
        home: The home's folder, which nobody else may enter.
        secret: Files and folders in it that nobody else may read.
    """
    open_to_others = [path for path in (home, *secret) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    owner = home.stat().st_uid
    if owner != os.geteuid():
        yield warning(
            "files",
            f"{home} belongs to user {owner}, and this is user {os.geteuid()}",
            "run simpul as the user that the node runs as",
        )
    if open_to_others:
        first = open_to_others[0]
        yield fault(
            "files",
            f"others on this machine can read {first}",
            f"chmod -R go= {home}; if somebody may have read it, rotate the keys",
        )
    elif owner == os.geteuid():
        yield well("files", "only their owner can read keys and data")


def check_disk(home: Path, full: Advice, broken: Advice) -> Iterator[Finding]:
    """That there is room, and how long the disk takes to keep what it was told to.

    Args:
        home: A folder on it.
        full: What to do where there is no room.
        broken: What to do where nothing can be written.
    """
    free = shutil.disk_usage(home).free
    room = f"{free / 1024**3:.1f} GiB free"
    if free < NONE_BYTES:
        yield fault(
            "disk",
            room,
            full.mend,
            full.code,
        )
    elif free < LITTLE_BYTES:
        yield warning("disk", room, full.mend)
    else:
        yield well("disk", room)
    try:
        took_ms = _sync_ms(home)
    except OSError as error:
        yield fault(
            "disk sync",
            f"nothing can be written: {error.strerror}",
            broken.mend,
            broken.code,
        )
        return
    said = f"{took_ms:.1f} ms until the disk has a small write"
    if took_ms > SLOW_SYNC_MS:
        yield warning(
            "disk sync",
            said,
            "use a disk with a protected write cache: whoever writes here waits for it",
        )
    else:
        yield well("disk sync", said)


def duration(ms: float) -> str:
    """A time in words, in its largest fitting unit."""
    seconds = max(0, round(ms / 1000))
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"


def _sync_ms(folder: Path) -> float:
    """The median time of a small durable write, in milliseconds."""
    path = folder / f".doctor-{os.getpid()}"
    took: list[float] = []
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for _ in range(SYNCS):
                begun = time.perf_counter()
                os.write(descriptor, bytes(4096))
                os.fsync(descriptor)
                took.append(1000 * (time.perf_counter() - begun))
        finally:
            os.close(descriptor)
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return statistics.median(took)
