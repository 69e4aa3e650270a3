"""The country's airports: read them, find the nearest. No gRPC here."""

import csv
import heapq
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.errors import InvalidArgumentError
from examples.geo import Place, distance_km

MAX_AIRPORTS: Final = 20
DEFAULT_AIRPORTS: Final = 1


@dataclass(frozen=True, slots=True)
class Airport:
    """One airport; `iata` is unique."""

    iata: str
    icao: str
    name: str
    city: str
    province: str
    place: Place


def read_airports(path: Path) -> tuple[Airport, ...]:
    """Read all airports in the order of the file; raises InvalidArgumentError on a bad position."""
    with path.open(encoding="utf-8", newline="") as text:
        return tuple(
            Airport(
                row["iata"],
                row["icao"],
                row["name"],
                row["city"],
                row["province"],
                Place(float(row["latitude"]), float(row["longitude"])),
            )
            for row in csv.DictReader(text)
        )


def nearest(
    airports: tuple[Airport, ...], place: Place, limit: int = 0
) -> tuple[tuple[float, Airport], ...]:
    """Return (km, airport) pairs, nearest first; raises InvalidArgumentError on the limit."""
    if limit > MAX_AIRPORTS:
        raise InvalidArgumentError(f"limit {limit} is too high: ask for at most {MAX_AIRPORTS}")
    return tuple(
        heapq.nsmallest(
            limit or DEFAULT_AIRPORTS,
            ((distance_km(place, airport.place), airport) for airport in airports),
            key=lambda pair: (pair[0], pair[1].iata),
        )
    )
