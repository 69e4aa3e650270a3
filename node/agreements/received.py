"""What partners' nodes, and the other nodes of this node's members, say and ask of agreements.

The sender is the member whose seal the call bears. Nothing is taken on a sender's word but what it
may decide: documents are verified, decisions must fit where the agreement stands here, and what was
heard before is acknowledged and changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from node.agreements import templates
from node.agreements.delegations import check_not_ended, held_delegations
from node.agreements.drafts import check_contracts
from node.agreements.model import PartyDesk, member_of, pins, signed, stored
from node.agreements.own import accept
from node.agreements.pages import Page, is_long_over, of_agreement
from node.agreements.wire import MAX_REQUEST_BYTES, METHODS
from node.store.agreement_lives import (
    Taken,
    get_standing,
    keep_agreed,
    list_revocations,
    list_standings,
    take_step,
)
from node.store.agreements import (
    StoredAgreement,
    get_agreement,
    known_keys,
    list_agreements,
)
from node.store.templates import answered_by
from security.agreement import (
    AgreementTerms,
    agreement_hash,
    parse_agreement,
    verify_agreement,
    verify_proposal,
)
from security.agreement_compare import check_narrower
from security.agreement_life import Life, Party, Step
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.revocation import parse_revocation, verify_revocation
from security.strict import parse
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

# What a newer directory may know: the peer has just published, joined, resumed, or changed its key.
_OF_AN_OLDER_DIRECTORY: Final = frozenset(
    {
        Code.MEMBER_UNKNOWN, Code.SUBSYSTEM_UNKNOWN, Code.SERVICE_UNKNOWN, Code.METHOD_UNKNOWN,
        Code.KEY_UNKNOWN, Code.IDENTITY_CHANGED, Code.ACCESS_FIELDS, Code.MEMBER_SUSPENDED,
    }
)  # fmt: skip
MAX_NOTE_CHARS: Final = 1000
# Of one answer: an agreement has a few kilobytes, at most 256 KiB.
MAX_HELD: Final = 1000
MAX_HELD_BYTES: Final = 2 * 1024 * 1024


async def answer(desk: PartyDesk, method: str, data: bytes, sender: MemberId) -> bytes:
    """Answer one of `simpul.v1.Agreements`.

    Raises:
        SimpulError: METHOD_UNKNOWN; REQUEST_MALFORMED; what the method refuses with.
    """
    match method:
        case "Offer":
            offer = parse(agreement_pb2.OfferRequest, data, MAX_REQUEST_BYTES)
            return (await offered(desk, offer, sender)).SerializeToString()
        case "Decide":
            decision = parse(agreement_pb2.DecideRequest, data, MAX_REQUEST_BYTES)
            await decided(desk, decision, sender)
            return agreement_pb2.DecideResponse().SerializeToString()
        case "Revoke":
            request = parse(agreement_pb2.RevokeRequest, data, MAX_REQUEST_BYTES)
            await revoked(desk, request.revocation, sender)
            return agreement_pb2.RevokeResponse().SerializeToString()
        case "Held":
            asked = parse(agreement_pb2.HeldRequest, data, MAX_REQUEST_BYTES)
            return (await asyncio.to_thread(held, desk, asked, sender)).SerializeToString()
        case _:
            known = ", ".join(METHODS)
            raise SimpulError(Code.METHOD_UNKNOWN, f"agreements have no {method}; only {known}")


async def offered(
    desk: PartyDesk, request: agreement_pb2.OfferRequest, sender: MemberId
) -> agreement_pb2.OfferResponse:
    """A party proposes; or a node of a member of ours shares what both have signed.

    Raises:
        SimpulError: AGREEMENT_INVALID, ACCESS_FIELDS, IDENTITY_CHANGED, MEMBER_UNKNOWN;
            IDENTITY_ABSENT where another node of the member decides; CONFLICT for one that stands
            otherwise here.
    """
    agreement = request.agreement
    if agreement.provider_signature and agreement.consumer_signature:
        return await _shared(desk, agreement, sender)
    try:
        terms, party = await asyncio.to_thread(_judge, desk, agreement)
    except SimpulError as error:
        if error.code not in _OF_AN_OLDER_DIRECTORY:
            raise
        await desk.renew_directory()
        terms, party = await asyncio.to_thread(_judge, desk, agreement)
    if sender != member_of(terms, party):
        raise SimpulError(
            Code.AGREEMENT_INVALID, "an agreement is proposed by the party that signed it"
        )
    ours = (terms.provider_subsystem,) if party is Party.CONSUMER else terms.consumer_subsystems
    for subsystem in ours:
        desk.require_hosted(subsystem)
    signs_here = await asyncio.to_thread(_signs_here, desk, ours[0].member)
    proposal = stored(agreement, desk.time_ms())
    known = await asyncio.to_thread(_known, desk, proposal.hash)
    if known is None:
        await _propose(desk, request, terms, proposal, party)
    both: StoredAgreement | None = None
    if signs_here:
        both = await _signed_at_once(desk, proposal, terms, party, known)
    if known is Life.AGREED:
        both = await asyncio.to_thread(get_agreement, desk.store, proposal.hash)
    return agreement_pb2.OfferResponse(agreement=None if both is None else signed(both))


async def decided(desk: PartyDesk, request: agreement_pb2.DecideRequest, sender: MemberId) -> None:
    """The other party accepts, declines, or takes back.

    Raises:
        SimpulError: NOT_FOUND, CONFLICT; what `verify_agreement` refuses.
    """
    now_ms = desk.time_ms()
    if request.WhichOneof("decision") == "declined":
        no = request.declined
        known = await asyncio.to_thread(get_agreement, desk.store, no.agreement)
        party = _party(parse_agreement(known.agreement), sender)
        step = Step.WITHDRAW if no.withdrawn else Step.DECLINE
        wanted = Life.WITHDRAWN if no.withdrawn else Life.DECLINED
        if await asyncio.to_thread(_known, desk, known.hash) is not wanted:
            taken = Taken(step, party, now_ms, own=False, reason=_note(no.reason))
            await asyncio.to_thread(take_step, desk.store, known, taken)
        return
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms = verify_agreement(request.accepted, desk.directory, now_ms, keys)
    await taken_up(desk, request.accepted, terms, _party(terms, sender))


async def taken_up(
    desk: PartyDesk,
    accepted: agreement_pb2.SignedAgreement,
    terms: AgreementTerms,
    party: Party,
) -> StoredAgreement:
    """What was proposed here came back with the other party's signature, verified before.

    Raises:
        SimpulError: NOT_FOUND where it was not proposed here; CONFLICT where it is no longer open.
    """
    known = await asyncio.to_thread(get_agreement, desk.store, agreement_hash(accepted.agreement))
    both = stored(accepted, known.added_at_ms)
    if await asyncio.to_thread(_known, desk, known.hash) is Life.AGREED:
        return both
    taken = Taken(Step.ACCEPT, party, desk.time_ms(), own=False)
    await asyncio.to_thread(take_step, desk.store, both, taken, pins(desk, terms))
    await desk.push()
    return both


async def revoked(
    desk: PartyDesk, revocation: agreement_pb2.SignedRevocation, sender: MemberId
) -> None:
    """A party ended an agreement; or a node of a member of ours says that it did.

    Raises:
        SimpulError: NOT_FOUND, CONFLICT; what `verify_revocation` refuses.
    """
    if await keep_revoked(desk, revocation, sender):
        await desk.push()


async def keep_revoked(
    desk: PartyDesk, revocation: agreement_pb2.SignedRevocation, sender: MemberId
) -> bool:
    """As `revoked`, but the workers don't hear of it yet; returns whether it is news."""
    now_ms = desk.time_ms()
    said = parse_revocation(revocation.revocation)
    known = await asyncio.to_thread(get_agreement, desk.store, said.agreement)
    terms = parse_agreement(known.agreement)
    if sender not in {terms.provider.member, terms.consumer.member}:
        raise SimpulError(Code.AGREEMENT_INVALID, "a revocation is told by a party")
    # A member's own nodes are believed: the key that signed may have left its statement since, and
    # to end what should go on is the lesser harm.
    if not (sender in desk.members and said.member == sender):
        keys = await asyncio.to_thread(known_keys, desk.store)
        verify_revocation(revocation, known.agreement, desk.directory, now_ms, keys)
    party = _party(terms, said.member)
    if await asyncio.to_thread(_known, desk, known.hash) is Life.REVOKED:
        return False
    taken = Taken(Step.REVOKE, party, now_ms, own=False, reason=_note(said.reason))
    await asyncio.to_thread(take_step, desk.store, known, taken, (), revocation)
    return True


def held(
    desk: PartyDesk, request: agreement_pb2.HeldRequest, sender: MemberId
) -> agreement_pb2.HeldResponse:
    """What the asking member is party to and lacks: what both signed, revocations, delegations.

    Raises:
        SimpulError: AGREEMENT_INVALID for another member's.
    """
    member = MemberId.parse(request.member)
    if member != sender:
        raise SimpulError(
            Code.AGREEMENT_INVALID, f"{sender} may ask for its own agreements, not {member}'s"
        )
    has, ended = set(request.agreements), set(request.revoked)
    page, response = Page(request.after, request.until), agreement_pb2.HeldResponse()
    now_ms = desk.time_ms()
    # The ends of delegations first: nothing that rests on them is in force in between.
    size = held_delegations(desk.store, request, member, response, MAX_HELD_BYTES, now_ms)
    standings, revocations = list_standings(desk.store), list_revocations(desk.store)
    for agreement in sorted(list_agreements(desk.store), key=lambda each: each.hash):
        life = standings[agreement.hash].life
        if str(member) not in {agreement.provider, agreement.consumer}:
            continue
        if not page.has(of_agreement(agreement.hash)):
            continue
        lacks = agreement.hash not in has and agreement.is_signed_by_both
        unaware = life is Life.REVOKED and agreement.hash not in ended
        if not (lacks or unaware) or life not in {Life.AGREED, Life.REVOKED}:
            continue
        if is_long_over(parse_agreement(agreement.agreement).valid_until_ms, now_ms):
            continue
        if size > MAX_HELD_BYTES or len(response.agreements) >= MAX_HELD:
            response.more = True
            break
        # Its revocation goes with it, so that nothing is in force in between.
        shown = signed(agreement)
        response.agreements.append(shown)
        size += shown.ByteSize()
        if life is Life.REVOKED and agreement.hash in revocations:
            response.revocations.append(revocations[agreement.hash])
            size += revocations[agreement.hash].ByteSize()
    return response


def _signs_here(desk: PartyDesk, member: MemberId) -> bool:
    """Whether this node can sign for a member.

    Only a node that could takes a proposal, and the sender tries the member's other nodes; where no
    node could, it waits here.

    Raises:
        SimpulError: IDENTITY_ABSENT.
    """
    try:
        desk.identity_key(member)
    except SimpulError as error:
        if error.code is not Code.IDENTITY_ABSENT or not desk.signs_elsewhere:
            raise
        return False
    return True


def _judge(
    desk: PartyDesk, agreement: agreement_pb2.SignedAgreement
) -> tuple[AgreementTerms, Party]:
    """Judge a proposal by the directory as it is known here."""
    keys = known_keys(desk.store)
    terms, party = verify_proposal(agreement, desk.directory, desk.time_ms(), keys)
    check_not_ended(desk.store, terms)
    check_contracts(terms, desk.directory)
    return terms, party


async def _shared(
    desk: PartyDesk, agreement: agreement_pb2.SignedAgreement, sender: MemberId
) -> agreement_pb2.OfferResponse:
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms = verify_agreement(agreement, desk.directory, desk.time_ms(), keys)
    # A party's other nodes alone tell so. From a partner an offer that was withdrawn, declined or
    # countered here would come back, with the signature that it lacked.
    if sender not in {terms.provider.member, terms.consumer.member} & set(desk.members):
        raise SimpulError(
            Code.AGREEMENT_INVALID, "what both have signed is shared by a party's own nodes alone"
        )
    kept = stored(agreement, desk.time_ms())
    await asyncio.to_thread(keep_agreed, desk.store, kept, pins(desk, terms))
    await desk.push()
    return agreement_pb2.OfferResponse(agreement=agreement)


async def _propose(
    desk: PartyDesk,
    request: agreement_pb2.OfferRequest,
    terms: AgreementTerms,
    proposal: StoredAgreement,
    party: Party,
) -> None:
    """Put a proposal into the operators' inbox."""
    now_ms = desk.time_ms()
    counters = request.counters or None
    if counters is not None:
        asked = await asyncio.to_thread(get_agreement, desk.store, counters)
        check_narrower(parse_agreement(asked.agreement), terms)
        countered = Taken(Step.COUNTER, party, now_ms, own=False, reason=_note(request.note))
        await asyncio.to_thread(take_step, desk.store, asked, countered)
    taken = Taken(
        Step.PROPOSE, party, now_ms, own=False, reason=_note(request.note), counters=counters
    )
    await asyncio.to_thread(take_step, desk.store, proposal, taken, pins(desk, terms))


async def _signed_at_once(
    desk: PartyDesk,
    proposal: StoredAgreement,
    terms: AgreementTerms,
    party: Party,
    known: Life | None,
) -> StoredAgreement | None:
    """Sign a proposal that needs no operator here; None: it waits for one."""
    if party is Party.PROVIDER:
        if desk.agrees_by_itself and known in {None, Life.OFFERED}:
            return await accept(desk, proposal.hash)
        return None
    if known in {None, Life.REQUESTED}:
        return await _by_template(desk, proposal, terms)
    return None


async def _by_template(
    desk: PartyDesk, proposal: StoredAgreement, terms: AgreementTerms
) -> StoredAgreement | None:
    """Sign what an operator approved beforehand; None: it waits for one."""
    template = await asyncio.to_thread(templates.fitting, desk, terms)
    if template is None:
        return None
    consumer = terms.consumer.member
    keep = answered_by(template, proposal.hash, consumer, desk.time_ms())
    both = await accept(desk, proposal.hash, templates.said_of(template), keep)
    _log.info(
        "request answered by template", agreement=proposal.hash.hex()[:16],
        template=template.name, approved_by=template.approved_by, consumer=str(consumer),
    )  # fmt: skip
    # What it renews; or itself, where the consumer was taken out of the group meanwhile.
    await templates.end_left(desk, consumer)
    return both


def _party(terms: AgreementTerms, member: MemberId) -> Party:
    if member == terms.provider.member:
        return Party.PROVIDER
    if member == terms.consumer.member:
        return Party.CONSUMER
    raise SimpulError(Code.AGREEMENT_INVALID, f"{member} is no party of the agreement")


def _known(desk: PartyDesk, agreement: bytes) -> Life | None:
    try:
        return get_standing(desk.store, agreement).life
    except SimpulError as error:
        if error.code is not Code.NOT_FOUND:
            raise
        return None


def _note(text: str) -> str:
    return text[:MAX_NOTE_CHARS]
