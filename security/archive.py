r"""Archives: a range of a slot's leaves, taken out of its journal, that proves itself.

    archive   = "simpul archive 1\n" || frame...
    frame     = kind (1 byte) || length (4 bytes, big-endian) || content
    1 head        ArchiveHead, once, first
    5 directories ArchiveDirectories, at most once, behind the head
    2 parcel      ArchiveParcel, one for each leaf, in the order of the tree
    3 checkpoint  ArchiveCheckpoint: behind the leaf that makes its size; the last covers the end
    4 end         32 bytes: the digest, last
    digest    = H("simpul/v1/archive", SHA-256 of everything before the end's frame)

This prints and reads the frames and no more; `archive_check` judges what they say. It's compressed
with zstd where it lies, which is none of its own: the digest is of what is compressed.

No payload, private block, salt or key is ever in it: what erases a call in the journal leaves
nothing in an archive to erase.

Source: docs/spec, "Archives"; simpul/v1/archive.proto.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from google.protobuf.message import Message

from security.errors import Code, SimpulError
from security.evidence_format import ShownDirectory
from security.hashing import ARCHIVE, HASH_BYTES, digest
from security.merkle import MAX_SIZE, Frontier
from security.strict import parse
from simpul.v1 import archive_pb2, evidence_pb2

MAGIC: Final = b"simpul archive 1\n"
VERSION: Final = 1
# A parcel's header, seal and entries are far below it, and so are a note and its stamps.
MAX_FRAME_BYTES: Final = 2 * 1024 * 1024

_HEAD_BYTES: Final = 5


class Frame(IntEnum):
    """The kinds of frames; see the module's text."""

    HEAD = 1
    PARCEL = 2
    CHECKPOINT = 3
    END = 4
    DIRECTORIES = 5


@dataclass(frozen=True, slots=True)
class Head:
    """Which leaves of which log, and what came before them.

    `frontier` is the tree before the first; `previous` the digest of the archive before this one.
    """

    origin: str
    slot: int
    frontier: Frontier
    end: int
    previous: bytes | None

    @property
    def first(self) -> int:
        """The index of the first leaf here."""
        return self.frontier.size

    @property
    def count(self) -> int:
        """The number of leaves here."""
        return self.end - self.frontier.size


@dataclass(frozen=True, slots=True)
class Directories:
    """Who the log's node and its witnesses were, as the registry said it."""

    roots: tuple[bytes, ...]
    files: tuple[bytes, ...]
    directories: tuple[ShownDirectory, ...]


@dataclass(frozen=True, slots=True)
class Parcel:
    """A leaf: the parcel and how this node had it."""

    sent: bool
    dialled: bool
    peer: str
    recorded_at_ms: int
    header: bytes
    seal: bytes
    entries: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stamp:
    """An authority's answer (DER), and the time that it says."""

    authority: str
    response: bytes
    stamped_at_ms: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed note with its cosignatures and time stamps, as the journal kept them."""

    note: bytes
    signed_at_ms: int
    quorum_at_ms: int | None = None
    timestamps: tuple[Stamp, ...] = ()
    # From the archive's end to this checkpoint's tree, where that is larger.
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class End:
    """The archive's digest, as it states it and as its bytes make it."""

    stated: bytes
    made: bytes


Content = Head | Directories | Parcel | Checkpoint | End


class ArchivePrinter:
    """Prints an archive, a frame at a time. The caller keeps the order."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self.digest = b""

    def head(self, head: Head) -> bytes:
        """The first bytes."""
        message = archive_pb2.ArchiveHead(
            version=VERSION,
            origin=head.origin,
            slot=head.slot,
            frontier=head.frontier.to_bytes(),
            end=head.end,
            previous=head.previous or b"",
        )
        return self._said(MAGIC) + self._frame(Frame.HEAD, _bytes(message))

    def directories(self, shown: Directories) -> bytes:
        """The directories, behind the head."""
        message = archive_pb2.ArchiveDirectories(
            roots=shown.roots,
            files=shown.files,
            directories=[
                evidence_pb2.EvidenceDirectory(
                    snapshot=item.snapshot, root=item.root, timestamps=item.timestamps
                )
                for item in shown.directories
            ],
        )
        return self._frame(Frame.DIRECTORIES, _bytes(message))

    def parcel(self, parcel: Parcel) -> bytes:
        """The next leaf."""
        message = archive_pb2.ArchiveParcel(
            sent=parcel.sent,
            dialled=parcel.dialled,
            peer=parcel.peer,
            recorded_at_ms=parcel.recorded_at_ms,
            header=parcel.header,
            seal=parcel.seal,
            entries=parcel.entries,
        )
        return self._frame(Frame.PARCEL, _bytes(message))

    def checkpoint(self, checkpoint: Checkpoint) -> bytes:
        """A checkpoint, where its size is reached."""
        message = archive_pb2.ArchiveCheckpoint(
            note=checkpoint.note,
            signed_at_ms=checkpoint.signed_at_ms,
            quorum_at_ms=checkpoint.quorum_at_ms,
            timestamps=[
                archive_pb2.ArchiveTimestamp(
                    authority=stamp.authority,
                    response=stamp.response,
                    stamped_at_ms=stamp.stamped_at_ms,
                )
                for stamp in checkpoint.timestamps
            ],
            path=checkpoint.path,
        )
        return self._frame(Frame.CHECKPOINT, _bytes(message))

    def end(self) -> bytes:
        """The last bytes; the digest is known from then on."""
        self.digest = digest(ARCHIVE, self._state.digest())
        return _frame(Frame.END, self.digest)

    def _frame(self, kind: Frame, content: bytes) -> bytes:
        return self._said(_frame(kind, content))

    def _said(self, data: bytes) -> bytes:
        self._state.update(data)
        return data


def read_archive(chunks: Iterable[bytes]) -> Iterator[Content]:
    """Read an archive from its bytes, in pieces of any size, in the memory of one frame.

    What is read is well-formed and in order; nothing that it says is judged.

    Raises:
        SimpulError: ARCHIVE_INVALID, for everything that no printer of ours prints.
    """
    reader = _Reader(chunks)
    if reader.magic() != MAGIC:
        raise malformed("it doesn't begin as one, or is of a later version")
    kind, content = reader.frame()
    if kind is not Frame.HEAD:
        raise malformed("its first frame isn't a head")
    yield parse_head(content)
    kind, content = reader.frame()
    if kind is Frame.DIRECTORIES:
        yield parse_directories(content)
        kind, content = reader.frame()
    while True:
        if kind is Frame.PARCEL:
            yield parse_parcel(content)
        elif kind is Frame.CHECKPOINT:
            yield parse_checkpoint_frame(content)
        elif kind is Frame.END:
            break
        else:
            raise malformed("it has a second head, or directories that don't stand behind it")
        kind, content = reader.frame()
    if len(content) != HASH_BYTES:
        raise malformed(f"its digest hasn't {HASH_BYTES} bytes")
    if not reader.is_at_end():
        raise malformed("bytes follow its end")
    yield End(content, reader.digest())


def parse_head(content: bytes) -> Head:
    """Read a head, strictly; raises SimpulError ARCHIVE_INVALID."""
    message = parse(archive_pb2.ArchiveHead, content, MAX_FRAME_BYTES, code=Code.ARCHIVE_INVALID)
    if message.version != VERSION:
        raise malformed(f"it is of version {message.version}, and this program reads {VERSION}")
    if message.origin == "" or not message.HasField("slot"):
        raise malformed("its head names no log, or no slot")
    try:
        frontier = Frontier.from_bytes(message.frontier)
    except SimpulError as error:
        raise malformed("the tree before its first leaf can't be read") from error
    if not frontier.size < message.end <= MAX_SIZE:
        raise malformed("it ends before it begins")
    # A log's first archive has none before it. A later one may have none either: where the leaves
    # before it were dropped without having been archived.
    if message.previous and (frontier.size == 0 or len(message.previous) != HASH_BYTES):
        raise malformed("what it says of the archive before it can't be")
    return Head(message.origin, message.slot, frontier, message.end, message.previous or None)


def parse_directories(content: bytes) -> Directories:
    """Read the directories' frame, strictly; raises SimpulError ARCHIVE_INVALID."""
    message = parse(
        archive_pb2.ArchiveDirectories, content, MAX_FRAME_BYTES, code=Code.ARCHIVE_INVALID
    )
    if not message.directories or any(
        len(item.snapshot) != HASH_BYTES for item in message.directories
    ):
        raise malformed("it shows no directory, or one without its hash")
    return Directories(
        tuple(message.roots),
        tuple(message.files),
        tuple(
            ShownDirectory(item.snapshot, item.root, tuple(item.timestamps))
            for item in message.directories
        ),
    )


def parse_parcel(content: bytes) -> Parcel:
    """Read a parcel, strictly; raises SimpulError ARCHIVE_INVALID."""
    message = parse(archive_pb2.ArchiveParcel, content, MAX_FRAME_BYTES, code=Code.ARCHIVE_INVALID)
    if message.recorded_at_ms <= 0 or not message.header or not message.seal:
        raise malformed("a parcel has no time, no header or no seal")
    return Parcel(
        message.sent,
        message.dialled,
        message.peer,
        message.recorded_at_ms,
        message.header,
        message.seal,
        tuple(message.entries),
    )


def parse_checkpoint_frame(content: bytes) -> Checkpoint:
    """Read a checkpoint's frame, strictly; raises SimpulError ARCHIVE_INVALID."""
    message = parse(
        archive_pb2.ArchiveCheckpoint, content, MAX_FRAME_BYTES, code=Code.ARCHIVE_INVALID
    )
    if not message.note or message.signed_at_ms <= 0:
        raise malformed("a checkpoint has no note, or no time")
    return Checkpoint(
        message.note,
        message.signed_at_ms,
        message.quorum_at_ms if message.HasField("quorum_at_ms") else None,
        tuple(
            Stamp(item.authority, item.response, item.stamped_at_ms) for item in message.timestamps
        ),
        tuple(message.path),
    )


def malformed(what: str) -> SimpulError:
    """The error of an archive that isn't one."""
    return SimpulError(
        Code.ARCHIVE_INVALID, f"this is no archive as it was written: {what}; get it again"
    )


class _Reader:
    """Takes frames out of pieces of any size, and hashes all but the end's."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = bytearray()
        self._at = 0
        self._state = hashlib.sha256()

    def magic(self) -> bytes:
        """What an archive begins with."""
        data = self._take(len(MAGIC))
        self._state.update(data)
        return data

    def frame(self) -> tuple[Frame, bytes]:
        """The next frame."""
        head = self._take(_HEAD_BYTES)
        length = int.from_bytes(head[1:], "big")
        if length > MAX_FRAME_BYTES:
            raise malformed(f"a frame states {length} bytes, and may have {MAX_FRAME_BYTES}")
        try:
            kind = Frame(head[0])
        except ValueError:
            raise malformed(f"a frame is of the unknown kind {head[0]}") from None
        content = self._take(length)
        if kind is not Frame.END:
            self._state.update(head)
            self._state.update(content)
        return kind, content

    def digest(self) -> bytes:
        """The digest of all that was taken."""
        return digest(ARCHIVE, self._state.digest())

    def is_at_end(self) -> bool:
        """Whether nothing follows."""
        return self._at == len(self._left) and not any(self._chunks)

    def _take(self, count: int) -> bytes:
        while len(self._left) - self._at < count:
            piece = next(self._chunks, None)
            if piece is None:
                raise malformed("it is cut off")
            del self._left[: self._at]
            self._at = 0
            self._left += piece
        data = bytes(self._left[self._at : self._at + count])
        self._at += count
        return data


def _frame(kind: Frame, content: bytes) -> bytes:
    return bytes((kind,)) + len(content).to_bytes(_HEAD_BYTES - 1, "big") + content


def _bytes(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)
