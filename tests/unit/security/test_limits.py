"""Limits."""

from dataclasses import fields

import pytest

from security.limits import Limits
from simpul.v1 import directory_pb2


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: 0})


def test_limits_travel_and_come_back() -> None:
    limits = Limits(1, 2, 3, 4, 5)
    assert Limits.from_proto(limits.to_proto()) == limits


def test_a_missing_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="max_message_bytes"):
        Limits.from_proto(directory_pb2.Limits())


def test_a_sender_keeps_to_the_lower_of_both() -> None:
    assert Limits(9, 2, 9, 4, 9).lower(Limits(1, 9, 3, 9, 5)) == Limits(1, 2, 3, 4, 5)


def test_every_limit_of_the_wire_is_here() -> None:
    assert {field.name for field in fields(Limits)} == {
        field.name for field in directory_pb2.Limits.DESCRIPTOR.fields
    }
