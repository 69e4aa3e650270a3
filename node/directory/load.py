"""A generation as a `DirectoryView`.

Signatures of the directory's roles are not verified again: the supervisor did that before it handed
the folder on. What is checked is that each file that is read is the one that was verified then, by
its SHA-256.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from node.directory.folder import BLOBS, Index, absent, read_index
from security.directory import DirectoryView
from security.hashing import sha256


def load_view(path: Path, known: DirectoryView | None = None) -> DirectoryView:
    """Reads the generation in `path`.

    Args:
        path: Its folder.
        known: The view in use. Of what is the same in it no file is read: where only the time of
            issue differs, as every minute, none at all.

    Raises:
        SimpulError: DIRECTORY_ABSENT, when it is gone or damaged; what `DirectoryView.build`
        raises,
            when its content is not in order.
    """
    return make_view(path, read_index(path), known)


def make_view(path: Path, index: Index, known: DirectoryView | None = None) -> DirectoryView:
    """As `load_view`, for an index that was read, or made, before."""
    if known is not None and known.hash == index.hash and known.federation == index.federation:
        return replace(known, issued_at_ms=index.issued_at_ms)
    blobs = BlobFiles(path, index.targets)
    digests = {name: bytes.fromhex(blob) for name, blob in index.targets.items()}
    if known is not None and known.federation != index.federation:
        known = None
    return DirectoryView.build(
        index.federation, index.version, index.hash, index.issued_at_ms, blobs, known, digests
    )


class BlobFiles(Mapping[str, bytes]):
    """The files that an index names, each read when it is asked for, and checked then."""

    def __init__(self, path: Path, names: Mapping[str, str]) -> None:
        self._path = path
        self._blobs = path.parent / BLOBS
        self._names = names

    def __getitem__(self, name: str) -> bytes:
        """A file's bytes; raises SimpulError DIRECTORY_ABSENT where it isn't what it was."""
        blob = self._names[name]
        try:
            data = (self._blobs / blob).read_bytes()
        except OSError as error:
            raise absent(self._path) from error
        if sha256(data).hex() != blob:
            raise absent(self._path)
        return data

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_targets(path: Path, index: Index) -> dict[str, bytes]:
    """All files that the index of the generation in `path` names, by their paths.

    Raises:
        SimpulError: DIRECTORY_ABSENT, when one is missing or is not what it was.
    """
    return dict(BlobFiles(path, index.targets))
