"""Generations of the directory on the disk.

    directory/
      current -> 00000007           swapped last, in one step
      00000007/metadata/            python-tuf's files, and root_history/
      00000007/index.json           what `load` reads: version, hash, and each path's SHA-256
      blobs/<SHA-256>               the target files of all generations

It verifies nothing. Rules: a generation never changes once it has its number; it has it only after
all of it is on the disk; a new one begins as links to the files of the last, which is safe because
python-tuf replaces metadata files and never writes into them; the last good one stays until two
newer ones exist.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from node.directory.model import METADATA, Generation
from runtime.files import make_private_folder, sync_folder, write_durably
from security.errors import Code, SimpulError

CURRENT = "current"
BLOBS = "blobs"
INDEX = "index.json"
KEEP_GENERATIONS = 2
HASH_BYTES = 32
SYNCERS = 16
_NUMBER_DIGITS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Index:
    """A generation's contents: `targets` gives the SHA-256, in hex, of each path's file."""

    federation: str
    version: int
    hash: bytes
    issued_at_ms: int
    usable_until_ms: int
    targets: Mapping[str, str]
    # The public log's frontier, with which this generation was checked; empty: it had no log.
    log: bytes = b""

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(
            {
                "federation": self.federation,
                "version": self.version,
                "hash": self.hash.hex(),
                "issued_at_ms": self.issued_at_ms,
                "usable_until_ms": self.usable_until_ms,
                "targets": dict(sorted(self.targets.items())),
                "log": self.log.hex(),
            },
            separators=(",", ":"),
        ).encode()


class ReplicaFolder:
    """The `directory` folder of a node's home. One writer at a time; any number of readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blobs = path / BLOBS

    def prepare(self) -> None:
        """Makes the folder, and removes what an interrupted run left behind."""
        make_private_folder(self.blobs)
        for left in (*self.path.glob(".*"), *self.blobs.glob(".*")):
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()

    def current(self) -> Path | None:
        """The generation in use; None before the first."""
        link = self.path / CURRENT
        return self.path / link.readlink() if link.is_symlink() and link.exists() else None

    def begin(self, base: Path | None) -> Path:
        """A new folder, not yet a generation, with the metadata of `base`."""
        work = self.scratch()
        metadata = work / METADATA
        (metadata / "root_history").mkdir(parents=True)
        if base is not None:
            for file in (base / METADATA).rglob("*"):
                if file.is_file() and not file.is_symlink():
                    _link(file, metadata / file.relative_to(base / METADATA))
        return work

    def scratch(self) -> Path:
        """An empty folder that the next `prepare` removes."""
        work = self.path / f".{secrets.token_hex(8)}"
        work.mkdir(mode=0o700)
        return work

    def commit(self, work: Path, index: Index) -> Path:
        """Makes `work` the current generation; until the last step, the one before it is."""
        write_durably(work / INDEX, index.to_json())
        _sync_tree(work)
        sync_folder(self.blobs)
        final = self.path / f"{self._next_number():0{_NUMBER_DIGITS}d}"
        work.rename(final)
        sync_folder(self.path)
        self._swap(final)
        return final

    def collect(self) -> None:
        """Removes all generations but the newest two, and the blobs that none of these names."""
        numbers = self._numbers()
        current = self.current()
        old = [n for n in numbers[:-KEEP_GENERATIONS] if n != current]
        if not old:
            return
        for path in old:
            shutil.rmtree(path)
        kept = [read_index(path) for path in self._numbers() if (path / INDEX).exists()]
        named = {name for index in kept for name in index.targets.values()}
        for blob in self.blobs.iterdir():
            if blob.name not in named:
                blob.unlink()

    def _swap(self, final: Path) -> None:
        link = self.path / f".{secrets.token_hex(8)}"
        link.symlink_to(final.name)
        link.replace(self.path / CURRENT)
        sync_folder(self.path)

    def _numbers(self) -> list[Path]:
        return sorted(path for path in self.path.iterdir() if path.name.isdecimal())

    def _next_number(self) -> int:
        numbers = self._numbers()
        return int(numbers[-1].name) + 1 if numbers else 1


def read_index(path: Path) -> Index:
    """The index of a generation.

    Raises:
        SimpulError: DIRECTORY_ABSENT, when the generation is gone or its index is damaged.
    """
    try:
        tree = json.loads((path / INDEX).read_bytes())
        index = Index(
            federation=_typed(tree["federation"], str),
            version=_typed(tree["version"], int),
            hash=bytes.fromhex(tree["hash"]),
            issued_at_ms=_typed(tree["issued_at_ms"], int),
            usable_until_ms=_typed(tree["usable_until_ms"], int),
            targets={_typed(k, str): _blob_name(v) for k, v in tree["targets"].items()},
            # An earlier version of this program wrote none.
            log=bytes.fromhex(_typed(tree.get("log", ""), str)),
        )
        if len(index.hash) != HASH_BYTES:
            raise ValueError(INDEX)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise absent(path) from error
    return index


def absent(path: Path) -> SimpulError:
    """The error for a generation that can't be read."""
    return SimpulError(
        Code.DIRECTORY_ABSENT,
        f"the copy of the directory in {path} is gone or damaged: reach the registry, and it is "
        "fetched anew",
        path=str(path),
    )


def generation(path: Path, index: Index) -> Generation:
    """What others are told of a generation."""
    return Generation(path, index.version, index.hash, index.issued_at_ms, index.usable_until_ms)


def _typed(value: object, kind: type[T]) -> T:
    # Exactly: True is an int to isinstance.
    if type(value) is not kind:
        raise TypeError(INDEX)
    return value


def _blob_name(value: object) -> str:
    if not isinstance(value, str) or len(bytes.fromhex(value)) != HASH_BYTES:
        raise ValueError(INDEX)
    return value


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # A file system without hard links.
        shutil.copyfile(source, target)


def _sync_tree(root: Path) -> None:
    for folder, _, names in os.walk(root):
        for name in names:
            file = Path(folder, name)
            # One with a second link was durable in the generation before.
            if not file.is_symlink() and file.stat().st_nlink == 1:
                sync_file(file)
        sync_folder(Path(folder))


def sync_file(file: Path) -> None:
    """Makes a file's content durable."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_files(files: Iterable[Path]) -> None:
    """Makes many files' contents durable: several at once, which a disk does in fewer writes."""
    wanted = list(files)
    if len(wanted) < SYNCERS:
        for file in wanted:
            sync_file(file)
        return
    with ThreadPoolExecutor(SYNCERS) as pool:
        for _ in pool.map(sync_file, wanted):
            pass
