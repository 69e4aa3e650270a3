"""What a regency asks for, by the islands that lie in an area."""

import math

import pytest

from examples.errors import InvalidArgumentError
from examples.geo import Place
from examples.izin.areas import Area, Verdict, assess
from examples.wisata.islands import Island

MIDDLE = Place(-1.6, 123.5)


def island(name: str, latitude: float, *, populated: bool = False, border: bool = False) -> Island:
    place = Place(latitude, 123.5)
    return Island(f"72.11.4{name}", f"Pulau {name}", "72.11", place, populated, border)


def test_the_least_favourable_island_in_the_area_decides() -> None:
    near = [island("A", -1.6), island("B", -1.7)]
    area = Area(MIDDLE, 30)
    assert assess(area, near).verdict is Verdict.GRANTED
    assert assess(area, near).islands == 2
    word = assess(area, [*near, island("C", -1.65, populated=True)])
    assert (word.verdict, word.conditions) == (
        Verdict.CONDITIONAL,
        ("hear those who live on Pulau C",),
    )
    word = assess(area, [*near, island("C", -1.65, populated=True), island("D", -1.5, border=True)])
    assert (word.verdict, word.islands) == (Verdict.REFUSED, 4)
    assert "ask the ministry" in word.conditions[0]


def test_what_lies_outside_does_not_count() -> None:
    far = [island("A", -3.0, populated=True), island("B", 3.0, border=True)]
    assert assess(Area(MIDDLE, 30), far) == assess(Area(MIDDLE, 30), [])


def test_many_names_are_counted() -> None:
    lived_on = [island(name, -1.6, populated=True) for name in "ABCDE"]
    assert assess(Area(MIDDLE, 1), lived_on).conditions[0].endswith("and 2 more")


@pytest.mark.parametrize("radius_km", [0, -1, 501, math.nan, math.inf])
def test_a_radius_that_is_none_is_refused(radius_km: float) -> None:
    with pytest.raises(InvalidArgumentError, match="radius"):
        Area(MIDDLE, radius_km)
