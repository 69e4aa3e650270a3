"""Which agreements permit something here now, and which rest because their delegation does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.agreements.drafts import check_contracts
from node.agreements.model import PartyDesk
from node.policy.delegations import why_it_rests
from node.policy.pins import suspended
from node.store.agreement_lives import list_agreed
from node.store.agreements import StoredAgreement, list_pins
from node.store.delegations import ended
from security.agreement import AgreementTerms, parse_agreement
from security.errors import SimpulError


@dataclass(frozen=True, slots=True)
class Force:
    """What is in force: agreed, not over, not suspended, fitting, and delegated where need be.

    By their hashes. `undelegated` would be in force but for their delegation, each for its reason.
    """

    agreements: Mapping[bytes, StoredAgreement]
    undelegated: Mapping[bytes, str]


def in_force(desk: PartyDesk) -> Force:
    """What is in force at a node; raises DIRECTORY_ABSENT."""
    now_ms, directory = desk.time_ms(), desk.directory
    pins = ((pin.owner, pin.member, pin.key) for pin in list_pins(desk.store))
    resting, revoked = suspended(pins, directory), ended(desk.store)
    found: dict[bytes, StoredAgreement] = {}
    undelegated: dict[bytes, str] = {}
    for stored in list_agreed(desk.store):
        terms = parse_agreement(stored.agreement)
        parties = frozenset({terms.provider.member, terms.consumer.member})
        if now_ms >= terms.valid_until_ms or parties in resting or not _fits(desk, terms):
            continue
        why = why_it_rests(terms, revoked, resting, directory)
        if why is None:
            found[stored.hash] = stored
        else:
            undelegated[stored.hash] = why
    return Force(found, undelegated)


def _fits(desk: PartyDesk, terms: AgreementTerms) -> bool:
    """Whether this node, where it is the provider's, can keep what the fields promise.

    A term that can't be kept is never ignored: such an agreement permits nothing here.
    """
    if terms.provider.member not in desk.members:
        return True
    try:
        check_contracts(terms, desk.directory)
    except SimpulError:
        return False
    return True
