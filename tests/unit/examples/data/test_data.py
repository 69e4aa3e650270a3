"""The committed data is what its README says, and every row can be served."""

import csv
import re
from pathlib import Path

from examples.bandara.airports import read_airports
from examples.data import AIRPORTS, FOLDER, ISLANDS, MEMBERS, REGENCIES
from examples.data.build_airports import airports_csv
from examples.data.build_members import members_csv
from examples.geo import format_dms, parse_dms
from examples.wisata.islands import COLUMNS


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def test_counts_are_those_of_the_readme() -> None:
    islands = rows(ISLANDS)
    assert len(islands) == 16_995
    assert len({row["code"] for row in islands}) == 16_995
    assert sum(row["is_populated"] == "1" for row in islands) == 1_545
    assert sum(not row["regency_code"] for row in islands) == 69
    assert len(rows(REGENCIES)) == 514
    assert len(rows(FOLDER / "provinces.csv")) == 38
    assert len(read_airports(AIRPORTS)) == 171


def test_every_island_has_a_strict_coordinate_and_a_code_of_its_regency() -> None:
    regencies = {row["code"] for row in rows(REGENCIES)}
    for row in rows(ISLANDS):
        assert tuple(row) == COLUMNS
        assert format_dms(parse_dms(row["coordinate"])) == row["coordinate"]
        assert re.fullmatch(r"\d\d\.\d\d\.\d{5}", row["code"])
        if row["regency_code"]:
            assert row["code"].startswith(row["regency_code"] + ".")
            assert row["regency_code"] in regencies


def test_airports_are_what_the_script_makes_of_the_locked_package() -> None:
    assert AIRPORTS.read_text(encoding="utf-8") == airports_csv()


def test_members_are_what_the_script_makes_of_the_country() -> None:
    assert MEMBERS.read_text(encoding="utf-8") == members_csv()
    assert len(rows(MEMBERS)) == 38 + 514


def test_airports_have_unique_codes_in_order() -> None:
    codes = [airport.iata for airport in read_airports(AIRPORTS)]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"[A-Z]{3}", code) for code in codes)


def test_licences_lie_beside_the_data() -> None:
    assert "Open Database License (ODbL)" in (FOLDER / "LICENSE-ODbL.md").read_text("utf-8")
    assert "Mike Borsetti" in (FOLDER / "LICENSE-airportsdata.txt").read_text("utf-8")
