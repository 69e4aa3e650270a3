"""The nearest airport is the nearest, and the limit holds."""

import pytest

from examples.bandara.airports import nearest, read_airports
from examples.data import AIRPORTS, ISLANDS, REGENCIES
from examples.errors import InvalidArgumentError
from examples.geo import Place, distance_km
from examples.wisata.islands import read_register

AIRPORTS_READ = read_airports(AIRPORTS)


def test_komodo_is_reached_by_labuan_bajo() -> None:
    komodo = read_register(ISLANDS, REGENCIES, "53.15").get("53.15.40084")
    [(km, airport)] = nearest(AIRPORTS_READ, komodo.place)
    assert (airport.iata, airport.city) == ("LBJ", "Labuan Bajo-Flores Island")
    assert km == pytest.approx(49.2, abs=0.1)


def test_many_are_in_order_and_none_left_out_is_nearer() -> None:
    monas = Place(-6.1754, 106.8272)
    found = nearest(AIRPORTS_READ, monas, 20)
    assert len(found) == 20
    assert [km for km, _ in found] == sorted(km for km, _ in found)
    rest = set(AIRPORTS_READ) - {airport for _, airport in found}
    assert all(distance_km(monas, airport.place) >= found[-1][0] for airport in rest)


def test_a_limit_past_the_ceiling_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="limit 21 is too high"):
        nearest(AIRPORTS_READ, Place(0, 0), 21)
