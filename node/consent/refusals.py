"""The four ways in which a consent permits nothing, in one wording for every implementation.

Each call makes a new error: one that was raised holds on to where it was.
"""

from security.errors import Code, SimpulError


def unknown() -> SimpulError:
    """There is none such; one that is another's is refused in the same words."""
    return SimpulError(
        Code.CONSENT_REFUSED,
        "the provider has no such consent of this citizen for this consumer, service and purpose: "
        "check simpul-consent and simpul-subject",
    )


def withdrawn() -> SimpulError:
    """The citizen took it back."""
    return SimpulError(
        Code.CONSENT_WITHDRAWN,
        "the citizen has withdrawn this consent: stop using what was got by it",
    )


def over() -> SimpulError:
    """Its time has passed."""
    return SimpulError(Code.CONSENT_EXPIRED, "this consent is over: ask the citizen for a new one")


def unverified(why: str) -> SimpulError:
    """Nobody says whether it holds."""
    return SimpulError(
        Code.CONSENT_UNVERIFIED,
        f"the provider can't find out whether the consent holds: {why}; try again",
    )
