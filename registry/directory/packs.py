"""Makes packs: all that is published now in one file, for nodes that have nothing yet.

    pack/newest          {"log_size":…,"pack":"<SHA-256>"}: replaced, like `timestamp.json`
    pack/<SHA-256>       written once (docs/spec, "Directory: packs")

A pack may be a little older than the directory: a node fetches what it lacks file by file. So one
is made anew only after a number of changes, counted by the leaves of the public log; never by the
writer's thread, and never in the way of a publication: it reads what never changes.

Each registry makes its own, where several share a database. Nothing rests on it.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import METADATA, Role, metadata_name, target_name
from registry.directory.log import LOG
from runtime.files import sync_folder, write_durably
from security.errors import Code, SimpulError
from security.pack import make_pack
from security.public_log import HEAD_FIELD
from security.tiles import bundles_of

PACK: Final = "pack"
NEWEST_NAME: Final = f"{PACK}/newest"
# Files that changed since, and that a new node fetches one by one.
MAX_BEHIND: Final = 100


@dataclass(frozen=True, slots=True)
class Newest:
    """Which pack is the newest, and how long the public log was when it was made."""

    pack: str
    log_size: int


def newest(folder: PublishedFolder) -> Newest | None:
    """The newest pack; None where there is none that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        tree = json.loads((folder.path / NEWEST_NAME).read_bytes())
        found = Newest(str(tree["pack"]), int(tree["log_size"]))
        if (folder.path / PACK / found.pack).is_file():
            return found
    return None


def is_due(folder: PublishedFolder) -> bool:
    """Whether it is time for a new one."""
    found, size = newest(folder), _log_size(_timestamp(folder))
    # A restored registry's log may be shorter.
    return found is None or not 0 <= size - found.log_size <= MAX_BEHIND


def build(folder: PublishedFolder) -> str:
    """Makes a pack of what is published now, and returns its published name.

    Raises:
        SimpulError: DIRECTORY_ABSENT.
        OSError: as it comes; the pack before is then still the newest.
    """
    timestamp = _timestamp(folder)
    place = folder.path / PACK
    place.mkdir(mode=0o755, exist_ok=True)
    part, hashed = place / ".part", sha256()
    files = ((name, folder.read(name)) for name in _names(folder, timestamp))
    with part.open("wb") as opened:
        for chunk in make_pack(files):
            hashed.update(chunk)
            opened.write(chunk)
    name = hashed.hexdigest()
    before = newest(folder)
    part.replace(place / name)
    sync_folder(place)
    tree = {"log_size": _log_size(timestamp), "pack": name}
    write_durably(folder.path / NEWEST_NAME, json.dumps(tree, separators=(",", ":")).encode())
    _drop_others(place, {name, "" if before is None else before.pack})
    return f"{PACK}/{name}"


def _names(folder: PublishedFolder, timestamp: Any) -> Iterator[str]:  # noqa: ANN401  (JSON)
    """What a node without anything reads, but for the timestamp."""
    roots = [name for name in folder.names(METADATA) if name.endswith(f".{Role.ROOT}.json")]
    yield from sorted(roots)
    snapshot_name = metadata_name(Role.SNAPSHOT, timestamp["meta"]["snapshot.json"]["version"])
    yield snapshot_name
    for file, line in _signed(folder, snapshot_name)["meta"].items():
        role_name = metadata_name(file.removesuffix(".json"), line["version"])
        yield role_name
        for path, target in _signed(folder, role_name)["targets"].items():
            yield target_name(path, target["hashes"]["sha256"])
    for tile in bundles_of(_log_size(timestamp)):
        yield f"{LOG}/{tile.path}"


def _timestamp(folder: PublishedFolder) -> Any:  # noqa: ANN401  (JSON of our own)
    return _signed(folder, TIMESTAMP_NAME)


def _log_size(timestamp: Any) -> int:  # noqa: ANN401
    return int(timestamp.get(HEAD_FIELD, {"size": 0})["size"])


def _signed(folder: PublishedFolder, name: str) -> Any:  # noqa: ANN401
    try:
        return json.loads(folder.read(name))["signed"]
    except (ValueError, KeyError) as error:
        raise SimpulError(
            Code.DIRECTORY_ABSENT,
            f"{folder.path / name} is damaged: restore the registry's home from its backup",
        ) from error


def _drop_others(place: Path, kept: set[str]) -> None:
    for path in place.iterdir():
        if path.name not in kept | {"newest"}:
            path.unlink()
