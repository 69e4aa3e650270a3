"""Places on Earth: the register's coordinates, and distances between them. Pure.

A coordinate in the data is text such as 08°34'36.99" S 119°27'04.00" E: fixed width, hundredths of
a second. The parser takes exactly what `format_dms` prints and refuses all else, so that a damaged
row is found at start and not on a map.
"""

import math
import re
from dataclasses import dataclass
from typing import Final

from examples.errors import InvalidArgumentError

EARTH_RADIUS_KM: Final = 6371.0088  # The IUGG's mean radius R1.
MAX_LATITUDE: Final = 90
MAX_LONGITUDE: Final = 180

_HUNDREDTHS_PER_SECOND: Final = 100
_HUNDREDTHS_PER_MINUTE: Final = 60 * _HUNDREDTHS_PER_SECOND
_HUNDREDTHS_PER_DEGREE: Final = 60 * _HUNDREDTHS_PER_MINUTE
# [0-9] and not \d: \d also takes the digits of other scripts.
_AXIS: Final = r"([0-9]{%d})°([0-5][0-9])'([0-5][0-9])\.([0-9]{2})\" ([%s])"
_DMS: Final = re.compile(_AXIS % (2, "NS") + " " + _AXIS % (3, "EW"))


@dataclass(frozen=True, slots=True)
class Place:
    """A point in WGS 84 decimal degrees: north and east are positive.

    Raises InvalidArgumentError where a number is not finite or not on Earth.
    """

    latitude: float
    longitude: float

    def __post_init__(self) -> None:
        """Refuse a point that is not on Earth."""
        # Any comparison with NaN is false, so NaN is refused too.
        if not -MAX_LATITUDE <= self.latitude <= MAX_LATITUDE:
            raise InvalidArgumentError(
                f"latitude {self.latitude} is not on Earth: send degrees from -90 to 90"
            )
        if not -MAX_LONGITUDE <= self.longitude <= MAX_LONGITUDE:
            raise InvalidArgumentError(
                f"longitude {self.longitude} is not on Earth: send degrees from -180 to 180"
            )


def parse_dms(text: str) -> Place:
    """Read a coordinate of the register; raises InvalidArgumentError on any other form."""
    match = _DMS.fullmatch(text)
    if match is None:
        raise InvalidArgumentError(
            f"{text[:64]!r} is no coordinate: write it like 08°34'36.99\" S 119°27'04.00\" E"
        )
    parts = match.groups()
    place = Place(_degrees(parts[:5]), _degrees(parts[5:]))
    if format_dms(place) != text:  # Only zero has two spellings: 00°00'00.00" is N and E.
        raise InvalidArgumentError(f"{text!r} is no coordinate: zero is written with N and E")
    return place


def format_dms(place: Place) -> str:
    """Write a place as the register does, rounded to a hundredth of a second (about 30 cm)."""
    return f"{_axis(place.latitude, 2, 'NS')} {_axis(place.longitude, 3, 'EW')}"


def distance_km(a: Place, b: Place) -> float:
    """Return the great-circle distance by the haversine formula, within 0.6 % of the true one."""
    latitude_a, latitude_b = math.radians(a.latitude), math.radians(b.latitude)
    across = math.radians(b.longitude - a.longitude)
    haversine = (
        math.sin((latitude_b - latitude_a) / 2) ** 2
        + math.cos(latitude_a) * math.cos(latitude_b) * math.sin(across / 2) ** 2
    )
    # Rounding can lift the value of two opposite points just above 1.
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(min(1.0, haversine)))


def _degrees(axis: tuple[str, ...]) -> float:
    degrees, minutes, seconds, hundredths, side = axis
    total = (
        int(degrees) * _HUNDREDTHS_PER_DEGREE
        + int(minutes) * _HUNDREDTHS_PER_MINUTE
        + int(seconds) * _HUNDREDTHS_PER_SECOND
        + int(hundredths)
    )
    return (-total if side in "SW" else total) / _HUNDREDTHS_PER_DEGREE


def _axis(value: float, width: int, sides: str) -> str:
    total = round(value * _HUNDREDTHS_PER_DEGREE)
    degrees, rest = divmod(abs(total), _HUNDREDTHS_PER_DEGREE)
    minutes, rest = divmod(rest, _HUNDREDTHS_PER_MINUTE)
    seconds, hundredths = divmod(rest, _HUNDREDTHS_PER_SECOND)
    side = sides[1] if total < 0 else sides[0]
    return f"{degrees:0{width}}°{minutes:02}'{seconds:02}.{hundredths:02}\" {side}"
