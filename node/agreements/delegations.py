"""Delegations: given and ended by operators, heard from other nodes, and found for a new agreement.

    give        by a delegator's operator: signed by the member's identity key, here or where that
                key lies (`drafted`, `take_in`), and told to the delegate
    end         by a delegator's operator, at once and for good
    received    `simpul.v1.Delegations`, from the delegator's nodes
    carried     with `Held`, from whoever has heard of it

A delegation is kept by the delegator's nodes and the delegate's. A provider meets it beside the
agreements that rest on it, and keeps of it only the end, so that nothing that comes later revives
it. Whoever tells of one is not believed: it bears the delegator's signature.

Source: docs/spec, "Agreements: on behalf of".
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from node.agreements.drafts import DEFAULT_DAYS, MS_PER_DAY, Draft
from node.agreements.model import PartyDesk, revoking_key
from node.agreements.pages import Page, is_long_over, of_delegation
from node.agreements.wire import DELEGATION_METHODS, END, GIVE, MAX_REQUEST_BYTES
from node.store.agreements import Pin, known_keys
from node.store.delegations import (
    StoredDelegation,
    StoredEnd,
    ended,
    get_delegation,
    is_known,
    keep_delegation,
    list_delegations,
    lives_resting_on,
)
from node.store.engine import Store
from security.agreement import AgreementTerms, Party, ServiceTerm, make_agreement
from security.agreement_life import Life
from security.agreement_terms import NONCE_BYTES
from security.delegation import (
    DelegatedService,
    DelegationTerms,
    check_within,
    delegation_hash,
    make_delegation,
    parse_delegation,
    sign_delegation,
    verify_delegation,
)
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId
from security.revocation import (
    Revocation,
    parse_revocation,
    sign_delegation_revocation,
    verify_delegation_revocation,
)
from security.strict import parse
from simpul.v1 import agreement_pb2

# What a newer directory may know of a delegator: it has changed its keys, or come back.
_OF_AN_OLDER_DIRECTORY: Final = frozenset(
    {Code.MEMBER_UNKNOWN, Code.KEY_UNKNOWN, Code.IDENTITY_CHANGED, Code.MEMBER_SUSPENDED}
)


@dataclass(frozen=True, slots=True)
class DelegationDraft:
    """What an operator says of a delegation. A service without methods: all of its contract's."""

    delegator: MemberId
    delegate: MemberId
    services: tuple[tuple[ServiceId, tuple[str, ...]], ...]
    purposes: tuple[str, ...]
    valid_from_ms: int | None = None
    valid_days: int | None = None


async def give(desk: PartyDesk, draft: DelegationDraft) -> StoredDelegation:
    """Sign a delegation and have it told to the delegate.

    Raises:
        SimpulError: MEMBER_UNKNOWN where the delegator isn't hosted here; IDENTITY_ABSENT;
            MEMBER_SUSPENDED; DELEGATION_INVALID; SERVICE_UNKNOWN, METHOD_UNKNOWN.
    """
    document = await drafted(desk, draft)
    key = await asyncio.to_thread(desk.identity_key, draft.delegator)
    # A key in a token signs as slowly as its device.
    document.signature = await asyncio.to_thread(sign_delegation, document.delegation, key)
    return await take_in(desk, document)


async def drafted(desk: PartyDesk, draft: DelegationDraft) -> agreement_pb2.SignedDelegation:
    """What `give` signs, or whoever holds the identity key elsewhere.

    Raises:
        SimpulError: as `give`, but for the key.
    """
    _require_hosted(desk, draft.delegator)
    now_ms = desk.time_ms()
    for member in (draft.delegator, draft.delegate):
        desk.directory.require_active(member)
    terms = await asyncio.to_thread(_terms, draft, desk.directory, now_ms, os.urandom(NONCE_BYTES))
    return agreement_pb2.SignedDelegation(delegation=make_delegation(terms))


async def take_in(desk: PartyDesk, document: agreement_pb2.SignedDelegation) -> StoredDelegation:
    """Give what was signed, here or elsewhere: judged as if it came from a stranger.

    Raises:
        SimpulError: MEMBER_UNKNOWN where the delegator isn't hosted here; what `verify_delegation`
            refuses.
    """
    delegator = parse_delegation(document.delegation).delegator.member
    _require_hosted(desk, delegator)
    now_ms = desk.time_ms()
    keys = await asyncio.to_thread(known_keys, desk.store)
    terms = verify_delegation(document, desk.directory, now_ms, keys)
    given = StoredDelegation(delegation_hash(document.delegation), document, now_ms, own=True)
    await asyncio.to_thread(keep_delegation, desk.store, given, _pins(desk, terms))
    return given


async def end(desk: PartyDesk, delegation: bytes, reason: str) -> StoredDelegation:
    """End a delegation for good. In force here when this returns.

    Raises:
        SimpulError: NOT_FOUND; MEMBER_UNKNOWN where its delegator isn't hosted here; CONFLICT where
            it was ended before.
    """
    known = await asyncio.to_thread(get_delegation, desk.store, delegation)
    delegator = parse_delegation(known.signed.delegation).delegator.member
    _require_hosted(desk, delegator)
    if known.end is not None:
        raise SimpulError(Code.CONFLICT, "this delegation was revoked before")
    now_ms = desk.time_ms()
    key = await asyncio.to_thread(revoking_key, desk, delegator)
    said = Revocation(delegation, delegator, now_ms, reason)
    revocation = await asyncio.to_thread(sign_delegation_revocation, said, key)
    over = replace(known, end=StoredEnd(revocation, own=True))
    await asyncio.to_thread(keep_delegation, desk.store, over)
    await desk.push()
    return over


async def answer(desk: PartyDesk, method: str, data: bytes, sender: MemberId) -> bytes:
    """Answer one of `simpul.v1.Delegations`.

    Raises:
        SimpulError: METHOD_UNKNOWN; REQUEST_MALFORMED; what the method refuses with.
    """
    if method == GIVE:
        given = parse(agreement_pb2.GiveRequest, data, MAX_REQUEST_BYTES)
        await _of_its_delegator(desk, given.delegation, sender)
        held = agreement_pb2.HeldDelegation(delegation=given.delegation)
        await asyncio.to_thread(keep_held, desk, held, sender)
        return agreement_pb2.GiveResponse().SerializeToString()
    if method == END:
        over = parse(agreement_pb2.EndRequest, data, MAX_REQUEST_BYTES)
        await _of_its_delegator(desk, over.delegation, sender)
        held = agreement_pb2.HeldDelegation(delegation=over.delegation, revocation=over.revocation)
        if await _ended(desk, held, sender):
            await desk.push()
        return agreement_pb2.EndResponse().SerializeToString()
    known = ", ".join(DELEGATION_METHODS)
    raise SimpulError(Code.METHOD_UNKNOWN, f"delegations have no {method}; only {known}")


async def _ended(desk: PartyDesk, held: agreement_pb2.HeldDelegation, teller: MemberId) -> bool:
    """Keep an end; returns whether the workers must hear of it."""
    try:
        new = await asyncio.to_thread(keep_held, desk, held, teller)
    except SimpulError as error:
        if error.code not in _OF_AN_OLDER_DIRECTORY:
            raise
        # Nobody tells of an end twice: it is refused by the newest directory, or not at all.
        await desk.renew_directory()
        new = await asyncio.to_thread(keep_held, desk, held, teller)
    lives = await asyncio.to_thread(lives_resting_on, desk.store, held.delegation.delegation)
    return new and Life.AGREED in lives


def keep_held(desk: PartyDesk, held: agreement_pb2.HeldDelegation, teller: MemberId) -> bool:
    """Keep a delegation, or its end, that somebody told of. The workers don't hear of it yet.

    Returns:
        Whether it is news.

    Raises:
        SimpulError: MEMBER_UNKNOWN for one that concerns no member of ours; what
            `verify_delegation` and `verify_delegation_revocation` refuse; IDENTITY_CHANGED;
            OVERLOADED for more of a delegator's than are kept.
    """
    signed, now_ms = held.delegation, desk.time_ms()
    terms, keys = parse_delegation(signed.delegation), known_keys(desk.store)
    if not any(
        _concerns(terms, member, ended=held.HasField("revocation")) for member in desk.members
    ):
        raise SimpulError(Code.MEMBER_UNKNOWN, "the delegation concerns no member of this node")
    kept = StoredDelegation(delegation_hash(signed.delegation), signed, now_ms)
    delegator = terms.delegator.member
    bounded = delegator not in desk.members
    if not held.HasField("revocation"):
        verify_delegation(signed, desk.directory, now_ms, keys)
        return keep_delegation(desk.store, kept, _pins(desk, terms), bounded=bounded)
    # The delegator's own nodes are believed by each other: the key that signed may have left its
    # statement since, and to end what should go on is the lesser harm. Of what is ended, nobody
    # need know that it was ever given.
    said = parse_revocation(held.revocation.revocation)
    believed = teller in desk.members and said.member == teller == delegator
    if not believed:
        verify_delegation_revocation(
            held.revocation, signed.delegation, desk.directory, now_ms, keys
        )
    rested_on = is_known(desk.store, kept.hash) or lives_resting_on(desk.store, signed.delegation)
    # Of one that nothing here rests on the end keeps out what may come later: an agreement can rest
    # on it only if the delegator signed it, and it isn't over.
    if not believed and not rested_on:
        if now_ms >= terms.valid_until_ms:
            return False
        verify_delegation(signed, desk.directory, now_ms, keys)
    ended_ = replace(kept, end=StoredEnd(held.revocation))
    return keep_delegation(desk.store, ended_, bounded=bounded and not rested_on)


def held_delegations(
    store: Store,
    request: agreement_pb2.HeldRequest,
    member: MemberId,
    response: agreement_pb2.HeldResponse,
    max_bytes: int,
    now_ms: int,
) -> int:
    """Add to an answer what its asker lacks of delegations; returns how many bytes they have."""
    has, over, size = set(request.delegations), set(request.revoked_delegations), 0
    page = Page(request.after, request.until)
    for known in sorted(list_delegations(store), key=lambda each: each.hash):
        end = known.end
        lacks = known.hash not in (has if end is None else over)
        if not lacks or not page.has(of_delegation(known.hash)):
            continue
        terms = parse_delegation(known.signed.delegation)
        if is_long_over(terms.valid_until_ms, now_ms):
            continue
        if not _concerns(terms, member, ended=end is not None):
            continue
        if size > max_bytes:
            response.more = True
            break
        held = agreement_pb2.HeldDelegation(
            delegation=known.signed, revocation=None if end is None else end.revocation
        )
        response.delegations.append(held)
        size += held.ByteSize()
    return size


def check_not_ended(store: Store, terms: AgreementTerms) -> None:
    """Pass where nobody here has heard that an agreement's delegation was ended.

    Raises:
        SimpulError: ACCESS_DELEGATION.
    """
    if terms.delegator is not None and terms.delegation in ended(store):
        raise SimpulError(
            Code.ACCESS_DELEGATION,
            f"{terms.delegator.member} has revoked the delegation that the agreement rests on: ask "
            "it for another",
        )


def under_delegation(
    desk: PartyDesk, draft: Draft, terms: AgreementTerms
) -> agreement_pb2.SignedAgreement:
    """A new agreement in a delegator's name, under its newest delegation that covers it.

    Of methods and dates that the operator left open, the delegation's bounds are taken.

    Raises:
        SimpulError: ACCESS_DELEGATION where there is none; DELEGATION_INVALID, which says what goes
            beyond the newest.
    """
    beyond: SimpulError | None = None
    for known in reversed(list_delegations(desk.store)):
        said = parse_delegation(known.signed.delegation)
        if said.delegator.member != draft.on_behalf_of or said.delegate != terms.consumer:
            continue
        if known.end is not None or said.valid_until_ms <= desk.time_ms():
            continue
        wanted = _bounded(terms, draft, said, known.hash)
        try:
            check_within(wanted, said)
        except SimpulError as error:
            beyond = beyond or error
            continue
        return agreement_pb2.SignedAgreement(
            agreement=make_agreement(wanted),
            delegation=known.signed.delegation,
            delegator_signature=known.signed.signature,
        )
    raise beyond or SimpulError(
        Code.ACCESS_DELEGATION,
        f"no delegation that holds lets {terms.consumer.member} act for {draft.on_behalf_of}: its "
        "operators give one at their node (simpul access delegate)",
    )


def _bounded(
    terms: AgreementTerms, draft: Draft, said: DelegationTerms, delegation: bytes
) -> AgreementTerms:
    """The agreement in the delegator's name; what the draft left open ends at the bounds."""
    lent = {
        (item.service, method)
        for item in said.services
        if item.provider == terms.provider_subsystem
        for method in item.methods
    }
    services = tuple(
        ServiceTerm(
            item.service,
            tuple(name for name in item.methods if draft.methods or (item.service, name) in lent)
            # None is left: which one isn't in it, the check says.
            or item.methods,
        )
        for item in terms.services
    )
    begins, ends = terms.valid_from_ms, terms.valid_until_ms
    return replace(
        terms,
        delegator=said.delegator,
        delegation=delegation,
        services=services,
        valid_from_ms=begins if draft.valid_from_ms else max(begins, said.valid_from_ms),
        valid_until_ms=ends if draft.valid_days else min(ends, said.valid_until_ms),
    )


def _terms(
    draft: DelegationDraft, directory: DirectoryView, now_ms: int, nonce: bytes
) -> DelegationTerms:
    begins = now_ms if draft.valid_from_ms is None else draft.valid_from_ms
    days = DEFAULT_DAYS if draft.valid_days is None else draft.valid_days
    return DelegationTerms(
        nonce=nonce,
        delegator=Party(draft.delegator, directory.identity_key(draft.delegator).key_id),
        delegate=Party(draft.delegate, directory.identity_key(draft.delegate).key_id),
        services=tuple(_services(draft, directory)),
        purposes=draft.purposes,
        valid_from_ms=begins,
        valid_until_ms=begins + days * MS_PER_DAY,
        issued_at_ms=now_ms,
    )


def _services(draft: DelegationDraft, directory: DirectoryView) -> Iterator[DelegatedService]:
    for service, named in draft.services:
        if service.subsystem.member in {draft.delegator, draft.delegate}:
            raise SimpulError(
                Code.DELEGATION_INVALID,
                f"{service} is offered by the delegator or the delegate itself: that needs an "
                "agreement (simpul access allow), and no delegation",
            )
        methods = directory.service(service.subsystem, service.service).contract.methods
        for method in named:
            if method not in methods:
                raise SimpulError(
                    Code.METHOD_UNKNOWN,
                    f"{service} has no method {method}; it has {', '.join(methods)}",
                )
        yield DelegatedService(service.subsystem, service.service, named or tuple(methods))


def _concerns(terms: DelegationTerms, member: MemberId, *, ended: bool) -> bool:
    """Whether a member must know of it: a provider, of its end only."""
    if member in {terms.delegator.member, terms.delegate.member}:
        return True
    return ended and member in providers_of(terms)


def providers_of(terms: DelegationTerms) -> Sequence[MemberId]:
    """The members whose services a delegation names, each once."""
    return tuple(dict.fromkeys(item.provider.member for item in terms.services))


def _pins(desk: PartyDesk, terms: DelegationTerms) -> list[Pin]:
    """Delegator and delegate know each other by the keys that the directory lists now."""
    pair = (terms.delegator.member, terms.delegate.member)
    return [
        Pin(owner, member, desk.directory.identity_key(member))
        for owner, member in (pair, pair[::-1])
        if owner in desk.members
    ]


async def _of_its_delegator(
    desk: PartyDesk, signed: agreement_pb2.SignedDelegation, sender: MemberId
) -> None:
    delegator = parse_delegation(signed.delegation).delegator.member
    if sender != delegator:
        raise SimpulError(
            Code.DELEGATION_INVALID, f"of a delegation its delegator tells, not {sender}"
        )
    # One that has just joined may not be known here yet.
    if delegator not in desk.directory.members:
        await desk.renew_directory()


def _require_hosted(desk: PartyDesk, member: MemberId) -> None:
    if member not in desk.members:
        raise SimpulError(
            Code.MEMBER_UNKNOWN,
            f"{member} is not hosted by this node: do it at a node of its own",
        )
