"""Processing activities: what can be one, how versions follow, and which may be named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from security.activity import (
    MAX_VERSIONS,
    ActivityView,
    activity_message,
    check_in_use,
    read_activity,
    read_register,
)
from security.agreement_terms import CitizenVisibility, LegalBasis
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2, directory_pb2

FIRST = ActivityView(
    id="layanan-wisata", version=1, title="Tourist map", purpose="Show islands to visitors",
    legal_basis=LegalBasis.PUBLIC_TASK, retention="30 days",
    citizen_visibility=CitizenVisibility.VISIBLE, officer="pdp@komdigi.example",
)  # fmt: skip
SECOND = replace(FIRST, version=2, retention="7 days")
RETIRED = replace(FIRST, version=3, retention="7 days", retired=True)
Wire = directory_pb2.Activity


def put(name: str, value: object) -> Callable[[Wire], object]:
    return lambda wire: setattr(wire, name, value)


def test_what_is_printed_is_read_back() -> None:
    assert read_activity(activity_message(RETIRED)) == RETIRED


@pytest.mark.parametrize(
    "change",
    [
        put("id", ""), put("id", "Tourist maps for all"), put("id", "x" * 65), put("version", 0),
        put("title", ""), put("title", "x" * 201), put("purpose", ""), put("purpose", "x" * 1001),
        put("retention", ""), put("officer", ""), put("officer", "two\nlines"),
        put("legal_basis", agreement_pb2.LEGAL_BASIS_UNSPECIFIED),
        put("citizen_visibility", agreement_pb2.CITIZEN_VISIBILITY_UNSPECIFIED),
    ],
)  # fmt: skip
def test_what_is_no_activity_is_refused(change: Callable[[Wire], object]) -> None:
    wire = activity_message(FIRST)
    change(wire)
    with pytest.raises(SimpulError) as caught:
        read_activity(wire)
    assert caught.value.code is Code.CHANGE_INVALID


def test_a_register_has_every_version_in_order() -> None:
    other = replace(FIRST, id="statistik")
    found = read_register(map(activity_message, (FIRST, SECOND, RETIRED, other)))
    assert found == {"layanan-wisata": (FIRST, SECOND, RETIRED), "statistik": (other,)}


@pytest.mark.parametrize(
    "versions",
    [
        (SECOND,), (FIRST, FIRST), (FIRST, RETIRED),
        (FIRST, SECOND, RETIRED, replace(FIRST, version=4)),
        (replace(FIRST, retired=True),),
    ],
    ids=["not from 1", "twice", "a gap", "after its end", "retired at once"],
)  # fmt: skip
def test_versions_that_do_not_follow_are_refused(versions: tuple[ActivityView, ...]) -> None:
    with pytest.raises(SimpulError) as caught:
        read_register(map(activity_message, versions))
    assert caught.value.code is Code.CHANGE_INVALID


def test_a_register_has_a_bound() -> None:
    versions = (replace(FIRST, version=number + 1) for number in range(MAX_VERSIONS + 1))
    with pytest.raises(SimpulError, match="512"):
        read_register(map(activity_message, versions))


@pytest.mark.parametrize(
    ("register", "fits"),
    [
        ((), True),
        ((FIRST,), True),
        ((FIRST, SECOND), True),
        ((FIRST, SECOND, RETIRED), False),
        ((replace(FIRST, id="statistik"),), False),
        ((FIRST, replace(SECOND, legal_basis=LegalBasis.CONSENT)), False),
    ],
    ids=["no register", "in use", "revised", "retired", "never registered", "by another right"],
)
def test_a_call_names_a_purpose_that_is_in_use(
    register: tuple[ActivityView, ...], *, fits: bool
) -> None:
    found = read_register(map(activity_message, register))
    if fits:
        check_in_use(found, "ID/X/1", "layanan-wisata", LegalBasis.PUBLIC_TASK)
        return
    with pytest.raises(SimpulError) as caught:
        check_in_use(found, "ID/X/1", "layanan-wisata", LegalBasis.PUBLIC_TASK)
    assert caught.value.code is Code.ACCESS_PURPOSE
