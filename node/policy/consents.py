"""Whether a call names a consent as its purpose needs it. Pure.

That much both nodes see for themselves. Whether the consent holds, the provider's node asks the
register that its agency keeps (`node.consent`): no consumer's node could know.

Source: docs/spec, "Agreements: consent".
"""

from security.agreement import AgreementTerms
from security.consent import check_named, check_reference


def check_consent(terms: AgreementTerms, purpose: str | None, reference: str | None) -> str | None:
    """Return the reference of a call for a purpose that rests on consent; None for any other.

    Raises:
        SimpulError: CONSENT_MISSING, CONSENT_NEEDLESS, CONSENT_MALFORMED.
    """
    check_named(terms, purpose, reference)
    return None if reference is None else check_reference(reference)
