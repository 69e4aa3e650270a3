"""The data that the demo's services serve; README.md names the sources and licences."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
ISLANDS: Final = FOLDER / "islands.csv"
REGENCIES: Final = FOLDER / "regencies.csv"
AIRPORTS: Final = FOLDER / "airports.csv"
PROVINCES: Final = FOLDER / "provinces.csv"
MEMBERS: Final = FOLDER / "members.csv"
