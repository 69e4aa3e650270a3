"""Consents, as calls refer to them: the form of a reference, and when a call needs one.

Whoever keeps a member's consents gives each a reference; a call for a purpose that rests on consent
names it, and the provider's node asks whether it holds (`node.consent`). A reference stands in the
open for good, so it says nothing of the person: it holds a letter, and so is no citizen's number.

A consent is named where the purpose rests on one, and nowhere else: a needless mark of a person in
a record that is kept is refused like a missing one.

Source: docs/spec, "Agreements: consent"; simpul/v1/parcel.proto, `Open`.
"""

import re
from typing import Final

from security.agreement_terms import AgreementTerms, LegalBasis
from security.errors import Code, SimpulError

MAX_REFERENCE_CHARS: Final = 128

_REFERENCE: Final = re.compile(r"(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9._~-]{8,128}")


def is_reference(text: str) -> bool:
    """Whether a text has the form of a reference."""
    return _REFERENCE.fullmatch(text) is not None


def check_reference(text: str) -> str:
    """Return a reference that has its form.

    Raises:
        SimpulError: CONSENT_MALFORMED.
    """
    if not is_reference(text):
        raise SimpulError(
            Code.CONSENT_MALFORMED,
            f"{text[:MAX_REFERENCE_CHARS]!a} is no consent's reference: 8 to {MAX_REFERENCE_CHARS} "
            "of a-z A-Z 0-9 . _ ~ - with a letter among them; send the one that was given with it",
        )
    return text


def needs_consent(terms: AgreementTerms, purpose: str | None) -> bool:
    """Whether a purpose of an agreement rests on consent."""
    return any(
        item.id == purpose and item.legal_basis is LegalBasis.CONSENT for item in terms.purposes
    )


def check_named(terms: AgreementTerms, purpose: str | None, reference: str | None) -> None:
    """Pass where a call names a consent exactly if its purpose rests on one.

    The agreement has been found to list the purpose.

    Raises:
        SimpulError: CONSENT_MISSING, CONSENT_NEEDLESS.
    """
    if needs_consent(terms, purpose):
        if reference is None:
            raise SimpulError(
                Code.CONSENT_MISSING,
                f"{purpose} rests on consent: send simpul-consent with the reference of the "
                "citizen's, which the provider gave out",
            )
    elif reference is not None:
        raise SimpulError(
            Code.CONSENT_NEEDLESS,
            f"{purpose} doesn't rest on consent: leave simpul-consent out",
        )
