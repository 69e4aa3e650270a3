"""Names that people can read and tell apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.model import Contact, ContactKind
from registry.names import check_contact, check_name, likeness
from security.errors import Code, SimpulError


@pytest.mark.parametrize(
    "name", ["Kabupaten Manggarai Barat", "ID/DAERAH/53.15", "Kota Bima (NTB)"]
)
def test_good_names(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 257,
        " Bima",
        "Bima\n",
        "Bi\u200bma",  # a space of no width
        "Bima\u202e",  # reverses what follows
        "Bim\u0430",  # Cyrillic a
        "Cafe\u0301",  # not composed
        "Bima\x00",
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(SimpulError) as caught:
        check_name(name)
    assert caught.value.code is Code.CHANGE_INVALID


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Kota Bima", "KOTA  BIMA"),
        ("Kota Bima", "Kota Blma"),
        ("Kota Solok", "Kota S0lok"),
        ("Kota Bima", "Kóta Bíma"),
    ],
)
def test_look_alikes_are_alike(one: str, other: str) -> None:
    assert likeness(one) == likeness(other)


def test_different_names_are_not_alike() -> None:
    assert likeness("Kabupaten Bima") != likeness("Kota Bima")


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        check_name(text)
    except SimpulError as error:
        assert error.code is Code.CHANGE_INVALID  # noqa: PT017  (one of two)
    else:
        assert text.isprintable()
        assert likeness(likeness(text)) == likeness(text)


def test_a_contact() -> None:
    check_contact(Contact(ContactKind.GENERAL, "Dinas Kominfo", "kominfo@mabar.go.id", "+62 385 1"))


@pytest.mark.parametrize(
    ("name", "email", "phone"),
    [
        ("Kominfo", "", ""),
        ("", "a@b.id", ""),
        ("Kominfo", "no address", ""),
        ("Kominfo", "a@b.id, c@d.id", ""),
        ("Kominfo", "a" * 250 + "@b.id", ""),
        ("Kominfo", "", "ring me"),
    ],
)
def test_bad_contacts(name: str, email: str, phone: str) -> None:
    with pytest.raises(SimpulError) as caught:
        check_contact(Contact(ContactKind.DATA_PROTECTION, name, email, phone))
    assert caught.value.code is Code.CHANGE_INVALID
