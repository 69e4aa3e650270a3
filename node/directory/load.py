"""A generation as a `DirectoryView`.

Signatures of the directory's roles are not verified again: the supervisor did that before it handed
the folder on. What is checked is that each file is the one that was verified then, by its SHA-256.
"""

from dataclasses import replace
from pathlib import Path

from node.directory.folder import BLOBS, Index, absent, read_index
from security.directory import DirectoryView
from security.hashing import sha256


def load_view(path: Path, known: DirectoryView | None = None) -> DirectoryView:
    """Reads the generation in `path`.

    Args:
        path: Its folder.
        known: The view in use. Where only the time of issue differs, as every minute, its contents
            serve again, and no file is read.

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
    targets = read_targets(path, index)
    return DirectoryView.build(
        index.federation, index.version, index.hash, index.issued_at_ms, targets
    )


def read_targets(path: Path, index: Index) -> dict[str, bytes]:
    """All files that the index of the generation in `path` names, by their paths.

    Raises:
        SimpulError: DIRECTORY_ABSENT, when one is missing or is not what it was.
    """
    blobs = path.parent / BLOBS
    targets: dict[str, bytes] = {}
    for name, blob in index.targets.items():
        try:
            data = (blobs / blob).read_bytes()
        except OSError as error:
            raise absent(path) from error
        if sha256(data).hex() != blob:
            raise absent(path)
        targets[name] = data
    return targets
