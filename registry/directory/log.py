"""The public log in the published folder: what changed in each version, as leaves of a tree.

    log/<from>-<to>                       the leaves of one publication, as a bundle
    log/tile/entries/<index>[.p/<width>]  the same by 256, for who comes later (C2SP tlog-tiles)

Its head is in the signed timestamp. So a publication and its leaves come out in one step; what a
publication that was cut short left is beyond the head's size, and is removed like its other files.

Rules: values in, values out; an append gives another log, and this one stays as it was until the
files are written.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from tuf.api.metadata import Root, Snapshot, Targets

from registry.directory.folder import PublishedFolder
from registry.directory.roles import Signed
from security.errors import Code, SimpulError
from security.merkle import Frontier, leaf_hash
from security.public_log import Head, Kind, Leaf, parse_leaf
from security.tiles import ENTRIES, TILE_WIDTH, Tile, bundles_of, make_bundle, parse_bundle

LOG: Final = "log"
# Of single publications' leaves, so many stay: who is further behind reads by 256.
KEEP_SEGMENTS: Final = 256

_ROOT_LEAF: Final = b'"kind":"root"'
_SEGMENT: Final = re.compile(rf"{LOG}/([0-9]+)-([0-9]+)")


@dataclass(frozen=True, slots=True)
class Appended:
    """A longer log, and the files that it takes: what is pushed, and the rest."""

    log: "PublicLog"
    segment: Mapping[str, bytes]
    bundles: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PublicLog:
    """What is needed to append: the tree's frontier, and the leaves of the bundle under way."""

    tree: Frontier = field(default_factory=Frontier)
    open_leaves: tuple[bytes, ...] = ()
    # The newest root that has a leaf.
    root_version: int = 0

    @classmethod
    def load(cls, folder: PublishedFolder, head: Head | None) -> "PublicLog":
        """The log under `head`; None: a folder that has none yet.

        Raises:
            SimpulError: DIRECTORY_ABSENT or DIRECTORY_UNTRUSTED, when its files aren't whole.
        """
        if head is None:
            return PublicLog()
        log = PublicLog()
        for tile in bundles_of(head.size):
            leaves = parse_bundle(folder.read(f"{LOG}/{tile.path}"))
            log = log.append(leaves[: tile.width]).log
        if log.head != head:
            raise SimpulError(
                Code.DIRECTORY_UNTRUSTED,
                f"the public log in {folder.path / LOG} isn't the one that was signed: restore the "
                "registry's home from its backup",
            )
        return log

    @property
    def head(self) -> Head:
        """What is signed."""
        return Head(self.tree.size, self.tree.root())

    def append(self, leaves: Sequence[bytes]) -> Appended:
        """This log with more leaves."""
        tree, waiting = self.tree, list(self.open_leaves)
        root_version = self.root_version
        bundles: dict[str, bytes] = {}
        for leaf in leaves:
            tree = tree.append(leaf_hash(leaf))
            waiting.append(leaf)
            if _ROOT_LEAF in leaf:
                root_version = parse_leaf(leaf).version
            if len(waiting) == TILE_WIDTH:
                index = tree.size // TILE_WIDTH - 1
                bundles[f"{LOG}/{Tile(None, index).path}"] = make_bundle(waiting)
                waiting = []
        if leaves and waiting:
            tile = Tile(None, tree.size // TILE_WIDTH, len(waiting))
            bundles[f"{LOG}/{tile.path}"] = make_bundle(waiting)
        segment = {segment_name(self.tree.size, tree.size): make_bundle(leaves)} if leaves else {}
        return Appended(PublicLog(tree, tuple(waiting), root_version), segment, bundles)


def root_leaf(root: Signed[Root]) -> bytes:
    """That a root came out."""
    return Leaf(Kind.ROOT, root.value.version, sha256(root.data).hexdigest()).to_bytes()


def version_leaves(
    at_ms: int,
    changed: Iterable[Signed[Targets]],
    before: Mapping[str, Signed[Targets]],
    snapshot: Signed[Snapshot],
) -> list[bytes]:
    """The files that a version changes, by path, and then the version itself."""
    version = snapshot.value.version
    files = {
        path: file.hashes["sha256"]
        for role in changed
        for path, file in role.value.targets.items()
        if role.role not in before or before[role.role].value.targets.get(path) != file
    }
    return [
        *(Leaf(Kind.FILE, version, files[path], path).to_bytes() for path in sorted(files)),
        Leaf(Kind.VERSION, version, sha256(snapshot.data).hexdigest(), at_ms=at_ms).to_bytes(),
    ]


def segment_name(start: int, end: int) -> str:
    """`log/17-19`: leaves 17 and 18."""
    return f"{LOG}/{start}-{end}"


def read_leaves(folder: PublishedFolder, size: int) -> Iterator[bytes]:
    """The first `size` leaves that are published.

    Raises:
        SimpulError: DIRECTORY_ABSENT; REQUEST_MALFORMED for a file that is cut.
    """
    for tile in bundles_of(size):
        yield from parse_bundle(folder.read(f"{LOG}/{tile.path}"))[: tile.width]


def beyond(names: Iterable[str], size: int) -> Iterator[str]:
    """Of published names, those of leaves that the tree of this size doesn't have."""
    for name in names:
        end = _end(name)
        if end is not None and end > size:
            yield name


def outlived(names: Iterable[str], size: int) -> Iterator[str]:
    """Of published names, those for which there is a longer file now."""
    for name in names:
        end = _end(name)
        if end is None:
            continue
        is_partial = ".p/" in name and end <= size - size % TILE_WIDTH
        if is_partial or (_SEGMENT.fullmatch(name) and end <= size - KEEP_SEGMENTS):
            yield name


def _end(name: str) -> int | None:
    found = _SEGMENT.fullmatch(name)
    if found is not None:
        return int(found[2])
    if not name.startswith(f"{LOG}/tile/{ENTRIES}/"):
        return None
    tile = Tile.parse(name.removeprefix(f"{LOG}/"))
    return tile.index * TILE_WIDTH + tile.width
