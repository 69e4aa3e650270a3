"""Coordinates read strictly, distances against known ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.errors import InvalidArgumentError
from examples.geo import EARTH_RADIUS_KM, Place, distance_km, format_dms, parse_dms

PER_DEGREE = 360_000  # hundredths of a second
QUARTER_KM = EARTH_RADIUS_KM * 3.141592653589793 / 2

places = st.builds(
    lambda latitude, longitude: Place(latitude / PER_DEGREE, longitude / PER_DEGREE),
    st.integers(-90 * PER_DEGREE, 90 * PER_DEGREE),
    st.integers(-180 * PER_DEGREE, 180 * PER_DEGREE),
)


def test_komodo_is_read_to_the_hundredth_of_a_second() -> None:
    place = parse_dms("08°34'36.99\" S 119°27'04.00\" E")
    assert place.latitude == pytest.approx(-(8 + 34 / 60 + 36.99 / 3600), abs=1e-12)
    assert place.longitude == pytest.approx(119 + 27 / 60 + 4 / 3600, abs=1e-12)


@given(places)
def test_what_is_printed_is_read_back_exactly(place: Place) -> None:
    assert parse_dms(format_dms(place)) == place


two_digits = st.integers(0, 99)
near_misses = st.tuples(
    *(two_digits, two_digits, two_digits, two_digits, st.sampled_from("NS")),
    *(st.integers(0, 199), two_digits, two_digits, two_digits, st.sampled_from("EW")),
).map(lambda parts: "{:02}°{:02}'{:02}.{:02}\" {} {:03}°{:02}'{:02}.{:02}\" {}".format(*parts))


@given(near_misses)
def test_what_is_read_is_printed_back_exactly_or_refused(text: str) -> None:
    try:
        place = parse_dms(text)
    except InvalidArgumentError:
        return
    assert format_dms(place) == text


@given(st.text())
def test_no_text_does_worse_than_be_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_dms(text)


GOOD = "08°34'36.99\" S 119°27'04.00\" E"


@pytest.mark.parametrize(
    ("case", "text"),
    [
        ("empty", ""),
        ("space before", " " + GOOD),
        ("line feed after", GOOD + "\n"),
        ("two spaces", GOOD.replace("S 1", "S  1")),
        ("narrow degrees", GOOD[1:]),
        ("decimal degrees", "-8.5769 119.4511"),
        ("60 minutes", GOOD.replace("34'", "60'")),
        ("60 seconds", GOOD.replace("36.99", "60.00")),
        ("one decimal", GOOD.replace("36.99", "36.9")),
        ("decimal comma", GOOD.replace("36.99", "36,99")),
        ("other quotes", GOOD.replace('"', "”")),
        ("no side", GOOD.replace(" S", "")),
        ("sides swapped", GOOD.replace("S", "E")),
        ("lower case", GOOD.lower()),
        ("beyond the pole", GOOD.replace("08°", "90°")),
        ("beyond the date line", GOOD.replace("119°", "180°")),
        ("negative zero", "00°00'00.00\" S 119°27'04.00\" E"),
        ("digits of another script", GOOD.replace("08", "٠٨")),
    ],
)
def test_any_other_form_is_refused(case: str, text: str) -> None:
    assert case
    with pytest.raises(InvalidArgumentError):
        parse_dms(text)


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (90.1, 0.0),
        (-90.1, 0.0),
        (0.0, 180.1),
        (0.0, -180.1),
        (float("nan"), 0.0),
        (0.0, float("nan")),
        (float("inf"), 0.0),
    ],
)
def test_a_place_that_is_not_on_earth_is_refused(latitude: float, longitude: float) -> None:
    with pytest.raises(InvalidArgumentError, match="not on Earth"):
        Place(latitude, longitude)


def test_a_quarter_of_the_globe_from_pole_to_equator() -> None:
    assert distance_km(Place(90, 0), Place(0, 77)) == pytest.approx(QUARTER_KM)


def test_opposite_points_are_half_the_globe_apart() -> None:
    assert distance_km(Place(-8.5, 119.5), Place(8.5, -60.5)) == pytest.approx(2 * QUARTER_KM)


def test_the_date_line_is_no_border() -> None:
    one_degree = QUARTER_KM / 90
    assert distance_km(Place(0, 179.5), Place(0, -179.5)) == pytest.approx(one_degree)


@pytest.mark.parametrize(
    ("start", "end", "ellipsoidal_km"),
    [  # On WGS 84 by Vincenty's formula, which the haversine formula's sphere approaches.
        (Place(-6.12557, 106.656), Place(-8.74817, 115.167), 983.2),  # CGK Jakarta, DPS Bali
        (Place(48.8530, 2.3499), Place(40.7580, -73.9855), 5848.6),  # Paris, New York
    ],
)
def test_known_distances(start: Place, end: Place, ellipsoidal_km: float) -> None:
    assert distance_km(start, end) == pytest.approx(ellipsoidal_km, rel=0.006)


@given(places, places)
def test_distance_is_alike_both_ways_and_within_half_the_globe(a: Place, b: Place) -> None:
    assert distance_km(a, b) == pytest.approx(distance_km(b, a), abs=1e-9)
    assert 0 <= distance_km(a, b) <= 2 * QUARTER_KM + 1e-6
    assert distance_km(a, a) == 0
