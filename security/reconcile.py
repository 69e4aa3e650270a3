"""What two nodes' records of each other's parcels differ in, found from digests of sets of hashes.

A set of header hashes is kept as its members in ascending order, one after the other; what begins
with the same hex digits stands together, so each prefix names a set too:

    digest of a set of n hashes   n, and H("simpul/v1/parcel-set", the hashes in ascending order)
    digest of hours               H("simpul/v1/parcel-hours", for each hour that has parcels, in
                                  order: u64(hour), then of those acknowledged and of those not
                                  u64(n), hash)

Whoever asks has its own set and goes down where the other's differs: a set of up to `LEAF_HASHES`
is answered with its hashes, a larger one with the digests of its sixteen parts. So records that
agree cost one digest, and each difference a path.

`Comparison` is the asking side, `look` the answering one; both pure. What is said by the other side
is judged: it may lie about its set, but not make this side ask for ever. A set is no proof of
anything: headers and seals are.

Source: docs/spec, "Reconciliation".
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Final, NoReturn

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, PARCEL_HOURS, PARCEL_SET, digest

HOUR_MS: Final = 3_600_000
# A set of so many hashes, or fewer, is said as it is.
LEAF_HASHES: Final = 64
DIGITS: Final = "0123456789abcdef"
MAX_PREFIX_DIGITS: Final = 2 * HASH_BYTES
# What one comparison asks at most. A peer with nothing in common ends here, and so does one that
# says of every part that it differs.
MAX_QUESTIONS: Final = 20_000
# Differences that one comparison finds at most; past it there are "more".
MAX_FOUND: Final = 100_000

_BYTE_VALUES: Final = 256

# Link, direction and number: what a parcel is known by.
_Key = tuple[bytes, bool, int]


@dataclass(frozen=True, slots=True)
class SetDigest:
    """How many hashes a set has, and their digest; of an empty set the digest is empty too."""

    count: int
    hash: bytes


NOTHING: Final = SetDigest(0, b"")


@dataclass(frozen=True, slots=True)
class Parts:
    """A large set, as the digests of its sixteen parts in the order of their next digit."""

    digests: tuple[SetDigest, ...]


@dataclass(frozen=True, slots=True)
class Hashes:
    """A small set, as it is."""

    hashes: tuple[bytes, ...]


Said = Parts | Hashes


class HashSet:
    """A set of hashes, 32 bytes for each and no more, because there may be millions."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes = b"") -> None:
        """`packed`: the hashes in ascending order, one after the other. `Gathering` makes it."""
        self._packed = packed

    @classmethod
    def of(cls, hashes: Iterable[bytes]) -> "HashSet":
        """A set of hashes in any order; raises SimpulError as `Gathering.add` does."""
        gathering = Gathering()
        for item in hashes:
            gathering.add(item)
        return gathering.done()

    def __len__(self) -> int:
        return len(self._packed) // HASH_BYTES

    def __getitem__(self, index: int) -> bytes:
        return self._packed[index * HASH_BYTES : (index + 1) * HASH_BYTES]

    def under(self, prefix: str) -> tuple[bytes, ...]:
        """The hashes that begin with these hex digits, in ascending order."""
        return tuple([self[index] for index in self._range(prefix)])

    def count(self, prefix: str) -> int:
        """How many begin with these hex digits."""
        return len(self._range(prefix))

    def digest(self, prefix: str = "") -> SetDigest:
        """The digest of those that begin with these hex digits."""
        found = self._range(prefix)
        if len(found) == 0:
            return NOTHING
        packed = self._packed[found.start * HASH_BYTES : found.stop * HASH_BYTES]
        return SetDigest(len(found), digest(PARCEL_SET, packed))

    def _range(self, prefix: str) -> range:
        low = bytes.fromhex(prefix.ljust(MAX_PREFIX_DIGITS, "0"))
        high = bytes.fromhex(prefix.ljust(MAX_PREFIX_DIGITS, "f"))
        first = bisect_left(self, low)
        return range(first, bisect_right(self, high, first))


class Gathering:
    """Takes hashes in any order, and sorts them a part at a time."""

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(_BYTE_VALUES)]

    def add(self, item: bytes) -> None:
        """Takes a hash; the same one again changes nothing.

        Raises:
            SimpulError: JOURNAL_CORRUPT, where it hasn't 32 bytes.
        """
        if len(item) != HASH_BYTES:
            raise SimpulError(
                Code.JOURNAL_CORRUPT, "a recorded hash hasn't 32 bytes: run simpul journal verify"
            )
        self._parts[item[0]] += item

    def done(self) -> HashSet:
        """The set of all that was taken."""
        return HashSet(b"".join([b"".join(sorted(_cut(part))) for part in self._parts]))


@dataclass(frozen=True, slots=True)
class HourDigest:
    """What one side has of one hour since the epoch, acknowledged and unacknowledged apart."""

    hour: int
    acknowledged: SetDigest
    unacknowledged: SetDigest

    def of(self, *, acknowledged: bool) -> SetDigest:
        """The one or the other."""
        return self.acknowledged if acknowledged else self.unacknowledged


def hours_digest(hours: Iterable[HourDigest]) -> bytes:
    """The digest of hours that have parcels, given in ascending order."""
    parts: list[bytes] = []
    for item in hours:
        parts.append(_u64(item.hour))
        for each in (item.acknowledged, item.unacknowledged):
            parts += (_u64(each.count), each.hash)
    return digest(PARCEL_HOURS, *parts)


def check_prefix(prefix: str) -> None:
    """Checks that a prefix is one: at most 64 hex digits in lower case.

    Raises:
        SimpulError: REQUEST_MALFORMED.
    """
    if len(prefix) > MAX_PREFIX_DIGITS or any(digit not in DIGITS for digit in prefix):
        raise SimpulError(
            Code.REQUEST_MALFORMED, "a prefix of hashes has at most 64 hex digits in lower case"
        )


def look(hashes: HashSet, prefix: str) -> Said:
    """What a side says of its hashes that begin with `prefix`."""
    if hashes.count(prefix) <= LEAF_HASHES:
        return Hashes(hashes.under(prefix))
    return Parts(tuple(hashes.digest(prefix + digit) for digit in DIGITS))


class Comparison:
    """Finds what one set has and the other hasn't, by asking about the other's parts.

    `questions` says what to ask next, `take` takes the answers. At the end `only_here` and
    `only_there` are the symmetric difference, in ascending order; where `more` is set, a part of
    it.
    """

    def __init__(
        self,
        mine: HashSet,
        theirs: SetDigest,
        *,
        max_questions: int = MAX_QUESTIONS,
        max_found: int = MAX_FOUND,
    ) -> None:
        self._mine = mine
        self._left = max_questions
        self._max_found = max_found
        self._here: list[bytes] = []
        self._there: list[bytes] = []
        self._open: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self.more = False
        self._judge("", theirs)

    @property
    def only_here(self) -> tuple[bytes, ...]:
        """What this side has and the other hasn't."""
        return tuple(sorted(self._here))

    @property
    def only_there(self) -> tuple[bytes, ...]:
        """What the other side has and this one hasn't."""
        return tuple(sorted(self._there))

    @property
    def done(self) -> bool:
        """Nothing is left to ask."""
        return len(self._open) == 0 and len(self._asked) == 0

    def questions(self, limit: int) -> tuple[str, ...]:
        """The next prefixes to ask about, at most `limit`; each wants one answer."""
        if self._left <= 0 or len(self._here) + len(self._there) >= self._max_found:
            self.more = self.more or len(self._open) > 0
            self._open.clear()
            return ()
        asked = tuple(self._open)[: min(limit, self._left)]
        for prefix in asked:
            self._asked[prefix] = self._open.pop(prefix)
        self._left -= len(asked)
        return asked

    def take(self, prefix: str, said: Said) -> None:
        """Takes the other side's answer about a prefix.

        Raises:
            SimpulError: REQUEST_MALFORMED, where it isn't an answer to what was asked, or doesn't
                fit the digest that was said of it before.
        """
        count = self._asked.pop(prefix, None)
        if count is None:
            _refuse("it answers what was not asked")
        if isinstance(said, Hashes):
            self._take_hashes(prefix, said.hashes, count)
            return
        if len(said.digests) != len(DIGITS) or len(prefix) >= MAX_PREFIX_DIGITS:
            _refuse("it has not sixteen parts")
        if sum(part.count for part in said.digests) != count:
            _refuse("its parts are not as many as it said")
        for digit, part in zip(DIGITS, said.digests, strict=True):
            self._judge(prefix + digit, part)

    def _take_hashes(self, prefix: str, hashes: Sequence[bytes], count: int) -> None:
        if len(hashes) != count:
            _refuse("its hashes are not as many as it said")
        if any(not item.hex().startswith(prefix) for item in hashes):
            _refuse("a hash has another prefix")
        if any(before >= after for before, after in pairwise(hashes)):
            _refuse("its hashes are not in ascending order")
        mine = self._mine.under(prefix)
        self._keep(self._here, sorted(set(mine) - set(hashes)))
        self._keep(self._there, sorted(set(hashes) - set(mine)))

    def _keep(self, found: list[bytes], new: Sequence[bytes]) -> None:
        room = self._max_found - len(self._here) - len(self._there)
        found += new[:room]
        self.more = self.more or len(new) > room

    def _judge(self, prefix: str, theirs: SetDigest) -> None:
        if (theirs.count == 0) != (theirs.hash == b""):
            _refuse("a digest and its count contradict each other")
        if theirs.count == 0:
            self._keep(self._here, self._mine.under(prefix))
        elif theirs != self._mine.digest(prefix):
            self._open[prefix] = theirs.count


class Finding(StrEnum):
    """How two records differ in one parcel."""

    MISSING_HERE = "missing here"
    MISSING_THERE = "missing there"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class ParcelPlace:
    """A parcel as one side has it. `sent` is seen from the side that compares, whoever has it."""

    header_hash: bytes
    link_id: bytes
    sent: bool
    number: int
    sealed_at_ms: int
    acknowledged: bool
    # The newest that whoever has it has on its link in that direction.
    last_number: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One parcel that only one side has, or of which each side has another.

    It's `serious` where a record was lost or changed.
    """

    finding: Finding
    here: ParcelPlace | None
    there: ParcelPlace | None
    serious: bool

    @property
    def place(self) -> ParcelPlace:
        """The parcel, as the side that has it describes it; this side where both do."""
        found = self.here or self.there
        if found is None:
            raise SimpulError(Code.INTERNAL, "a difference between nothing and nothing")
        return found


def judge(
    here: Iterable[ParcelPlace], there: Iterable[ParcelPlace]
) -> tuple[tuple[Difference, ...], int]:
    """What differs, by time; and how many parcels differ only in being acknowledged.

    `here` is what was found on this side only, `there` on the other only. A parcel that is in both
    was under another heading on each side: an acknowledgement was lost with its link.

    Two differences are what a cut link leaves, and no loss. What its sender has and never heard of
    again: it was under way. And the last that its receiver has of a link and direction, which its
    sender hasn't: a sender may send while it records, and was killed before that was durable.
    """
    ours = {item.header_hash: item for item in here}
    theirs = {item.header_hash: item for item in there}
    both = ours.keys() & theirs.keys()
    only_here = {_key(item): item for key, item in ours.items() if key not in both}
    only_there = {_key(item): item for key, item in theirs.items() if key not in both}
    found: list[Difference] = []
    for key, item in only_here.items():
        other = only_there.get(key)
        if other is None:
            lost = _is_lost(item, only_here, is_sender=item.sent)
            found.append(Difference(Finding.MISSING_THERE, item, None, lost))
        else:
            found.append(Difference(Finding.DIFFERENT, item, other, serious=True))
    for key, item in only_there.items():
        if key not in only_here:
            lost = _is_lost(item, only_there, is_sender=not item.sent)
            found.append(Difference(Finding.MISSING_HERE, None, item, lost))
    found.sort(key=lambda item: (item.place.sealed_at_ms, item.place.link_id, item.place.number))
    return tuple(found), len(both)


def _is_lost(item: ParcelPlace, missing: Container[_Key], *, is_sender: bool) -> bool:
    """Whether the side that hasn't it must have had it; `is_sender` is the side that has it."""
    if is_sender:
        return item.acknowledged
    return (item.link_id, item.sent, item.last_number) not in missing


def _key(item: ParcelPlace) -> _Key:
    return item.link_id, item.sent, item.number


def _cut(packed: bytearray) -> set[bytes]:
    return {
        bytes(packed[place : place + HASH_BYTES]) for place in range(0, len(packed), HASH_BYTES)
    }


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.REQUEST_MALFORMED,
        f"the other node's answer is wrong: {what}; ask its operators which version it runs",
    )
