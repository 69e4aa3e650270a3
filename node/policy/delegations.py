"""Whether an agreement's delegation holds still. Pure.

That the agreement lies within its delegation, and who signed it, was verified when it came; what
may change afterwards is asked here, with every new directory and every word of an end.

Source: docs/spec, "Agreements: on behalf of".
"""

from collections.abc import Container

from node.policy.pins import Parties
from security.agreement import AgreementTerms
from security.directory import DirectoryView
from security.errors import SimpulError


def why_it_rests(
    terms: AgreementTerms,
    ended: Container[bytes],
    resting: Container[Parties],
    directory: DirectoryView,
) -> str | None:
    """Why the agreement permits nothing, as far as its delegation goes; None: it holds.

    Args:
        terms: The agreement's.
        ended: The hashes of delegations that were revoked.
        resting: Members of whom one no longer shows the key by which the other knows it.
        directory: What is listed now.
    """
    if terms.delegator is None:
        return None
    delegator = terms.delegator.member
    if terms.delegation in ended:
        return f"{delegator} has revoked its delegation"
    if any(
        frozenset((party.member, delegator)) in resting
        for party in (terms.provider, terms.consumer)
    ):
        return f"the directory lists another identity key of {delegator} than is pinned"
    try:
        directory.require_active(delegator)
    except SimpulError as error:
        return error.message
    return None
