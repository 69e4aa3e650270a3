"""Delegations as an operator sees them: which there are, how each stands, what rests on it."""

from __future__ import annotations

from dataclasses import dataclass

from node.agreements.delegations import providers_of
from node.agreements.model import PartyDesk
from node.agreements.show import only_one
from node.policy.pins import Parties, suspended
from node.store.agreements import list_agreements, list_pins
from node.store.delegations import StoredDelegation, get_delegation, list_delegations
from security.agreement import parse_agreement
from security.delegation import DelegationTerms, parse_delegation
from security.errors import SimpulError
from security.revocation import parse_revocation


@dataclass(frozen=True, slots=True)
class ShownDelegation:
    """One delegation. `agreements`: the hashes of those here that rest on it, in any state."""

    stored: StoredDelegation
    terms: DelegationTerms
    state: str
    # Of a revoked one.
    reason: str
    side: str
    agreements: tuple[bytes, ...]


def all_shown(desk: PartyDesk) -> list[ShownDelegation]:
    """All delegations of this node, the oldest first; raises DIRECTORY_ABSENT."""
    resting: dict[bytes, list[bytes]] = {}
    for agreement in list_agreements(desk.store):
        terms = parse_agreement(agreement.agreement)
        if terms.delegation is not None:
            resting.setdefault(terms.delegation, []).append(agreement.hash)
    pins = ((pin.owner, pin.member, pin.key) for pin in list_pins(desk.store))
    strangers = suspended(pins, desk.directory)
    found = []
    for stored in list_delegations(desk.store):
        said = parse_delegation(stored.signed.delegation)
        end = stored.end
        found.append(
            ShownDelegation(
                stored,
                said,
                state=_state(desk, stored, said, strangers),
                reason="" if end is None else parse_revocation(end.revocation.revocation).reason,
                side=_side(desk, said),
                agreements=tuple(resting.get(stored.hash, ())),
            )
        )
    return found


def find(desk: PartyDesk, text: str) -> StoredDelegation:
    """The delegation with this hash in hex, or the only one whose hash begins so.

    Raises:
        SimpulError: as `node.agreements.show.only_one`.
    """
    hashes = [each.hash for each in list_delegations(desk.store)]
    return get_delegation(desk.store, only_one(text, hashes, "delegation", "delegations"))


def _state(
    desk: PartyDesk,
    stored: StoredDelegation,
    terms: DelegationTerms,
    strangers: frozenset[Parties],
) -> str:
    now_ms = desk.time_ms()
    if stored.end is not None:
        return "revoked"
    if now_ms >= terms.valid_until_ms:
        return "expired"
    if frozenset((terms.delegator.member, terms.delegate.member)) in strangers:
        return "suspended"
    try:
        desk.directory.require_active(terms.delegator.member)
    except SimpulError:
        return "suspended"
    return "not yet valid" if now_ms < terms.valid_from_ms else "active"


def _side(desk: PartyDesk, terms: DelegationTerms) -> str:
    gives = terms.delegator.member in desk.members
    acts = terms.delegate.member in desk.members
    if gives and acts:
        return "both"
    if gives or acts:
        return "delegator" if gives else "delegate"
    return "provider" if set(providers_of(terms)) & set(desk.members) else "-"
