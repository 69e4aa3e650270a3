"""A register knows its own regency, searches it, and takes in islands whole or not at all."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from examples.data import ISLANDS, REGENCIES
from examples.errors import InvalidArgumentError, NotFoundError, TooMuchError
from examples.geo import Place
from examples.wisata.islands import (
    MAX_IMPORT_ISLANDS,
    Candidate,
    Import,
    Reason,
    Register,
    Summary,
    read_register,
)

HEADER = "code,regency_code,coordinate,is_populated,is_outermost_small,name\n"
ROW = "53.15.40001,53.15,08°34'36.99\" S 119°27'04.00\" E,0,1,Pulau A\n"


def candidate(  # one keyword for each way to be wrong
    *,
    code: str = "53.15.90001",
    name: str = "Pulau Baru",
    regency_code: str = "53.15",
    latitude_longitude: tuple[float, float] | None = (-8.5, 119.5),
) -> Candidate:
    return Candidate(code, name, regency_code, latitude_longitude, True, False)


@pytest.fixture(scope="module")
def komodo() -> Register:
    return read_register(ISLANDS, REGENCIES, "53.15")


@pytest.fixture
def gili() -> Register:
    return read_register(ISLANDS, REGENCIES, "52.08")


@pytest.mark.parametrize(
    ("regency", "islands", "populated"),
    [("53.15", 244, 12), ("74.07", 142, 10), ("52.08", 3, 0), ("21.05", 239, 21)],
)
def test_each_regency_has_its_own_islands_only(regency: str, islands: int, populated: int) -> None:
    register = read_register(ISLANDS, REGENCIES, regency)
    assert len(register) == len(register.all()) == islands
    assert {island.regency_code for island in register.all()} == {regency}
    assert len(register.all(populated_only=True)) == populated


def test_any_regency_is_read_as_a_plain_csv_reader_would() -> None:
    with ISLANDS.open(encoding="utf-8", newline="") as text:
        counts = Counter(row["regency_code"] for row in csv.DictReader(text))
    with REGENCIES.open(encoding="utf-8", newline="") as text:
        regencies = [row["code"] for row in csv.DictReader(text)]
    for regency in regencies[::40]:  # Every one would take seconds.
        assert len(read_register(ISLANDS, REGENCIES, regency)) == counts[regency]


@pytest.mark.parametrize("code", ["", "53", "53.1", "99.99", "53.15 ", "53.15,", "KABUPATEN"])
def test_a_code_that_is_no_regency_is_refused(code: str) -> None:
    with pytest.raises(NotFoundError, match="there is no regency"):
        read_register(ISLANDS, REGENCIES, code)


@pytest.mark.parametrize(
    ("case", "text", "why"),
    [
        ("other columns", HEADER.replace("code", "id"), "the columns must be"),
        ("empty file", "", "the columns must be"),
        ("bad coordinate", HEADER + ROW.replace("34'", "99'"), "no coordinate"),
        ("bad flag", HEADER + ROW.replace(",0,1,", ",yes,1,"), "damaged"),
        ("missing column", HEADER + ROW.replace(",0,1,", ",0,"), "damaged"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, case: str, text: str, why: str) -> None:
    assert case
    file = tmp_path / "islands.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgumentError, match=why):
        read_register(file, REGENCIES, "53.15")


def test_a_code_in_another_column_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "islands.csv"
    other = '11.01.40001,11.01,08°34\'36.99" S 119°27\'04.00" E,0,0,"Pulau A,53.15,"\n'
    file.write_text(HEADER + other + ROW, encoding="utf-8")
    assert [i.code for i in read_register(file, REGENCIES, "53.15").all()] == ["53.15.40001"]


def test_komodo_is_found_by_code_by_name_and_by_place(komodo: Register) -> None:
    island = komodo.get("53.15.40084")
    assert (island.name, island.is_populated) == ("Pulau Komodo", True)
    assert [i.name for i in komodo.named(" KOMODO ")] == ["Pulau Kelor Komodo", "Pulau Komodo"]
    assert komodo.nearest(island.place, 1) == ((0.0, island),)


def test_nearest_are_the_nearest_in_order(komodo: Register) -> None:
    found = komodo.nearest(Place(-8.4966, 119.8772), 100)
    distances = [km for km, _ in found]
    assert len(found) == 100
    assert distances == sorted(distances)
    chosen = {island.code for _, island in found}
    others = [i for i in komodo.all() if i.code not in chosen]
    farthest = Register("53.15", tuple(others)).nearest(Place(-8.4966, 119.8772), 1)[0][0]
    assert distances[-1] <= farthest


def test_lists_are_in_the_order_of_codes_and_limited(komodo: Register) -> None:
    codes = [island.code for island in komodo.all()]
    assert codes == sorted(codes)
    assert [island.code for island in komodo.all(limit=5)] == codes[:5]
    assert len(komodo.all(limit=1000)) == 244


def test_limits_have_a_default_and_a_ceiling(komodo: Register) -> None:
    assert len(komodo.named("pulau")) == len(komodo.nearest(Place(0, 0))) == 3
    assert len(komodo.named("pulau", 100)) == 100
    for ask in (
        lambda: komodo.named("pulau", 101),
        lambda: komodo.nearest(Place(0, 0), 101),
    ):
        with pytest.raises(InvalidArgumentError, match="limit 101 is too high"):
            ask()


def test_an_empty_name_is_refused(komodo: Register) -> None:
    with pytest.raises(InvalidArgumentError, match="name asked for is empty"):
        komodo.named("  ")


@pytest.mark.parametrize("code", ["", "53.15", "53.15.4008", "53.15.400840", "53.15.40084\n"])
def test_what_is_no_island_code_is_bad_and_not_missing(komodo: Register, code: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no island code"):
        komodo.get(code)


def test_an_island_of_another_regency_is_missing(komodo: Register) -> None:
    with pytest.raises(NotFoundError, match=r"regency 53\.15 has no island 52\.08\.40001"):
        komodo.get("52.08.40001")


@pytest.mark.parametrize(
    ("reason", "bad"),
    [
        (Reason.BAD_CODE, candidate(code="")),
        (Reason.BAD_CODE, candidate(code="52.08.4000x")),
        (Reason.NOT_IN_REGENCY, candidate(code="53.15.40084")),
        (Reason.NOT_IN_REGENCY, candidate(code="53.15.40084", regency_code="52.08")),
        (Reason.NOT_IN_REGENCY, candidate(code="52.08.90001")),
        (Reason.BAD_NAME, candidate(code="52.08.90001", regency_code="52.08", name=" ")),
        (Reason.BAD_NAME, candidate(code="52.08.90001", regency_code="52.08", name="x" * 101)),
        (
            Reason.BAD_POSITION,
            candidate(code="52.08.90001", regency_code="52.08", latitude_longitude=None),
        ),
        (
            Reason.BAD_POSITION,
            candidate(code="52.08.90001", regency_code="52.08", latitude_longitude=(91.0, 0.0)),
        ),
        (Reason.REPEATED, candidate(code="52.08.99999", regency_code="52.08")),
    ],
)
def test_an_unfit_island_is_left_out_and_named(
    gili: Register, reason: Reason, bad: Candidate
) -> None:
    under_way = Import(gili)
    under_way.take(candidate(code="52.08.99999", regency_code="52.08"))
    under_way.take(bad)
    summary = under_way.finish()
    assert (summary.received, summary.added, summary.replaced) == (2, 1, 0)
    [rejected] = summary.rejected
    assert (rejected.index, rejected.code, rejected.reason) == (1, bad.code, reason)
    assert len(gili) == 4


def test_an_import_adds_and_replaces_when_it_ends(gili: Register) -> None:
    under_way = Import(gili)
    under_way.take(candidate(code="52.08.40001", regency_code="52.08", name="Gili Ayer"))
    under_way.take(candidate(code="52.08.00001", regency_code="52.08"))
    assert gili.get("52.08.40001").name == "Gili Air"
    assert under_way.finish() == Summary(received=2, added=1, replaced=1, rejected=())
    assert [island.name for island in gili.all(limit=2)] == ["Pulau Baru", "Gili Ayer"]


def test_an_import_has_a_limit(gili: Register) -> None:
    under_way = Import(gili)
    for _ in range(MAX_IMPORT_ISLANDS):
        under_way.take(candidate())
    with pytest.raises(TooMuchError):
        under_way.take(candidate())
