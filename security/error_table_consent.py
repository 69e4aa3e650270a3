"""The part of the table of codes that is about consents. See `error_table`."""

from collections.abc import Mapping
from typing import Final

from security.error_codes import Code, ErrorInfo, Status

CONSENT_ERRORS: Final[Mapping[Code, ErrorInfo]] = {
    Code.CONSENT_ELSEWHERE: ErrorInfo(
        Status.FAILED_PRECONDITION,
        "This node asks the agency's own register of consents, and keeps none itself.",
        "Record, withdraw and look in the register that node.toml names in consent.verifier.",
    ),
    Code.CONSENT_EXPIRED: ErrorInfo(
        Status.PERMISSION_DENIED,
        "The consent is over.",
        "Ask the citizen for a new one, and send its reference.",
    ),
    Code.CONSENT_MALFORMED: ErrorInfo(
        Status.INVALID_ARGUMENT,
        "What the call names is no reference of a consent.",
        "Send the reference that was given with the consent; never a citizen's number.",
    ),
    Code.CONSENT_MISSING: ErrorInfo(
        Status.INVALID_ARGUMENT,
        "The call's purpose rests on consent, and the call names none.",
        "Send simpul-consent with the reference of the citizen's consent.",
    ),
    Code.CONSENT_NEEDLESS: ErrorInfo(
        Status.INVALID_ARGUMENT,
        "The call names a consent, and its purpose doesn't rest on one.",
        "Leave simpul-consent out, or call for the purpose that the consent is for.",
    ),
    Code.CONSENT_REFUSED: ErrorInfo(
        Status.PERMISSION_DENIED,
        "The provider knows no such consent for this citizen, consumer, service and purpose.",
        "Check simpul-consent, simpul-subject and simpul-purpose; ask the provider.",
    ),
    Code.CONSENT_UNVERIFIED: ErrorInfo(
        Status.UNAVAILABLE,
        "The provider can't find out now whether the consent holds; so it counts as if it didn't.",
        "Try again; the provider's operators look at what answers at consent.verifier.",
    ),
    Code.CONSENT_WITHDRAWN: ErrorInfo(
        Status.PERMISSION_DENIED,
        "The citizen has withdrawn the consent.",
        "Stop using it, and erase what was got by it: simpul journal erase.",
    ),
}
