"""Reads the public log's new leaves, and checks a directory against all of them.

A node reads every leaf once: from where its last copy stood, or from the first. So it builds the
directory that the log says, and takes no other; and whoever shows it one that isn't in the log has
shown it to nobody else, and is found out here.

Rules: a log that was there once isn't missing later, by the word of the offline keys (the policy's
`logged`); what can't be read is weather, as with the other files; what was read and doesn't fit is
an alarm.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from tuf.api.exceptions import DownloadHTTPError

from node.directory.fetch import LOG_URL, MAX_LEAVES_BYTES, NOT_FOUND, Fetcher
from node.directory.folder import Index
from node.directory.model import LOG
from runtime.files import make_private_folder, write_durably
from security.errors import Code, SimpulError
from security.merkle import Frontier
from security.public_log import Head, Replay
from security.tiles import TILE_WIDTH, Tile, make_bundle, parse_bundle

# 40 years at 300 changes a day.
MAX_LEAVES = 5_000_000


# A restored registry raises its versions by at least a thousand at once (docs/adr, 0018).
LEAP = 1000


class LeafFolder:
    """The leaves that this node has read, by 256, for other nodes that ask it."""

    def __init__(self, path: Path) -> None:
        self._path = path / LOG

    def keep(self, start: int, leaves: Sequence[bytes]) -> None:
        """Writes leaves from number `start` on; those before are there."""
        make_private_folder(self._path)
        at = start
        while at < start + len(leaves):
            index, offset = divmod(at, TILE_WIDTH)
            count = min(TILE_WIDTH - offset, start + len(leaves) - at)
            before = self.read(index)[:offset]
            fresh = leaves[at - start : at - start + count]
            write_durably(self._path / str(index), make_bundle((*before, *fresh)))
            at += count

    def read(self, index: int) -> tuple[bytes, ...]:
        """The leaves of a bundle; as many as there are."""
        try:
            return parse_bundle((self._path / str(index)).read_bytes())
        except (OSError, SimpulError):
            return ()

    def published(self, name: str) -> bytes | None:
        """What stands below `log/` at the registry; None for what isn't here."""
        try:
            tile = Tile.parse(name)
        except SimpulError:
            return None
        leaves = self.read(tile.index) if tile.level is None else ()
        return make_bundle(leaves[: tile.width]) if len(leaves) >= tile.width else None


def replay_of(index: Index) -> Replay:
    """Where a generation's copy stands in the log; raises SimpulError PROOF_INVALID."""
    if not index.log:
        return Replay()
    tree = Frontier.from_bytes(index.log)
    return Replay(tree, index.version, index.hash.hex(), index.targets)


def follow(fetcher: Fetcher, before: Replay, head: Head, keep: LeafFolder | None = None) -> Replay:
    """The log's state at `head`, by the leaves since `before`; those are kept where it is said.

    Raises:
        DownloadError: leaves could not be had.
        SimpulError: DIRECTORY_UNLOGGED.
    """
    start = before.tree.size
    if not start <= head.size <= MAX_LEAVES:
        raise _refused("its log is shorter than it was, or too long")
    found = before
    for leaves in _leaves(fetcher, start, head.size):
        if keep is not None:
            keep.keep(found.tree.size, leaves)
        found = found.after(leaves)
    return found


def check_logged(view_is_logged: bool, head: Head | None) -> None:  # noqa: FBT001  (the policy's)
    """Passes where there is a log, or the policy doesn't say that there is one.

    Raises:
        SimpulError: DIRECTORY_UNLOGGED.
    """
    if view_is_logged and head is None:
        raise _refused("the policy says that there is a log, and the timestamp names none")


def check_replay(found: Replay, head: Head, index: Index) -> None:
    """Passes where the copy is what the log says; raises SimpulError DIRECTORY_UNLOGGED."""
    found.check(head, index.version, index.hash, index.targets)


def _leaves(fetcher: Fetcher, start: int, end: int) -> Iterator[tuple[bytes, ...]]:
    if start == end:
        return
    # What one publication brought, as it is pushed; a node that was away reads by 256.
    whole = _read(fetcher, f"{start}-{end}")
    if whole is not None:
        yield _exactly(whole, end - start)
        return
    for index in range(start // TILE_WIDTH, -(-end // TILE_WIDTH)):
        first = index * TILE_WIDTH
        width = min(TILE_WIDTH, end - first)
        data = _read(fetcher, Tile(None, index, width).path)
        if data is None:
            # It was filled meanwhile, and the shorter copy is gone.
            data = fetcher.download_bytes(LOG_URL + Tile(None, index).path, MAX_LEAVES_BYTES)
        yield _exactly(data, width, at_least=True)[max(0, start - first) :]


def _read(fetcher: Fetcher, name: str) -> bytes | None:
    try:
        return fetcher.download_bytes(LOG_URL + name, MAX_LEAVES_BYTES)
    except DownloadHTTPError as error:
        if error.status_code == NOT_FOUND:
            return None
        raise


def _exactly(data: bytes, count: int, *, at_least: bool = False) -> tuple[bytes, ...]:
    try:
        leaves = parse_bundle(data)
    except SimpulError as error:
        raise _refused("its leaves are cut") from error
    if len(leaves) < count or (len(leaves) > count and not at_least):
        raise _refused("leaves are missing")
    return leaves[:count]


def _refused(what: str) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_UNLOGGED,
        f"this directory isn't the one in the registry's public log: {what}; the last good copy "
        "stays in use; tell the registry's operator",
    )
