"""Every version of the directory that this node went by, for evidence; never changed.

    directory/archive/roots/<N>.root.json
    directory/archive/versions/<hash>.json    root's version, the first timestamp and the last
    directory/archive/blobs/<SHA-256>         snapshots, targets, members' roles; policies, records

Headers name a directory by its hash, and evidence shows whose the keys were by that directory. So a
version stays here after the copy has moved on: one change costs its snapshot, one bin and one
record, 15 KB in a country (docs/explanation, "What evidence needs"). What didn't change is
there once; contracts, which evidence doesn't show, aren't. Files are links to those of the
generations where the file system has links.

It verifies nothing: what is kept was verified, and whoever reads evidence does so again.

Rules: a version is on the disk before the generation is used that it is of; its file is written
last, so that what it names is there; only a version that no parcel in the journal names is ever
removed (`node.evidence.tidy`).
"""

import json
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.directory.folder import BLOBS, Index, sync_file
from node.directory.model import ISSUED_AT, METADATA, POLICY
from runtime.files import make_private_folder, sync_folder, write_durably
from security.errors import Code, SimpulError

FOLDER = "archive"
MEMBERS = "members"
_ROOT_SUFFIX = ".root.json"


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """One version: under which root and timestamps it was seen."""

    hash: bytes
    root: int
    timestamps: tuple[bytes, ...]


class DirectoryArchive:
    """The folder `archive` in the directory's folder. One writer at a time; any readers."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / FOLDER
        self._blobs = self.path / "blobs"
        self._roots = self.path / "roots"
        self._versions = self.path / "versions"

    def keep(self, generation: Path, index: Index) -> None:
        """Keep what a generation on the disk shows.

        Raises:
            OSError: the disk is full or failing.
        """
        metadata = generation / METADATA
        timestamp = (metadata / "timestamp.json").read_bytes()
        file = self._versions / f"{index.hash.hex()}.json"
        root = self._keep_roots(metadata / "root_history")
        known = _read(file)
        if known is None:
            self._keep_files(metadata, generation.parent / BLOBS, index)
            _write(file, root, (timestamp,))
        elif timestamp not in known.timestamps:
            _write(file, known.root, (known.timestamps[0], timestamp))

    def find(self, directory_hash: bytes) -> KeptVersion | None:
        """The version with this hash; None where it isn't kept."""
        return _read(self._versions / f"{directory_hash.hex()}.json")

    def read(self, sha256: bytes) -> bytes:
        """A file by its SHA-256; raises SimpulError DIRECTORY_ABSENT."""
        try:
            return (self._blobs / sha256.hex()).read_bytes()
        except OSError as error:
            raise _damaged(self._blobs / sha256.hex()) from error

    def has(self, sha256: bytes) -> bool:
        """Whether a file is there."""
        return (self._blobs / sha256.hex()).is_file()

    def roots(self, up_to: int) -> tuple[bytes, ...]:
        """Every root that there is, by version, up to this one."""
        found = sorted((_root_version(path), path) for path in self._roots.glob(f"*{_ROOT_SUFFIX}"))
        return tuple(path.read_bytes() for version, path in found if version <= up_to)

    def prune(self, named: Collection[bytes], before_ms: int) -> int:
        """Remove old versions that nothing names, and what only they needed; how many went.

        Args:
            named: Every hash that a parcel in the journal names.
            before_ms: A version that was in force at this time or later stays: a parcel that names
                it may still come.

        Raises:
            SimpulError: DIRECTORY_ABSENT, where the archive is damaged: nothing more is removed.
        """
        gone = [
            path
            for path in self._versions.glob("*.json")
            if _hash(path) not in named and _last_issued_ms(path) < before_ms
        ]
        if not gone:
            return 0
        left = [path for path in self._versions.glob("*.json") if path not in gone]
        needed = {name for path in left for name in self._needs(path)}
        for path in gone:
            path.unlink()
        # Only after the versions are gone for good may what they name go.
        sync_folder(self._versions)
        for blob in self._blobs.iterdir():
            if blob.name not in needed:
                blob.unlink()
        return len(gone)

    def hashes(self) -> frozenset[bytes]:
        """Of all versions that are kept."""
        return frozenset(map(_hash, self._versions.glob("*.json")))

    def newest_first(self) -> tuple[bytes, ...]:
        """Likewise, by when each was last in force.

        Raises:
            SimpulError: DIRECTORY_ABSENT, where the archive is damaged.
        """
        files = self._versions.glob("*.json")
        found = sorted(((_last_issued_ms(file), _hash(file)) for file in files), reverse=True)
        return tuple(hashed for _, hashed in found)

    def _keep_roots(self, history: Path) -> int:
        make_private_folder(self._roots)
        newest = 0
        for path in history.glob(f"*{_ROOT_SUFFIX}"):
            newest = max(newest, _root_version(path))
            if not (self._roots / path.name).exists():
                _link(path, self._roots / path.name)
                sync_folder(self._roots)
        return newest

    def _keep_files(self, metadata: Path, blobs: Path, index: Index) -> None:
        make_private_folder(self._blobs)
        make_private_folder(self._versions)
        snapshot = (metadata / "snapshot.json").read_bytes()
        wanted = {index.hash.hex(): metadata / "snapshot.json"}
        for role, name in _roles(snapshot, lambda role: (metadata / f"{role}.json").read_bytes()):
            wanted[name] = metadata / f"{role}.json"
        for path, name in index.targets.items():
            if path == POLICY or path.startswith(f"{MEMBERS}/"):
                wanted[name] = blobs / name
        for name, source in wanted.items():
            if not (self._blobs / name).exists():
                _link(source, self._blobs / name)
        sync_folder(self._blobs)

    def _needs(self, version: Path) -> Iterator[str]:
        yield version.stem
        snapshot = self.read(_hash(version))
        lines = _lines(snapshot)
        for role, name in _roles(snapshot, lambda role: self.read(bytes.fromhex(lines[role]))):
            yield name
            signed = json.loads(self.read(bytes.fromhex(name)))["signed"]
            for path, file in signed["targets"].items():
                if role == "targets" or path.startswith(f"{MEMBERS}/"):
                    yield file["hashes"]["sha256"]


def _roles(snapshot: bytes, read: Callable[[str], bytes]) -> Iterator[tuple[str, str]]:
    """The roles that evidence shows, with the SHA-256 of each one's file."""
    lines = _lines(snapshot)
    prefix = json.loads(read(MEMBERS))["signed"]["delegations"]["succinct_roles"]["name_prefix"]
    for role, name in lines.items():
        if role in {"targets", MEMBERS} or role.startswith(f"{prefix}-"):
            yield role, name


def _lines(snapshot: bytes) -> dict[str, str]:
    meta = json.loads(snapshot)["signed"]["meta"]
    return {file.removesuffix(".json"): line["hashes"]["sha256"] for file, line in meta.items()}


def _read(file: Path) -> KeptVersion | None:
    try:
        tree = json.loads(file.read_bytes())
        return KeptVersion(
            _hash(file), int(tree["root"]), tuple(item.encode() for item in tree["timestamps"])
        )
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(file) from error


def _last_issued_ms(file: Path) -> int:
    kept = _read(file)
    if kept is None:
        raise _damaged(file)
    return int(json.loads(kept.timestamps[-1])["signed"][ISSUED_AT])


def _write(file: Path, root: int, timestamps: Sequence[bytes]) -> None:
    tree = {"root": root, "timestamps": [item.decode() for item in timestamps]}
    write_durably(file, json.dumps(tree).encode())


def _hash(file: Path) -> bytes:
    return bytes.fromhex(file.stem)


def _root_version(path: Path) -> int:
    return int(path.name.removesuffix(_ROOT_SUFFIX))


def _link(source: Path, target: Path) -> None:
    # Under another name first: a copy that was cut short must not stand under its hash.
    part = target.with_name(f".{target.name}")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
        sync_file(part)
    part.replace(target)


def _damaged(path: Path) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_ABSENT,
        f"{path} is gone or damaged: restore the folder directory/archive from a backup, or export "
        "this evidence at the other side",
        path=str(path),
    )
