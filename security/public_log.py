"""The registry's public log: every change of the directory is a leaf of one tree.

Whoever holds the log can build the directory from it; so a node that does so knows that it was
shown what everybody can read, and no key was ever listed that isn't there. The head, size and root,
is signed with each timestamp, as its extra field `x-log`.

A leaf is JSON with sorted keys and without spaces, of one of three kinds:

    {"kind":"root","sha256":…,"version":…}              a root's metadata came out
    {"kind":"file","path":…,"sha256":…,"version":…}     a target file changed, in this version
    {"at_ms":…,"kind":"version","snapshot":…,"version":…}   a snapshot: the directory's version

The tree is that of RFC 6962, as in the journals and the audit trail. It fetches and stores nothing.

Source: docs/spec, "Directory: public log".
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NoReturn

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES
from security.merkle import MAX_SIZE, Frontier, leaf_hash

# In the signed timestamp.
HEAD_FIELD: Final = "x-log"
MAX_LEAF_BYTES: Final = 1024

_HEX: Final = re.compile(f"[0-9a-f]{{{2 * HASH_BYTES}}}")
_HEAD_KEYS: Final = {"size", "root"}


class Kind(StrEnum):
    """What a leaf is about."""

    ROOT = "root"
    FILE = "file"
    VERSION = "version"


@dataclass(frozen=True, slots=True)
class Leaf:
    """One change. `path` is a file's, and `at_ms` a version's time of issue."""

    kind: Kind
    version: int
    sha256: str
    path: str = ""
    at_ms: int = 0

    def to_bytes(self) -> bytes:
        """What is hashed."""
        tree: dict[str, object] = {"kind": self.kind, "version": self.version}
        match self.kind:
            case Kind.ROOT:
                tree["sha256"] = self.sha256
            case Kind.FILE:
                tree |= {"path": self.path, "sha256": self.sha256}
            case Kind.VERSION:
                tree |= {"at_ms": self.at_ms, "snapshot": self.sha256}
        return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Head:
    """The tree's size and root."""

    size: int
    root: bytes

    def to_field(self) -> dict[str, object]:
        """The timestamp's extra field."""
        return {"size": self.size, "root": self.root.hex()}


def read_head(value: object) -> Head:
    """Reads the timestamp's extra field, strictly; raises SimpulError DIRECTORY_UNLOGGED."""
    if not isinstance(value, dict) or value.keys() != _HEAD_KEYS:
        _refuse("its head has another form")
    size, root = value["size"], value["root"]
    if type(size) is not int or not 0 < size <= MAX_SIZE:
        _refuse("its head's size can be none")
    if not isinstance(root, str) or _HEX.fullmatch(root) is None:
        _refuse("its head's root can be none")
    return Head(size, bytes.fromhex(root))


def parse_leaf(data: bytes) -> Leaf:
    """Reads a leaf; raises SimpulError DIRECTORY_UNLOGGED for what `to_bytes` wouldn't write."""
    try:
        if len(data) > MAX_LEAF_BYTES:
            raise ValueError(len(data))
        tree = json.loads(data)
        kind = Kind(tree["kind"])
        leaf = Leaf(
            kind,
            tree["version"],
            tree["snapshot" if kind is Kind.VERSION else "sha256"],
            tree["path"] if kind is Kind.FILE else "",
            tree["at_ms"] if kind is Kind.VERSION else 0,
        )
        types = (type(leaf.version), type(leaf.sha256), type(leaf.path), type(leaf.at_ms))
        if types != (int, str, str, int) or leaf.version <= 0:
            raise ValueError(kind)
        if _HEX.fullmatch(leaf.sha256) is None or leaf.to_bytes() != data:
            raise ValueError(kind)
    except (ValueError, KeyError, TypeError, RecursionError, UnicodeError) as error:
        raise _refused("one of its leaves is none") from error
    return leaf


@dataclass(frozen=True, slots=True)
class Replay:
    """The directory as the log's first leaves make it."""

    tree: Frontier = field(default_factory=Frontier)
    # Of the last version among them; 0 and nothing before the first.
    version: int = 0
    snapshot: str = ""
    files: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def after(self, leaves: Iterable[bytes]) -> "Replay":
        """The directory after these leaves too.

        1. Each is a leaf.
        2. Versions rise; a file is of the version that comes next.

        Raises:
            SimpulError: DIRECTORY_UNLOGGED.
        """
        tree, version, snapshot = self.tree, self.version, self.snapshot
        files = dict(self.files)
        for data in leaves:
            # 1. Form.
            leaf = parse_leaf(data)
            # 2. Order.
            if leaf.kind is not Kind.ROOT and leaf.version <= version:
                _refuse(f"version {leaf.version} comes after version {version}")
            match leaf.kind:
                case Kind.FILE:
                    files[leaf.path] = leaf.sha256
                case Kind.VERSION:
                    version, snapshot = leaf.version, leaf.sha256
            tree = tree.append(leaf_hash(data))
        return Replay(tree, version, snapshot, MappingProxyType(files))

    def check(self, head: Head, version: int, snapshot: bytes, files: Mapping[str, str]) -> None:
        """Passes where a directory is the one that the log says.

        1. The leaves are those under the signed head.
        2. The last version among them is this one, with this snapshot.
        3. Every file of the directory is as the log has it, and none is missing.

        Raises:
            SimpulError: DIRECTORY_UNLOGGED.
        """
        # 1. Tree.
        if (self.tree.size, self.tree.root()) != (head.size, head.root):
            _refuse("its leaves are others than its signed head says")
        # 2. Version.
        if (self.version, self.snapshot) != (version, snapshot.hex()):
            _refuse(f"version {version} with this snapshot isn't in it")
        # 3. Files.
        for path in sorted(self.files.keys() | files.keys()):
            if self.files.get(path) != files.get(path):
                _refuse(f"{path[:200]} is another there")


def _refuse(what: str) -> NoReturn:
    raise _refused(what)


def _refused(what: str) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_UNLOGGED,
        f"this directory isn't the one in the registry's public log: {what}; the last good copy "
        "stays in use; compare with the registry's operator by voice",
    )
