"""Whether a call's purpose stands in its consumer's register. Pure.

The agreement has been found to list the purpose. The register can only take away: a member that
keeps none goes by its agreements alone.

Source: docs/spec, "Directory: activities".
"""

from security.activity import check_in_use
from security.agreement import AgreementTerms
from security.directory import DirectoryView


def check_purpose(directory: DirectoryView, terms: AgreementTerms, purpose: str | None) -> None:
    """Pass where the purpose of a call is in use.

    Raises:
        SimpulError: ACCESS_PURPOSE, MEMBER_UNKNOWN.
    """
    member = terms.consumer.member
    register = directory.member(member).activities
    for item in terms.purposes:
        if item.id == purpose:
            check_in_use(register, str(member), item.id, item.legal_basis)
