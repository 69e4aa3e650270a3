"""Opens and renews a node's copy of the directory.

It does not decide when, or whence: `watch` does. Rules:

1. Opening the copy verifies every signature again, offline, from the enrolment's root.
2. A renewal works in a folder of its own; until its last step the last good copy stays in use, and
   any interruption leaves that copy whole.
3. A copy becomes current only after its floors, its clock, its files and their meaning are checked.
4. Floors are stored after the swap: a cut between the two leaves them low, never above the copy.
5. A copy is what the registry's public log says, read leaf by leaf since the last one.
6. A version is in the archive before it is used: no parcel names one that evidence lacks.

Synchronous, and slow: call it through `asyncio.to_thread`. Calls queue behind one another.
"""

import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from threading import Lock
from typing import IO

import structlog
from google.protobuf.message import DecodeError
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import TargetFile

from node.directory.archive import DirectoryArchive
from node.directory.faults import mapped
from node.directory.fetch import Fetcher, LocalFetcher, cap
from node.directory.floors import Floors
from node.directory.folder import (
    Index,
    ReplicaFolder,
    absent,
    generation,
    read_index,
    sync_files,
)
from node.directory.load import make_view, read_targets
from node.directory.model import METADATA, TARGETS, Generation
from node.directory.replay import (
    LEAP,
    LeafFolder,
    check_logged,
    check_replay,
    follow,
    replay_of,
)
from node.directory.rules import begins_anew, check_clock, check_floors, check_record_number
from node.directory.verify import SHA256, Verified, verify
from node.store.engine import Store
from node.store.floors import load_floors, save_floors
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.group import is_group_path
from security.hashing import sha256
from security.public_log import Head, Replay
from simpul.v1 import directory_pb2

# A fetch that is cut begins anew after the last so many files.
SYNC_TOGETHER = 256

_log = structlog.stdlib.get_logger(__name__)


class Replica:
    """One node's copy. `current` and `view` are those of the last call that succeeded."""

    def __init__(self, path: Path, federation: str, root: bytes, store: Store) -> None:
        """Touches nothing yet.

        Args:
            path: The `directory` folder of the home.
            federation: The policy must name it.
            root: The enrolment's root metadata.
            store: Keeps the floors.
        """
        self._folder = ReplicaFolder(path)
        self._archive = DirectoryArchive(path)
        self._leaves = LeafFolder(path)
        self._federation = federation
        self._root = root
        self._root_sha256 = sha256(root)
        self._store = store
        self._lock = Lock()
        self._floors: Floors | None = None
        # Blobs whose content was hashed by this process.
        self._whole: frozenset[str] = frozenset()
        # Where the copy in use stands in the public log.
        self._replay = Replay()
        self.current: Generation | None = None
        self.view: DirectoryView | None = None

    def open_local(self, now_ms: int) -> Generation | None:
        """Opens the copy on the disk, verified anew; None where there is none.

        Raises:
            SimpulError: DIRECTORY_ABSENT (damaged), DIRECTORY_DEAD (expired), DIRECTORY_UNTRUSTED,
                DIRECTORY_ROLLBACK. `sync` may mend all of these.
        """
        with self._lock:
            self._folder.prepare()
            path = self._folder.current()
            if path is None:
                return None
            index = read_index(path)
            verified = self._verify_local(path)
            self._check(verified.floors, now_ms)
            if index != _index(self._federation, verified, index.log):
                raise absent(path)
            replayed = _replayed(path, index)
            if verified.log is not None and index.log:
                check_replay(replayed, verified.log, index)
            self._archive.keep(path, index)
            self._adopt(path, index, verified.floors, make_view(path, index))
            self._replay = replayed
            return self.current

    def sync(self, fetcher: Fetcher, now_ms: int) -> Generation:
        """Brings the copy to what `fetcher` serves; gives the current one where that is the same.

        Raises:
            SimpulError: REGISTRY_UNREACHABLE (try again); DIRECTORY_UNTRUSTED, DIRECTORY_ROLLBACK,
                DIRECTORY_SPLIT, DIRECTORY_UNLOGGED, DIRECTORY_DEAD (alarm). The last good copy
                stays.
            OSError: the disk is full or failing; likewise.
        """
        with self._lock:
            self._folder.prepare()
            base = self._folder.current()
            work = self._folder.begin(base)
            try:
                with mapped(fetcher.where, self._root_sha256):
                    verified = verify(self._root, work / METADATA, fetcher)
                self._check(verified.floors, now_ms)
                if self.current is not None and verified.floors == self._floors:
                    return self.current
                with mapped(fetcher.where, self._root_sha256):
                    self._fetch_targets(verified)
                    index = _index(self._federation, verified, b"")
                    replayed = self._follow(fetcher, verified, index)
                if verified.log is not None:
                    index = replace(index, log=replayed.tree.to_bytes())
                made = self._commit(base, work, index, verified)
                self._replay = replayed
                return made
            finally:
                shutil.rmtree(work, ignore_errors=True)

    def is_empty(self) -> bool:
        """Whether there is no copy on the disk yet, whole or not."""
        return self._folder.current() is None

    @contextmanager
    def scratch_file(self) -> Iterator[IO[bytes]]:
        """A file without a name, beside the copy: gone when the block ends, or the process."""
        with self._lock:
            self._folder.prepare()
        with TemporaryFile(dir=self._folder.path) as opened:
            yield opened

    def prune_archive(self, named: Collection[bytes], before_ms: int) -> int:
        """Remove archived versions that nothing names (`DirectoryArchive.prune`)."""
        with self._lock:
            return self._archive.prune(named, before_ms)

    def _verify_local(self, path: Path) -> Verified:
        scratch = self._folder.scratch()
        fetcher = LocalFetcher(path / METADATA, self._folder.blobs)
        try:
            with mapped(str(path), self._root_sha256):
                return verify(self._root, scratch, fetcher)
        except SimpulError as error:
            if isinstance(error.__cause__, DownloadError):
                # A file of ours is missing: no weather, and nobody's attack on the network.
                raise absent(path) from error
            raise
        finally:
            shutil.rmtree(scratch)

    def _check(self, new: Floors, now_ms: int) -> None:
        check_clock(new.issued_at_ms, now_ms)
        check_floors(load_floors(self._store), new)

    def _follow(self, fetcher: Fetcher, verified: Verified, index: Index) -> Replay:
        head = verified.log
        if head is None:
            return Replay()
        # Where root renewed both online keys the log may begin anew, as counts may.
        if self._floors is not None and begins_anew(self._floors, verified.floors):
            return self._replayed(fetcher, Replay(), head, index)
        try:
            return self._replayed(fetcher, self._replay, head, index)
        except SimpulError as error:
            # A restored registry has lost its newest leaves, and its versions leap.
            leaps = index.version - self._replay.version >= LEAP and self._replay.version > 0
            if error.code is not Code.DIRECTORY_UNLOGGED or not leaps:
                raise
            found = self._replayed(fetcher, Replay(), head, index)
        _log.error(
            "the registry's public log is another one than before: unless the registry was "
            "restored, somebody rewrites it",
            version=index.version,
            before=self._replay.version,
        )
        return found

    def _replayed(self, fetcher: Fetcher, start: Replay, head: Head, index: Index) -> Replay:
        found = follow(fetcher, start, head, self._leaves)
        check_replay(found, head, index)
        return found

    def _commit(
        self, base: Path | None, work: Path, index: Index, verified: Verified
    ) -> Generation:
        view = make_view(work, index, self.view)
        check_logged(view.policy.logged, verified.log)
        _check_records(base, work, index)
        path = self._folder.commit(work, index)
        self._archive.keep(path, index)
        adopted = self._adopt(path, index, verified.floors, view)
        self._folder.collect()
        return adopted

    def _adopt(self, path: Path, index: Index, floors: Floors, view: DirectoryView) -> Generation:
        save_floors(self._store, floors)
        self._floors = floors
        self._whole = frozenset(index.targets.values())
        self.view = view
        self.current = generation(path, index)
        return self.current

    def _fetch_targets(self, verified: Verified) -> None:
        # The next ones are verified while these go to the disk.
        with ThreadPoolExecutor(1) as settler:
            settling = [
                settler.submit(_settle, parts) for parts in self._missing(verified, SYNC_TOGETHER)
            ]
            for done in settling:
                done.result()

    def _missing(self, verified: Verified, together: int) -> Iterator[Mapping[Path, Path]]:
        """Fetches what isn't there: files without their names, by the names that they get."""
        parts: dict[Path, Path] = {}
        for path, file in verified.targets.items():
            if file.length > cap(f"{TARGETS}/{path}"):
                raise RepositoryError(f"{path} is larger than a directory's file may be")
            blob = self._folder.blobs / file.hashes[SHA256]
            if blob.name in self._whole or _is_whole(blob, file):
                continue
            part = blob.with_name(f".{secrets.token_hex(8)}")
            verified.updater.download_target(file, str(part))
            parts[part] = blob
            if len(parts) == together:
                yield parts
                parts = {}
        yield parts


def _settle(parts: Mapping[Path, Path]) -> None:
    """Gives files their names, once they are durable."""
    sync_files(parts)
    for part, blob in parts.items():
        part.replace(blob)


def _is_whole(blob: Path, file: TargetFile) -> bool:
    try:
        file.verify_length_and_hashes(blob.read_bytes())
    except (OSError, RepositoryError):
        return False
    return True


def _replayed(path: Path, index: Index) -> Replay:
    try:
        return replay_of(index)
    except SimpulError as error:
        raise absent(path) from error


def _index(federation: str, verified: Verified, log: bytes) -> Index:
    floors = verified.floors
    return Index(
        federation=federation,
        version=floors.snapshot_version,
        hash=floors.snapshot_hash,
        issued_at_ms=floors.issued_at_ms,
        usable_until_ms=verified.usable_until_ms,
        targets={path: file.hashes[SHA256] for path, file in verified.targets.items()},
        log=log,
    )


def _check_records(base: Path | None, work: Path, index: Index) -> None:
    """A member's or group's record that differs from the one before has a higher number."""
    if base is None:
        return
    try:
        before = read_index(base)
        changed = {
            path: blob
            for path, blob in before.targets.items()
            if path.startswith("members/") and index.targets.get(path, blob) != blob
        }
        old = read_targets(base, replace(before, targets=changed))
    except SimpulError:
        # The copy before is damaged: there is nothing left to compare with.
        return
    new = read_targets(work, replace(index, targets={path: index.targets[path] for path in old}))
    for path, data in old.items():
        check_record_number(path, _record_number(path, data), _record_number(path, new[path]))


def _record_number(path: str, data: bytes) -> int:
    try:
        if is_group_path(path):
            return directory_pb2.GroupRecord.FromString(data).number
        return directory_pb2.MemberRecord.FromString(data).number
    except DecodeError as error:
        raise SimpulError(Code.DIRECTORY_UNTRUSTED, f"{path} holds no record") from error
