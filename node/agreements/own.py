"""What a node's operators do with agreements.

Each step is stored before anybody hears of it, and told by `telling`, at once and again until the
other side has it: an operator's decision doesn't wait for a node that is down. A revocation is in
force here when the command returns, whoever has heard of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from sqlmodel import Session

from node.agreements.delegations import check_not_ended, under_delegation
from node.agreements.drafts import (
    Draft,
    Narrowing,
    check_contracts,
    make_terms,
    narrowed,
)
from node.agreements.model import (
    PartyDesk,
    member_of,
    other,
    own_party,
    pins,
    revoking_key,
    signed,
    stored,
)
from node.caller import CALLER
from node.store.agreement_lives import Taken, get_standing, take_step
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from security.agreement import (
    AgreementTerms,
    make_agreement,
    parse_agreement,
    sign_agreement,
    verify_proposal,
)
from security.agreement_compare import check_narrower
from security.agreement_life import Life, Party, Step
from security.agreement_terms import NONCE_BYTES
from security.errors import Code, SimpulError
from security.keys import PrivateKey
from security.revocation import Revocation, sign_revocation
from simpul.v1 import agreement_pb2


async def propose(desk: PartyDesk, draft: Draft, party: Party, note: str = "") -> StoredAgreement:
    """Make an agreement, sign it as `party`, and have it told to the other.

    Where the other is hosted here too, both sign at once.

    Raises:
        SimpulError: MEMBER_UNKNOWN where the party isn't hosted here; IDENTITY_ABSENT; as
            `drafted`.
    """
    document = await drafted(desk, draft, party)
    taken = Taken(Step.PROPOSE, party, desk.time_ms(), own=True, reason=note)
    return await _propose(desk, document, taken)


async def drafted(desk: PartyDesk, draft: Draft, party: Party) -> agreement_pb2.SignedAgreement:
    """What `propose` signs: with the delegation that it rests on, where it does.

    Raises:
        SimpulError: MEMBER_UNKNOWN where the party isn't hosted here; as `make_terms` and
            `under_delegation`.
    """
    terms = await asyncio.to_thread(
        make_terms, draft, desk.directory, desk.time_ms(), os.urandom(NONCE_BYTES)
    )
    desk.require_hosted(draft.consumer if party is Party.CONSUMER else draft.service.subsystem)
    if draft.on_behalf_of is None:
        return agreement_pb2.SignedAgreement(agreement=make_agreement(terms))
    if party is Party.PROVIDER:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            "an agreement on behalf of a member is asked for by the one who acts for it: "
            "simpul access request, at that node",
        )
    return await asyncio.to_thread(under_delegation, desk, draft, terms)


async def accept(
    desk: PartyDesk,
    agreement: bytes,
    reason: str = "",
    also: Callable[[Session], None] | None = None,
) -> StoredAgreement:
    """Sign what the other party proposed; `reason` stays here, and `also` is stored with it.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT when it doesn't wait for this; IDENTITY_ABSENT; what
            `verify_proposal` and `check_contracts` refuse.
    """
    known, party = await waiting(desk, agreement)
    now_ms = desk.time_ms()
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms, _ = verify_proposal(signed(known), desk.directory, now_ms, keys)
    await asyncio.to_thread(check_not_ended, desk.store, terms)
    await asyncio.to_thread(check_contracts, terms, desk.directory)
    both = await asyncio.to_thread(_countersigned, desk, known, terms, party)
    taken = Taken(Step.ACCEPT, party, now_ms, own=True, reason=reason)
    await asyncio.to_thread(take_step, desk.store, both, taken, pins(desk, terms), None, also)
    await desk.push()
    return both


async def counter(
    desk: PartyDesk, agreement: bytes, by: Narrowing, note: str = ""
) -> StoredAgreement:
    """Offer less than what a consumer asked for.

    Raises:
        SimpulError: AGREEMENT_INVALID, which names the terms that would not be narrower; as
            `accept`.
    """
    known = await asyncio.to_thread(get_agreement, desk.store, agreement)
    asked = parse_agreement(known.agreement)
    own_party(desk, asked, (Party.PROVIDER,))
    now_ms = desk.time_ms()
    terms = await asyncio.to_thread(
        narrowed, asked, by, desk.directory, now_ms, os.urandom(NONCE_BYTES)
    )
    check_narrower(asked, terms)
    # The other side hears of it with the counter-offer.
    taken = Taken(Step.COUNTER, Party.PROVIDER, now_ms, own=False, reason=note)
    await asyncio.to_thread(take_step, desk.store, known, taken)
    offer = Taken(Step.PROPOSE, Party.PROVIDER, now_ms, own=True, reason=note, counters=agreement)
    document = agreement_pb2.SignedAgreement(
        agreement=make_agreement(terms),
        delegation=known.delegation,
        delegator_signature=known.delegator_signature,
    )
    return await _propose(desk, document, offer)


async def decline(desk: PartyDesk, agreement: bytes, reason: str) -> StoredAgreement:
    """Say no to what the other party proposed; raises NOT_FOUND, CONFLICT, MEMBER_UNKNOWN."""
    known, party = await waiting(desk, agreement)
    taken = Taken(Step.DECLINE, party, desk.time_ms(), own=True, reason=reason)
    await asyncio.to_thread(take_step, desk.store, known, taken)
    return known


async def withdraw(desk: PartyDesk, agreement: bytes, reason: str) -> StoredAgreement:
    """Take back what this side proposed; raises NOT_FOUND, CONFLICT, MEMBER_UNKNOWN."""
    known = await asyncio.to_thread(get_agreement, desk.store, agreement)
    terms = parse_agreement(known.agreement)
    life = (await asyncio.to_thread(get_standing, desk.store, agreement)).life
    wanted = Party.CONSUMER if life is Life.REQUESTED else Party.PROVIDER
    party = own_party(desk, terms, (wanted,))
    taken = Taken(Step.WITHDRAW, party, desk.time_ms(), own=True, reason=reason)
    await asyncio.to_thread(take_step, desk.store, known, taken)
    return known


async def revoke(desk: PartyDesk, agreement: bytes, reason: str) -> StoredAgreement:
    """End an agreement for good. In force here when this returns.

    Raises:
        SimpulError: NOT_FOUND; CONFLICT where it isn't agreed; MEMBER_UNKNOWN for no party of ours.
    """
    known = await asyncio.to_thread(get_agreement, desk.store, agreement)
    terms = parse_agreement(known.agreement)
    party = own_party(desk, terms, (Party.PROVIDER, Party.CONSUMER))
    member, now_ms = member_of(terms, party), desk.time_ms()
    key = await asyncio.to_thread(revoking_key, desk, member)
    said = Revocation(agreement, member, now_ms, reason)
    # A key in a token signs as slowly as its device.
    revocation = await asyncio.to_thread(sign_revocation, said, key)
    taken = Taken(Step.REVOKE, party, now_ms, own=True, reason=reason)
    await asyncio.to_thread(take_step, desk.store, known, taken, (), revocation)
    await desk.push()
    return known


async def _propose(
    desk: PartyDesk, mine: agreement_pb2.SignedAgreement, taken: Taken
) -> StoredAgreement:
    terms = parse_agreement(mine.agreement)
    key = await asyncio.to_thread(_own_key, desk, terms, taken.party)
    await asyncio.to_thread(_sign, mine, taken.party, key)
    proposal = stored(mine, taken.at_ms)
    await asyncio.to_thread(take_step, desk.store, proposal, taken, pins(desk, terms))
    across = member_of(terms, other(taken.party))
    # Whoever works for one of two members here doesn't sign for the other: it waits for who does.
    if across in desk.members and CALLER.get().acts_for(across):
        return await accept(desk, proposal.hash)
    return proposal


async def waiting(desk: PartyDesk, agreement: bytes) -> tuple[StoredAgreement, Party]:
    """A proposal, and the party of ours that may answer it; raises NOT_FOUND, MEMBER_UNKNOWN."""
    known = await asyncio.to_thread(get_agreement, desk.store, agreement)
    life = (await asyncio.to_thread(get_standing, desk.store, agreement)).life
    wanted = Party.CONSUMER if life is Life.OFFERED else Party.PROVIDER
    return known, own_party(desk, parse_agreement(known.agreement), (wanted,))


def _countersigned(
    desk: PartyDesk, known: StoredAgreement, terms: AgreementTerms, party: Party
) -> StoredAgreement:
    both = signed(known)
    _sign(both, party, _own_key(desk, terms, party))
    return stored(both, known.added_at_ms)


def _sign(agreement: agreement_pb2.SignedAgreement, party: Party, key: PrivateKey) -> None:
    signature = sign_agreement(agreement.agreement, key)
    if party is Party.PROVIDER:
        agreement.provider_signature = signature
    else:
        agreement.consumer_signature = signature


def _own_key(desk: PartyDesk, terms: AgreementTerms, party: Party) -> PrivateKey:
    """The identity key that the agreement names for us."""
    named = terms.provider if party is Party.PROVIDER else terms.consumer
    key = desk.identity_key(named.member)
    if key.public.key_id != named.identity_key_id:
        raise SimpulError(
            Code.AGREEMENT_INVALID,
            f"the agreement names an identity key that {named.member} no longer uses; ask for it "
            "to be made again",
        )
    return key
