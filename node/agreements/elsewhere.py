"""Agreements that are signed where the node is not: a member's identity key may lie on no node.

What is to be signed leaves as a `SignedAgreement` that lacks this side's signature, and comes back
with it. Nothing is kept of what has left: the document says all, and what comes back is judged as
if it came from a stranger. Who may bring it is the node's operator; who agreed, the key says.

Source: docs/spec, "Agreements: signed elsewhere".
"""

from __future__ import annotations

import asyncio

from node.agreements.delegations import check_not_ended
from node.agreements.drafts import Draft, check_contracts
from node.agreements.model import PartyDesk, pins, signed, stored, subsystem_of
from node.agreements.own import drafted, waiting
from node.caller import check_acts_for
from node.store.agreement_lives import Taken, take_step
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from security.agreement import (
    agreement_hash,
    verify_agreement,
    verify_proposal,
)
from security.agreement_life import Party, Step
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2


async def to_propose(desk: PartyDesk, draft: Draft, party: Party) -> agreement_pb2.SignedAgreement:
    """A new agreement that nobody has signed; raises as `own.propose`, but for the key."""
    return await drafted(desk, draft, party)


async def to_accept(desk: PartyDesk, agreement: bytes) -> agreement_pb2.SignedAgreement:
    """What the other party proposed, with its signature.

    Raises:
        SimpulError: NOT_FOUND; MEMBER_UNKNOWN; what `verify_proposal` and `check_contracts` refuse.
    """
    known, _ = await waiting(desk, agreement)
    document = _of_proposer(known)
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms, _ = verify_proposal(document, desk.directory, desk.time_ms(), keys)
    await asyncio.to_thread(check_not_ended, desk.store, terms)
    await asyncio.to_thread(check_contracts, terms, desk.directory)
    return document


async def take_in(
    desk: PartyDesk, document: agreement_pb2.SignedAgreement, note: str
) -> StoredAgreement:
    """Take what was signed elsewhere: a proposal of ours, or our word to one of theirs.

    Raises:
        SimpulError: CONFLICT where it no longer waits; MEMBER_UNKNOWN for no member of ours; what
            `verify_proposal`, `verify_agreement` and `check_contracts` refuse.
    """
    known = await asyncio.to_thread(_find, desk, agreement_hash(document.agreement))
    if known is None:
        return await _propose(desk, document, note)
    return await _accept(desk, known, document)


async def _propose(
    desk: PartyDesk, document: agreement_pb2.SignedAgreement, note: str
) -> StoredAgreement:
    now_ms = desk.time_ms()
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms, party = verify_proposal(document, desk.directory, now_ms, keys)
    check_acts_for(desk.require_hosted(subsystem_of(terms, party)).member)
    await asyncio.to_thread(check_not_ended, desk.store, terms)
    await asyncio.to_thread(check_contracts, terms, desk.directory)
    proposal = stored(document, now_ms)
    taken = Taken(Step.PROPOSE, party, now_ms, own=True, reason=note)
    await asyncio.to_thread(take_step, desk.store, proposal, taken, pins(desk, terms))
    return proposal


async def _accept(
    desk: PartyDesk, known: StoredAgreement, document: agreement_pb2.SignedAgreement
) -> StoredAgreement:
    _, party = await waiting(desk, known.hash)
    now_ms = desk.time_ms()
    # The other side's signature is the one that came from it.
    both = signed(known)
    if party is Party.PROVIDER:
        both.provider_signature = document.provider_signature
    else:
        both.consumer_signature = document.consumer_signature
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms = verify_agreement(both, desk.directory, now_ms, keys)
    await asyncio.to_thread(check_not_ended, desk.store, terms)
    await asyncio.to_thread(check_contracts, terms, desk.directory)
    agreed = stored(both, known.added_at_ms)
    taken = Taken(Step.ACCEPT, party, now_ms, own=True)
    await asyncio.to_thread(take_step, desk.store, agreed, taken, pins(desk, terms))
    await desk.push()
    return agreed


def _find(desk: PartyDesk, agreement: bytes) -> StoredAgreement | None:
    try:
        return get_agreement(desk.store, agreement)
    except SimpulError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None


def _of_proposer(known: StoredAgreement) -> agreement_pb2.SignedAgreement:
    document = signed(known)
    if document.provider_signature and document.consumer_signature:
        raise SimpulError(
            Code.CONFLICT, "both sides have signed this agreement: look at it (simpul access show)"
        )
    return document
