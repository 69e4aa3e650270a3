"""The form of a consent's reference, and when a call must name one."""

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.agreement_terms import LegalBasis, PurposeTerm
from security.consent import check_named, check_reference, is_reference, needs_consent
from security.errors import Code, SimpulError
from tests.support.agreements import TERMS

REFERENCE: Final = "cns-samarinda"
ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-"
MIXED: Final = replace(
    TERMS,
    purposes=(
        PurposeTerm("layanan-wisata", LegalBasis.CONSENT, ""),
        PurposeTerm("statistik", LegalBasis.PUBLIC_TASK, ""),
    ),
)


@given(st.text(ALPHABET, max_size=140))
def test_the_form_is_what_the_standard_says(text: str) -> None:
    fits = 8 <= len(text) <= 128 and any(char.isalpha() for char in text)
    assert is_reference(text) == fits


@given(st.text(max_size=140))
def test_whatever_is_sent_is_a_reference_or_refused_by_its_code(text: str) -> None:
    if is_reference(text):
        assert check_reference(text) == text
        return
    with pytest.raises(SimpulError) as caught:
        check_reference(text)
    assert caught.value.code is Code.CONSENT_MALFORMED
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "number", ["6471014001900001", "6471.0140.0190.0001", "6471-0140-0190-0001"]
)
def test_a_citizens_number_is_none(number: str) -> None:
    assert not is_reference(number)


@pytest.mark.parametrize("basis", [each for each in LegalBasis if each is not LegalBasis.CONSENT])
def test_only_one_basis_needs_it(basis: LegalBasis) -> None:
    terms = replace(TERMS, purposes=(PurposeTerm("layanan-wisata", basis, ""),))
    assert not needs_consent(terms, "layanan-wisata")
    check_named(terms, "layanan-wisata", None)
    with pytest.raises(SimpulError) as caught:
        check_named(terms, "layanan-wisata", REFERENCE)
    assert caught.value.code is Code.CONSENT_NEEDLESS


def test_it_is_judged_by_the_purpose_of_the_call() -> None:
    check_named(MIXED, "layanan-wisata", REFERENCE)
    check_named(MIXED, "statistik", None)
    with pytest.raises(SimpulError) as missing:
        check_named(MIXED, "layanan-wisata", None)
    with pytest.raises(SimpulError) as needless:
        check_named(MIXED, "statistik", REFERENCE)
    assert missing.value.code is Code.CONSENT_MISSING
    assert needless.value.code is Code.CONSENT_NEEDLESS
