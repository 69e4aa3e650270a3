"""Persons by keyed hashes: which spellings are one person, and which aren't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.hashing import sha256
from security.persons import TAG_BYTES, PersonKind, Persons, normalised, person_tag
from security.secret_key import SecretKey

KEY = SecretKey(sha256(b"index"))
NIK = "3171234567890123"


@pytest.mark.parametrize(
    "spelling",
    [
        NIK,
        f" {NIK}\n",
        "3171 2345 6789 0123",
        "3171.2345.6789.0123",
        "3171-2345-6789-0123",
        "317123/456789/0123",
        "".join(chr(0xFF10 + int(digit)) for digit in NIK),
        "".join(chr(0x0660 + int(digit)) for digit in NIK),
    ],
)
def test_one_citizen_number_however_it_is_written(spelling: str) -> None:
    assert normalised(spelling) == NIK


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Siti  Nurhaliza ", "siti nurhaliza"),
        ("STRASSE", "straße"),
        ("\uff53\uff49\uff54\uff49", "siti"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_one_name_however_it_is_written(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NIK, "3171234567890124"),
        (NIK, NIK[:-1]),
        (NIK, f"{NIK}0"),
        ("AB-12", "AB12"),
        ("12 3", "123"),
    ],
)
def test_others_stay_others(one: str, other: str) -> None:
    assert normalised(one) != normalised(other)


@given(st.text(max_size=60))
def test_normalising_again_changes_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert len(person_tag(KEY, PersonKind.SUBJECT, text)) == TAG_BYTES
    assert person_tag(KEY, PersonKind.SUBJECT, text) == person_tag(KEY, PersonKind.SUBJECT, once)


def test_a_tag_is_of_its_key_and_kind() -> None:
    tags = {person_tag(KEY, kind, NIK) for kind in PersonKind}
    tags.add(person_tag(SecretKey(sha256(b"other")), PersonKind.SUBJECT, NIK))
    assert len(tags) == 4


def test_nobody_is_named_by_nothing() -> None:
    assert not Persons()
    assert Persons(subject="  ").items() == ()
    assert Persons(subject=NIK, issue="7").items() == (
        (PersonKind.SUBJECT, NIK),
        (PersonKind.ISSUE, "7"),
    )
    assert NIK not in repr(Persons(subject=NIK))
