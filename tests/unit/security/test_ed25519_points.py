"""Which 32 bytes an Ed25519 key may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.ed25519_points import SMALL_ORDER_Y, D, P, check_point
from security.errors import Code, SimpulError
from security.keys import Algorithm, generate

SIGN = 1 << 255


def encoded(y: int) -> bytes:
    return y.to_bytes(32, "little")


def refused(key: bytes) -> str:
    with pytest.raises(SimpulError) as caught:
        check_point(key)
    assert caught.value.code is Code.KEY_MALFORMED
    return caught.value.message


def doubled(y: int) -> int:
    """The y of twice the point with this y, by the curve's law of addition."""
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return (y * y + x_squared) * pow(2 - y * y + x_squared, -1, P) % P


def test_the_keys_that_are_made_are_points() -> None:
    for _ in range(5):
        check_point(generate(Algorithm.ED25519).public.key)


def test_the_small_orders_are_those_that_three_doublings_bring_to_nothing() -> None:
    assert len(SMALL_ORDER_Y) == 5
    for y in SMALL_ORDER_Y:
        assert doubled(doubled(doubled(y))) == 1
    # The base point's y is 4/5, and its order is large.
    base = 4 * pow(5, -1, P) % P
    assert doubled(doubled(doubled(base))) != 1
    check_point(encoded(base))


@pytest.mark.parametrize("y", sorted(SMALL_ORDER_Y))
@pytest.mark.parametrize("sign", [0, SIGN])
def test_a_point_of_small_order_is_refused(y: int, sign: int) -> None:
    assert "small order" in refused(encoded(y | sign))


@pytest.mark.parametrize("y", [P, P + 1, P + 3, 2**255 - 1])
def test_a_second_spelling_is_refused(y: int) -> None:
    assert "canonical" in refused(encoded(y))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    assert "bytes" in refused(b"\x02" * length)


@given(st.integers(min_value=2, max_value=P - 2))
def test_exactly_what_solves_the_curves_equation_is_a_point(y: int) -> None:
    x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    # P is 5 modulo 8: a root, if there is one, is this or this times a root of -1.
    root = pow(x_squared, (P + 3) // 8, P)
    on_curve = root * root % P in {x_squared, P - x_squared}
    if y in SMALL_ORDER_Y:
        return
    if on_curve:
        check_point(encoded(y))
    else:
        assert "no point" in refused(encoded(y))
