"""What a regency asks for before an area may be used. No gRPC here.

The rules are the demo's own, over the real register of islands: a small island at the outer border
of the country is not given away by a regency, and people who live in the area are heard first.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from examples.errors import InvalidArgumentError
from examples.geo import Place, distance_km
from examples.wisata.islands import Island

MAX_RADIUS_KM: Final = 500.0
MAX_NAMES: Final = 3


class Verdict(enum.IntEnum):
    """The numbers are those of izin.v1.Verdict."""

    GRANTED = 1
    CONDITIONAL = 2
    REFUSED = 3


@dataclass(frozen=True, slots=True)
class Area:
    """A circle on Earth; raises InvalidArgumentError for a radius that is none."""

    middle: Place
    radius_km: float

    def __post_init__(self) -> None:
        """Refuse a radius that is none, or not a number."""
        if not 0 < self.radius_km <= MAX_RADIUS_KM:
            raise InvalidArgumentError(
                f"radius {self.radius_km} km is none: send one above 0 and at most {MAX_RADIUS_KM}"
            )


@dataclass(frozen=True, slots=True)
class Word:
    """What a regency says of an area."""

    verdict: Verdict
    conditions: tuple[str, ...]
    islands: int


def assess(area: Area, islands: Iterable[Island]) -> Word:
    """Judge an area by a regency's islands that lie in it."""
    within = [each for each in islands if distance_km(area.middle, each.place) <= area.radius_km]
    border = [each.name for each in within if each.is_outermost_small]
    if border:
        said = f"{_named(border)} at the country's border: ask the ministry"
        return Word(Verdict.REFUSED, (said,), len(within))
    lived_on = [each.name for each in within if each.is_populated]
    if lived_on:
        said = f"hear those who live on {_named(lived_on)}"
        return Word(Verdict.CONDITIONAL, (said,), len(within))
    return Word(Verdict.GRANTED, (), len(within))


def _named(names: list[str]) -> str:
    more = len(names) - MAX_NAMES
    return ", ".join(names[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
