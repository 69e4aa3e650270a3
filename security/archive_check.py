"""Judges an archive from its bytes alone, leaf by leaf, in constant memory.

    1 format       magic, frames in order, each as it is printed (`archive.read_archive`)
    2 head         what the caller expects: the log, the first leaf, the archive before it
    3 directories  they lead from the root metadata, where the caller brings it
    4 parcel       its header parses; its entries parse, and count and root are the header's
    5 chain        per link end and direction: numbers without gaps, each naming the hash before it
    6 tree         as many leaves as the head says, on the tree that the head says was before
    7 checkpoint   each is of this log, and its root is the tree's; the last covers the end
    8 signature    each checkpoint is the log key's, where the caller brings it or the root
    9 cosignature  the last has the witnesses' quorum, where the caller brings them or the root
    10 seal        each parcel's, where the caller brings a check of it
    11 digest      the one stated is the one that the bytes make

The first that fails is raised, with its number and name. Memory: one frame, the tree's frontier,
and the last parcel of each link.

What it can't show by itself: that nobody made all of it anew. The signatures of steps 8 and 9 do.

Source: docs/spec, "Archives: verification".
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum

from security import merkle
from security.archive import (
    Checkpoint,
    Content,
    Directories,
    End,
    Head,
    Parcel,
    read_archive,
)
from security.archive_trust import RootedTrust, verify_directories
from security.checkpoint import SignedCheckpoint, log_key, parse_checkpoint
from security.cosignature import quorum_time_ms, verified_cosignatures
from security.entry import parse_entry
from security.errors import Code, SimpulError
from security.hashing import JOURNAL_LEAF, digest
from security.keys import PublicKey
from security.merkle import Frontier, verify_consistency
from security.note import NoteKey, verify_note
from security.parcel import HeaderFields, header_hash, parse_header

# Given a header, its seal and its hash: raises SimpulError where the seal doesn't hold.
SealCheck = Callable[[HeaderFields, bytes, bytes], None]


class Step(IntEnum):
    """The checks' numbers; see the module's text."""

    FORMAT = 1
    HEAD = 2
    DIRECTORIES = 3
    PARCEL = 4
    CHAIN = 5
    TREE = 6
    CHECKPOINT = 7
    SIGNATURE = 8
    COSIGNATURE = 9
    SEAL = 10
    DIGEST = 11


class ArchiveError(SimpulError):
    """What failed, and at which step."""

    def __init__(self, step: Step, what: str) -> None:
        name = step.name.lower()
        super().__init__(
            Code.ARCHIVE_INVALID,
            f"step {step.value} {name}: {what}: keep the file, and get the archive again",
            step=str(step.value),
            name=name,
        )
        self.step = step
        self.what = what


@dataclass(frozen=True, slots=True)
class Trust:
    """What the caller judges by; what is None or empty is not judged.

    `keys` are all that the log's node ever had. With `root`, the federation's root metadata, the
    archive's own directories say whose keys and witnesses count, and the others aren't looked at.
    """

    keys: tuple[PublicKey, ...] = ()
    witnesses: tuple[NoteKey, ...] = ()
    quorum: int = 0
    verify_seal: SealCheck | None = None
    root: bytes | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come next in a chain of archives: the log, its tree so far, and the last digest."""

    origin: str
    frontier: Frontier
    previous: bytes | None


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """A whole archive, judged. `tree` is the one behind its last leaf."""

    head: Head
    tree: Frontier
    parcels: int
    entries: int
    checkpoints: int
    first_at_ms: int
    last_at_ms: int
    # Of the checkpoint that covers its end: its size, and by when a quorum had cosigned it.
    covered_by: int
    quorum_at_ms: int | None
    digest: bytes
    signatures_judged: bool
    cosignatures_judged: bool
    seals_judged: bool

    @property
    def next(self) -> Expected:
        """What the archive that follows must say."""
        return Expected(self.head.origin, self.tree, self.digest)


def check_archive(
    chunks: Iterable[bytes],
    trust: Trust | None = None,
    expected: Expected | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ArchiveReport:
    """Judge an archive.

    Args:
        chunks: Its bytes, not compressed, in pieces.
        trust: Keys to judge signatures by.
        expected: What the archive before it leads to.
        progress: Told how many leaves are judged, of how many.

    Raises:
        ArchiveError: the first step that failed.
    """
    check = ArchiveCheck(trust or Trust(), expected)
    for number, content in enumerate(_read(chunks)):
        check.add(content)
        if progress is not None and check.head is not None and number % 256 == 0:
            progress(check.parcels, check.head.count)
    return check.report()


class ArchiveCheck:
    """Takes an archive's contents one by one, and judges each."""

    def __init__(self, trust: Trust, expected: Expected | None = None) -> None:
        self._trust = trust
        self._expected = expected
        self._tree = Frontier()
        self._links: dict[tuple[bytes, bool, bool], tuple[int, bytes]] = {}
        self._covering: tuple[SignedCheckpoint, Checkpoint] | None = None
        self._end: End | None = None
        self._rooted: RootedTrust | None = None
        self._entries = self._checkpoints = 0
        self._times = (0, 0)
        self.head: Head | None = None
        self.parcels = 0

    def add(self, content: Content) -> None:
        """Judge what comes next; raises ArchiveError."""
        match content:
            case Head():
                self._take_head(content)
            case Directories():
                self._take_directories(content)
            case Parcel():
                self._take_parcel(content)
            case Checkpoint():
                self._take_checkpoint(content)
            case End():
                self._take_end(content)

    def report(self) -> ArchiveReport:
        """What was found, once all of it was taken; raises ArchiveError."""
        if self.head is None or self._covering is None or self._end is None:
            raise ArchiveError(Step.FORMAT, "it isn't whole")
        signed, covering = self._covering
        return ArchiveReport(
            head=self.head,
            tree=self._tree,
            parcels=self.parcels,
            entries=self._entries,
            checkpoints=self._checkpoints,
            first_at_ms=self._times[0],
            last_at_ms=self._times[1],
            covered_by=signed.checkpoint.size,
            quorum_at_ms=self._quorum(signed, covering),
            digest=self._end.made,
            signatures_judged=self._rooted is not None or len(self._trust.keys) > 0,
            cosignatures_judged=self._rooted is not None or self._trust.quorum > 0,
            seals_judged=self._trust.verify_seal is not None,
        )

    def _take_head(self, head: Head) -> None:
        """Step 2."""
        wanted = self._expected
        if wanted is not None:
            if head.origin != wanted.origin:
                raise ArchiveError(Step.HEAD, f"it's of {head.origin}, and not of {wanted.origin}")
            if head.frontier != wanted.frontier:
                raise ArchiveError(
                    Step.HEAD,
                    f"it begins at leaf {head.first}, on another tree than the archive before it "
                    f"ends with, of {wanted.frontier.size} leaves",
                )
            if head.previous != wanted.previous:
                raise ArchiveError(Step.HEAD, "it names another archive than the one before it")
        self.head, self._tree = head, head.frontier

    def _take_directories(self, shown: Directories) -> None:
        """Step 3."""
        if self._trust.root is not None:
            with _as(Step.DIRECTORIES, "what it shows of directories"):
                self._rooted = verify_directories(self._trust.root, shown)

    def _take_parcel(self, parcel: Parcel) -> None:
        """Steps 4, 5, 10, and a leaf for 6."""
        head = self._needed_head()
        if self._trust.root is not None and self._rooted is None:
            raise ArchiveError(
                Step.DIRECTORIES,
                "it shows no directory, so nothing leads from the root to its keys",
            )
        where = f"leaf {self._tree.size}"
        if self._tree.size >= head.end:
            raise ArchiveError(Step.TREE, f"{where}: the head says that there are {head.count}")
        with _as(Step.PARCEL, where):
            fields = parse_header(parcel.header)
            for entry in parcel.entries:
                parse_entry(entry)
        if len(parcel.entries) != fields.entry_count:
            raise ArchiveError(
                Step.PARCEL,
                f"{where}: it has {len(parcel.entries)} entries, and its header says "
                f"{fields.entry_count}",
            )
        root = merkle.root([merkle.leaf_hash(entry) for entry in parcel.entries])
        if root != fields.entries_root:
            raise ArchiveError(Step.PARCEL, f"{where}: its entries' root isn't its header's")
        hashed = header_hash(parcel.header)
        self._check_chain(parcel, fields, hashed, where)
        if self._trust.verify_seal is not None:
            with _as(Step.SEAL, where):
                self._trust.verify_seal(fields, parcel.seal, hashed)
        self._tree = self._tree.append(leaf_of(parcel))
        self.parcels += 1
        self._entries += len(parcel.entries)
        first = parcel.recorded_at_ms if self.parcels == 1 else self._times[0]
        self._times = (first, max(self._times[1], parcel.recorded_at_ms))

    def _check_chain(self, parcel: Parcel, fields: HeaderFields, hashed: bytes, where: str) -> None:
        """Step 5. A link that began before this archive is followed from here on."""
        key = (fields.link_id, parcel.dialled, parcel.sent)
        before = self._links.get(key)
        self._links[key] = (fields.number, hashed)
        if fields.number == 0 and fields.previous != fields.link_id:
            raise ArchiveError(Step.CHAIN, f"{where}: a link's first parcel doesn't name the link")
        if before is None:
            return
        number, previous = before
        if fields.number != number + 1:
            raise ArchiveError(
                Step.CHAIN, f"{where}: parcel {fields.number} follows parcel {number} of its link"
            )
        if fields.previous != previous:
            raise ArchiveError(
                Step.CHAIN, f"{where}: it names another header than the one before it on its link"
            )

    def _take_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Steps 7, 8 and 9."""
        head = self._needed_head()
        with _as(Step.CHECKPOINT, f"the checkpoint behind leaf {self._tree.size - 1}"):
            signed = parse_checkpoint(checkpoint.note)
        said = signed.checkpoint
        where = f"the checkpoint of size {said.size}"
        if said.origin != head.origin:
            raise ArchiveError(Step.CHECKPOINT, f"{where}: it's of {said.origin}")
        if self._covering is not None and self._covering[0].checkpoint.size >= said.size:
            raise ArchiveError(Step.CHECKPOINT, f"{where}: it comes out of order")
        if said.size > self._tree.size and self._tree.size != head.end:
            raise ArchiveError(Step.CHECKPOINT, f"{where}: it stands before its leaves")
        with _as(Step.CHECKPOINT, where):
            verify_consistency(
                self._tree.size, self._tree.root(), said.size, said.root, checkpoint.path
            )
        self._check_signatures(signed, where)
        self._covering = (signed, checkpoint)
        self._checkpoints += 1

    def _check_signatures(self, signed: SignedCheckpoint, where: str) -> None:
        if self._rooted is not None:
            with _as(Step.SIGNATURE, where):
                self._rooted.check_signature(signed)
            return
        if len(self._trust.keys) > 0:
            keys = [log_key(signed.checkpoint.origin, key) for key in self._trust.keys]
            with _as(Step.SIGNATURE, where):
                verify_note(signed.note, keys)
        with _as(Step.COSIGNATURE, where):
            verified_cosignatures(signed.note, self._trust.witnesses)

    def _quorum(self, signed: SignedCheckpoint, covering: Checkpoint) -> int | None:
        """Step 9: by when the last checkpoint had its quorum; as stated where it isn't judged."""
        if self._rooted is not None:
            with _as(Step.COSIGNATURE, f"the checkpoint of size {signed.checkpoint.size}"):
                return self._rooted.quorum_ms(signed)
        if self._trust.quorum == 0:
            return covering.quorum_at_ms
        with _as(Step.COSIGNATURE, f"the checkpoint of size {signed.checkpoint.size}"):
            cosigned = verified_cosignatures(signed.note, self._trust.witnesses)
            return quorum_time_ms(cosigned, self._trust.quorum)

    def _take_end(self, end: End) -> None:
        """What is left of 6 and 7; and 11."""
        head = self._needed_head()
        if self._tree.size != head.end:
            raise ArchiveError(
                Step.TREE, f"it has {self.parcels} leaves, and its head says {head.count}"
            )
        if self._covering is None or self._covering[0].checkpoint.size < head.end:
            raise ArchiveError(Step.CHECKPOINT, "no checkpoint in it covers its last leaf")
        if end.stated != end.made:
            raise ArchiveError(Step.DIGEST, "its digest isn't the one that it states")
        self._end = end

    def _needed_head(self) -> Head:
        if self.head is None:
            raise ArchiveError(Step.FORMAT, "it has no head")
        return self.head


def leaf_of(parcel: Parcel) -> bytes:
    """Return the hash of a parcel's leaf."""
    return merkle.leaf_hash(digest(JOURNAL_LEAF, parcel.header, parcel.seal))


def inclusion_path(head: Head, leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """Return the path from leaf `index` to the root behind the last leaf, nearest first.

    Args:
        head: The archive's head.
        leaves: The hashes of its leaves.
        index: In the log, not in the archive.

    Raises:
        SimpulError: PROOF_INVALID if the archive has no such leaf.
    """
    if len(leaves) != head.count or not head.first <= index < head.end:
        raise SimpulError(
            Code.PROOF_INVALID, f"the archive has no leaf {index}; look in the one that has it"
        )
    before = _before(head.frontier)
    path: list[bytes] = []
    low, high = 0, head.end
    while high - low > 1:
        middle = low + (1 << ((high - low - 1).bit_length() - 1))
        if index < middle:
            path.append(_subtree(before, head.first, leaves, middle, high))
            high = middle
        else:
            path.append(_subtree(before, head.first, leaves, low, middle))
            low = middle
    return tuple(reversed(path))


def _before(frontier: Frontier) -> dict[tuple[int, int], bytes]:
    """The full subtrees before the first leaf, by where they begin and end."""
    found, low = {}, 0
    for hashed in frontier.subtrees:
        width = 1 << ((frontier.size - low).bit_length() - 1)
        found[low, low + width] = hashed
        low += width
    return found


def _subtree(
    before: dict[tuple[int, int], bytes], first: int, leaves: Sequence[bytes], low: int, high: int
) -> bytes:
    """The root of a node of the tree. One that lies before `first` whole is one of `before`."""
    if low >= first:
        return merkle.root(leaves[low - first : high - first])
    if (low, high) in before:
        return before[low, high]
    middle = low + (1 << ((high - low - 1).bit_length() - 1))
    return merkle.node_hash(
        _subtree(before, first, leaves, low, middle), _subtree(before, first, leaves, middle, high)
    )


def _read(chunks: Iterable[bytes]) -> Iterator[Content]:
    """Step 1."""
    with _as(Step.FORMAT, "the container"):
        yield from read_archive(chunks)


@contextmanager
def _as(step: Step, where: str) -> Iterator[None]:
    """Gives what is refused within the number of a step."""
    try:
        yield
    except ArchiveError:
        raise
    except SimpulError as error:
        raise ArchiveError(step, f"{where}: {error.message}") from error
