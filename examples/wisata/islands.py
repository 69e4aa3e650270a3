"""One regency's register of islands: read, search, and take in new ones. No gRPC here.

Rules it keeps: a register holds islands of its own regency only; an import is applied whole, when
it ends, or not at all; reading never sees half of one.
"""

import csv
import enum
import heapq
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from examples.errors import InvalidArgumentError, NotFoundError, TooMuchError
from examples.geo import Place, distance_km, parse_dms

MAX_IMPORT_ISLANDS: Final = 10_000
MAX_NAME_CHARACTERS: Final = 100
MAX_CODE_CHARACTERS_SHOWN: Final = 64
MAX_MATCHES: Final = 100
DEFAULT_MATCHES: Final = 3

COLUMNS: Final = (
    "code",
    "regency_code",
    "coordinate",
    "is_populated",
    "is_outermost_small",
    "name",
)
_CODE: Final = re.compile(r"([0-9]{2}\.[0-9]{2})\.[0-9]{5}")
_FLAG: Final = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class Island:
    """One island; `code` is unique in the country, `name` is not."""

    code: str
    name: str
    regency_code: str
    place: Place
    is_populated: bool
    is_outermost_small: bool


class Reason(enum.Enum):
    """Why an import left an island out; the names are those of wisata.v1.RejectionReason."""

    BAD_CODE = enum.auto()
    NOT_IN_REGENCY = enum.auto()
    BAD_NAME = enum.auto()
    BAD_POSITION = enum.auto()
    REPEATED = enum.auto()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An island as a caller sent it: nothing in it is checked yet."""

    code: str
    name: str
    regency_code: str
    latitude_longitude: tuple[float, float] | None
    is_populated: bool
    is_outermost_small: bool


@dataclass(frozen=True, slots=True)
class Rejected:
    """An island that an import left out: its number in the stream from 0, and why."""

    index: int
    code: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import did: received = added + replaced + len(rejected)."""

    received: int
    added: int
    replaced: int
    rejected: tuple[Rejected, ...]


class Register:
    """The islands of one regency, by code."""

    def __init__(self, regency_code: str, islands: tuple[Island, ...]) -> None:
        """Hold `islands`, all of which must belong to the regency."""
        self.regency_code = regency_code
        self._islands = {island.code: island for island in sorted(islands, key=lambda i: i.code)}

    def __len__(self) -> int:
        """Return how many islands there are."""
        return len(self._islands)

    def get(self, code: str) -> Island:
        """Return one island; raises InvalidArgumentError, or NotFoundError where there is none."""
        if _CODE.fullmatch(code) is None:
            raise InvalidArgumentError(_not_a_code(code))
        island = self._islands.get(code)
        if island is None:
            raise NotFoundError(f"regency {self.regency_code} has no island {code}")
        return island

    def all(self, *, populated_only: bool = False, limit: int = 0) -> tuple[Island, ...]:
        """Return islands in the order of their codes, at most `limit` (0: all)."""
        chosen = [i for i in self._islands.values() if i.is_populated or not populated_only]
        return tuple(chosen[:limit] if limit else chosen)

    def nearest(self, place: Place, limit: int = 0) -> tuple[tuple[float, Island], ...]:
        """Return (km, island) pairs, nearest first; raises InvalidArgumentError on the limit."""
        return tuple(
            heapq.nsmallest(
                _matches(limit),
                ((distance_km(place, island.place), island) for island in self._islands.values()),
                key=lambda pair: (pair[0], pair[1].code),
            )
        )

    def named(self, part: str, limit: int = 0) -> tuple[Island, ...]:
        """Return islands with `part` in their name; raises InvalidArgumentError if it is empty."""
        wanted = part.strip().casefold()
        if not wanted:
            raise InvalidArgumentError("the name asked for is empty: send at least one letter")
        found = [i for i in self._islands.values() if wanted in i.name.casefold()]
        return tuple(found[: _matches(limit)])

    def replace(self, islands: dict[str, Island]) -> tuple[int, int]:
        """Take in checked islands; returns how many were added and how many replaced."""
        merged = self._islands | islands
        added = len(merged) - len(self._islands)
        self._islands = dict(sorted(merged.items()))
        return added, len(islands) - added


@dataclass(slots=True)
class Import:
    """One import under way: `take` each island, then `finish` once."""

    register: Register
    _received: int = 0
    _accepted: dict[str, Island] = field(default_factory=dict)
    _rejected: list[Rejected] = field(default_factory=list)

    def take(self, candidate: Candidate) -> None:
        """Accept or reject one island; raises TooMuchError past MAX_IMPORT_ISLANDS."""
        if self._received == MAX_IMPORT_ISLANDS:
            raise TooMuchError(f"an import takes {MAX_IMPORT_ISLANDS} islands: split it in several")
        try:
            island = self._checked(candidate)
        except _UnfitError as unfit:
            code = candidate.code[:MAX_CODE_CHARACTERS_SHOWN]
            self._rejected.append(Rejected(self._received, code, unfit.reason, str(unfit)))
        else:
            self._accepted[island.code] = island
        self._received += 1

    def finish(self) -> Summary:
        """Apply what was accepted to the register and return the summary."""
        added, replaced = self.register.replace(self._accepted)
        return Summary(self._received, added, replaced, tuple(self._rejected))

    def _checked(self, candidate: Candidate) -> Island:
        home = self.register.regency_code
        match = _CODE.fullmatch(candidate.code)
        if match is None:
            raise _UnfitError(Reason.BAD_CODE, _not_a_code(candidate.code))
        if candidate.regency_code != home or match[1] != home:
            raise _UnfitError(Reason.NOT_IN_REGENCY, f"only islands of {home} are taken here")
        if not candidate.name.strip() or len(candidate.name) > MAX_NAME_CHARACTERS:
            raise _UnfitError(Reason.BAD_NAME, f"a name has 1 to {MAX_NAME_CHARACTERS} characters")
        if candidate.latitude_longitude is None:
            raise _UnfitError(Reason.BAD_POSITION, "the position is missing")
        try:
            place = Place(*candidate.latitude_longitude)
        except InvalidArgumentError as error:
            raise _UnfitError(Reason.BAD_POSITION, str(error)) from error
        if candidate.code in self._accepted:
            raise _UnfitError(Reason.REPEATED, "the code came earlier in this import")
        return Island(
            candidate.code,
            candidate.name,
            home,
            place,
            candidate.is_populated,
            candidate.is_outermost_small,
        )


class _UnfitError(Exception):
    """An island of an import that the register can't take."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_register(islands_csv: Path, regencies_csv: Path, regency_code: str) -> Register:
    """Read one regency's islands, possibly none.

    Raises NotFoundError for a code that is no regency, and InvalidArgumentError for a damaged row.
    """
    with regencies_csv.open(encoding="utf-8", newline="") as text:
        if all(row["code"] != regency_code for row in csv.DictReader(text)):
            raise NotFoundError(f"there is no regency {regency_code}: see {regencies_csv.name}")
    return Register(regency_code, tuple(_read_islands(islands_csv, regency_code)))


def _read_islands(path: Path, regency_code: str) -> Iterator[Island]:
    # A regency has about 30 of the 17,000 rows; looking for its code first makes start-up quick.
    marker = f",{regency_code},"
    with path.open(encoding="utf-8", newline="") as text:
        header = next(csv.reader(text), [])
        if tuple(header) != COLUMNS:
            raise InvalidArgumentError(f"{path.name}: the columns must be {', '.join(COLUMNS)}")
        for row in csv.reader(line for line in text if marker in line):
            if row[1] == regency_code:
                yield _island(path.name, row)


def _island(file: str, row: list[str]) -> Island:
    try:
        code, regency_code, coordinate, populated, outermost, name = row
        return Island(
            code,
            name,
            regency_code,
            parse_dms(coordinate),
            _FLAG[populated],
            _FLAG[outermost],
        )
    except (KeyError, ValueError) as error:
        raise InvalidArgumentError(f"{file}: the row of {row[0]!r} is damaged: {error}") from error


def _matches(limit: int) -> int:
    if limit > MAX_MATCHES:
        raise InvalidArgumentError(f"limit {limit} is too high: ask for at most {MAX_MATCHES}")
    return limit or DEFAULT_MATCHES


def _not_a_code(code: str) -> str:
    shown = code[:MAX_CODE_CHARACTERS_SHOWN]
    return f"{shown!r} is no island code: write it like 53.15.40084"
