"""Makes airports.csv from the PyPI package airportsdata.

Run it as `python -m examples.data.build_airports`.
Keeps the Indonesian airports that have an IATA code, in the order of that code, with the columns
that the airport service needs. The output depends on the package's version only.
"""

import csv
import io
import sys
from typing import Final

import airportsdata

from examples.data import AIRPORTS

COUNTRY: Final = "ID"
COLUMNS: Final = ("iata", "icao", "name", "city", "province", "latitude", "longitude")


def airports_csv() -> str:
    """Return the whole file's text, header first, lines ended by a line feed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for iata, airport in sorted(airportsdata.load("IATA").items()):
        if airport["country"] == COUNTRY:
            writer.writerow(
                (
                    iata,
                    airport["icao"],
                    airport["name"],
                    airport["city"],
                    airport["subd"],
                    airport["lat"],
                    airport["lon"],
                )
            )
    return text.getvalue()


if __name__ == "__main__":
    AIRPORTS.write_text(airports_csv(), encoding="utf-8", newline="\n")
    sys.stdout.write(f"wrote {AIRPORTS}\n")
