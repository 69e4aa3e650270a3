"""Removes published files that no directory of the last days names.

It reads only the folder. Rules: every root stays, for ever, because a node walks them one by one;
a file stays as long as a snapshot names it that was in force within the time to keep, as a slow
node may be half-way through it; nothing is judged by a file's date, because an old bin can be
current.
Of the public log the leaves stay, for ever, and only shorter copies of them go.
A snapshot was in force until the next one was issued, which the next one says itself.
"""

import json
from collections.abc import Iterator
from typing import Any

from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import (
    ISSUED_AT,
    METADATA,
    TARGETS,
    TIMESTAMP_FILE,
    Role,
    metadata_name,
    target_name,
)
from registry.directory.log import LOG, outlived
from security.public_log import HEAD_FIELD

KEEP_MS = 7 * 24 * 60 * 60 * 1000


def collect(folder: PublishedFolder, now_ms: int, keep_ms: int = KEEP_MS) -> tuple[str, ...]:
    """Removes what is past keeping, and returns the names.

    Args:
        folder: No publication may run meanwhile.
        now_ms: The time.
        keep_ms: How long a file stays after the last snapshot that names it went out of force.
    """
    kept = _needed(folder, now_ms - keep_ms)
    removed = tuple(
        name
        for below in (METADATA, TARGETS)
        for name in sorted(folder.names(below))
        if name not in kept
    )
    size = _load(folder, TIMESTAMP_NAME).get(HEAD_FIELD, {"size": 0})["size"]
    removed += tuple(sorted(outlived(folder.names(LOG), size)))
    for name in removed:
        folder.retire(name)
    return removed


def _needed(folder: PublishedFolder, since_ms: int) -> set[str]:
    names = set(folder.names(METADATA))
    kept = {name for name in names if name.endswith(f".{Role.ROOT}.json")} | {TIMESTAMP_NAME}
    current = _load(folder, f"{METADATA}/{TIMESTAMP_FILE}")["meta"]["snapshot.json"]["version"]
    roles: set[str] = set()
    superseded_at_ms = None
    for version in range(current, 0, -1):
        name = metadata_name(Role.SNAPSHOT, version)
        if name not in names or (superseded_at_ms is not None and superseded_at_ms < since_ms):
            break
        snapshot = _load(folder, name)
        kept.add(name)
        roles |= {
            metadata_name(file.removesuffix(".json"), line["version"])
            for file, line in snapshot["meta"].items()
        }
        superseded_at_ms = snapshot[ISSUED_AT]
    for role in roles:
        kept.add(role)
        kept |= set(_targets(folder, role))
    return kept


def _targets(folder: PublishedFolder, role: str) -> Iterator[str]:
    for path, file in _load(folder, role)["targets"].items():
        yield target_name(path, file["hashes"]["sha256"])


def _load(folder: PublishedFolder, name: str) -> Any:  # noqa: ANN401  (JSON of our own)
    return json.loads(folder.read(name))["signed"]
