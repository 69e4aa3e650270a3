"""Words of identifiers in two languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.language.words import MAX_PHRASE_WORDS, comment_concepts, concepts, split


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("CariPulau", "SearchIslands"),
        ("kepulauan", "islands"),
        ("bandar_udara", "Airport"),
        ("nama_penduduk", "residentName"),
        ("vaksinasi", "vaccinations"),
        ("pengaduan", "complaint"),
        ("telekomunikasi", "telecommunication"),
        ("penginapn", "hotel"),
        ("tempat_tidur", "beds"),
        ("pendaftaran", "registration"),
        ("kota", "cities"),
        ("penyeberangan", "crossing"),
    ],
)
def test_names_of_one_meaning_have_the_same_concepts(one: str, two: str) -> None:
    assert {each.name for each in concepts(one)} == {each.name for each in concepts(two)}


@pytest.mark.parametrize(
    ("one", "two"), [("pulau", "bandara"), ("kelahiran", "kematian"), ("daftar", "daftarkan")]
)
def test_names_of_two_meanings_have_not(one: str, two: str) -> None:
    assert not {each.name for each in concepts(one)} & {each.name for each in concepts(two)}


def test_what_every_name_has_tells_nothing() -> None:
    assert concepts("GetIslandRequest") == concepts("get_island")
    assert [each.name for each in comment_concepts("The islands of a regency.", 60)] == [
        "island",
        "regency",
    ]


def test_identifiers_are_split_where_people_see_words() -> None:
    assert split("KTPElektronik") == ["ktp", "elektronik"]
    assert split("lat_lng2") == ["lat", "lng", "2"]


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    found = concepts(text)
    assert len(set(found)) == len(found)
    assert MAX_PHRASE_WORDS > 1


def test_no_name_has_words_without_end() -> None:
    assert split("zqx_" * 10_000) == ["zqx"] * 16
