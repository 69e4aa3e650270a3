"""Brings each step to the nodes that must know of it, until all have it.

A step of an operator's goes to every active node of the other party: whichever holds its identity
key decides, and all must know of a revocation. What both signed, and revocations, go to the other
nodes of the members hosted here too. A node that can't be reached is asked again; one that refuses
is not, and its refusal is logged: `settling` finds what it lacks later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from node.agreements.model import PartyDesk, member_of, other, signed, subsystem_of
from node.agreements.received import taken_up
from node.agreements.wire import DECIDE, MAX_ANSWER_BYTES, OFFER, REVOKE
from node.store.agreement_lives import (
    StoredStep,
    Taken,
    get_standing,
    list_revocations,
    list_untold,
    mark_told,
    take_step,
)
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from security.agreement import AgreementTerms, parse_agreement, verify_agreement
from security.agreement_life import Party, Step
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.strict import parse
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

# The node may have it tomorrow; of any other refusal the answer would be the same.
AGAIN: Final = frozenset(
    {
        Code.PEER_UNREACHABLE, Code.NOT_STARTED, Code.OUTCOME_UNKNOWN, Code.DEADLINE_EXCEEDED,
        Code.NODE_DRAINING, Code.OVERLOADED, Code.NOT_RUNNING, Code.SUPERVISOR_LOST,
        Code.NODE_UNKNOWN, Code.JOURNAL_FULL, Code.INTERNAL,
    }
)  # fmt: skip


# Another node of the party decides, or has decided: this is no word about the proposal.
_NO_ANSWER: Final = frozenset({Code.IDENTITY_ABSENT, Code.CONFLICT})


@dataclass(frozen=True, slots=True)
class _Letter:
    """What one node is to be told."""

    node: NodeId
    method: str
    data: bytes
    # The party in whose name, and the one that is told; the same for a member's own other nodes.
    sender: Party
    receiver: Party


class Teller:
    """What has been told to whom since this node started."""

    def __init__(self, desk: PartyDesk) -> None:
        self._desk = desk
        self._told: set[tuple[int, NodeId]] = set()

    async def tell(self) -> SimpulError | None:
        """Tell every step that somebody lacks; returns why one is still untold, if any is."""
        untold = None
        for step in await asyncio.to_thread(list_untold, self._desk.store):
            try:
                untold = await self._tell(step) or untold
            except SimpulError as error:
                # Its party is suspended, or not listed: the others are told all the same.
                untold = error
        return untold

    async def _tell(self, step: StoredStep) -> SimpulError | None:
        desk = self._desk
        agreement = await asyncio.to_thread(get_agreement, desk.store, step.agreement)
        terms = parse_agreement(agreement.agreement)
        letters = await asyncio.to_thread(self._letters, step, agreement, terms)
        untold: SimpulError | None = None
        heard = any(letter.receiver is not step.party for letter in letters)
        member = member_of(terms, other(step.party))
        # Hosted here too, it has the step already: its operators find it in their inbox.
        if not heard and member not in desk.members:
            untold = SimpulError(Code.NODE_UNKNOWN, f"{member} has no active node to be told by")
        for letter in letters:
            if (step.number, letter.node) in self._told:
                continue
            error = await self._send(step, letter, terms)
            if error is None or error.code not in AGAIN:
                self._told.add((step.number, letter.node))
            # Of a party's several nodes one holds the identity key, and that one decides.
            if error is not None and error.code is not Code.IDENTITY_ABSENT:
                untold = error
        if untold is None or untold.code not in AGAIN:
            await asyncio.to_thread(mark_told, desk.store, step.number, desk.time_ms())
        return untold

    async def _send(
        self, step: StoredStep, letter: _Letter, terms: AgreementTerms
    ) -> SimpulError | None:
        try:
            answer = await self._desk.ask(
                letter.node,
                letter.method,
                letter.data,
                sender=subsystem_of(terms, letter.sender),
                receiver=subsystem_of(terms, letter.receiver),
            )
            if step.step is Step.PROPOSE:
                await self._answered(answer, step)
        except SimpulError as error:
            _log.info(
                "agreement's step not told", agreement=step.agreement.hex()[:16], step=step.step,
                peer=str(letter.node), code=error.code, why=error.message,
            )  # fmt: skip
            if step.step is Step.PROPOSE and error.code not in AGAIN | _NO_ANSWER:
                await self._refused(step, error)
            return error
        return None

    async def _answered(self, answer: bytes, step: StoredStep) -> None:
        """A proposal may come back signed by both."""
        desk = self._desk
        response = parse(agreement_pb2.OfferResponse, answer, MAX_ANSWER_BYTES)
        if not response.HasField("agreement"):
            return
        mine = await asyncio.to_thread(get_agreement, desk.store, step.agreement)
        if response.agreement.agreement != mine.agreement:
            raise SimpulError(
                Code.AGREEMENT_INVALID, "the other side answered with another agreement"
            )
        keys = await asyncio.to_thread(known_keys, desk.store)
        terms = verify_agreement(response.agreement, desk.directory, desk.time_ms(), keys)
        await taken_up(desk, response.agreement, terms, other(step.party))

    async def _refused(self, step: StoredStep, error: SimpulError) -> None:
        """A node that won't have a proposal has declined it."""
        desk = self._desk
        agreement = await asyncio.to_thread(get_agreement, desk.store, step.agreement)
        reason = f"{error.code}: {error.message}"
        taken = Taken(
            Step.DECLINE, other(step.party), desk.time_ms(), own=False, reason=reason[:1000]
        )
        try:
            await asyncio.to_thread(take_step, desk.store, agreement, taken)
        except SimpulError as conflict:
            # Withdrawn meanwhile, or decided by another node of the same party.
            if conflict.code is not Code.CONFLICT:
                raise

    def _letters(
        self, step: StoredStep, agreement: StoredAgreement, terms: AgreementTerms
    ) -> list[_Letter]:
        method, data = self._message(step, agreement)
        across = other(step.party)
        letters = [
            _Letter(node, method, data, step.party, across) for node in self._nodes(terms, across)
        ]
        if step.step in {Step.ACCEPT, Step.REVOKE}:
            # Between nodes of one member an agreement is offered as it was signed.
            if step.step is Step.ACCEPT:
                method = OFFER
                data = agreement_pb2.OfferRequest(agreement=signed(agreement)).SerializeToString()
            letters += [
                _Letter(node, method, data, step.party, step.party)
                for node in self._nodes(terms, step.party)
            ]
        return letters

    def _message(self, step: StoredStep, agreement: StoredAgreement) -> tuple[str, bytes]:
        match step.step:
            case Step.PROPOSE:
                standing = get_standing(self._desk.store, step.agreement)
                offer = agreement_pb2.OfferRequest(
                    agreement=_proposed(agreement, step.party),
                    counters=standing.counters or b"",
                    note=step.reason,
                )
                return OFFER, offer.SerializeToString()
            case Step.ACCEPT:
                decision = agreement_pb2.DecideRequest(accepted=signed(agreement))
                return DECIDE, decision.SerializeToString()
            case Step.REVOKE:
                revocation = list_revocations(self._desk.store)[step.agreement]
                request = agreement_pb2.RevokeRequest(revocation=revocation)
                return REVOKE, request.SerializeToString()
            case _:
                no = agreement_pb2.Decline(
                    agreement=step.agreement,
                    reason=step.reason,
                    withdrawn=step.step is Step.WITHDRAW,
                )
                return DECIDE, agreement_pb2.DecideRequest(declined=no).SerializeToString()

    def _nodes(self, terms: AgreementTerms, party: Party) -> Iterator[NodeId]:
        """A party's active nodes, but for this one; whether here or elsewhere."""
        desk = self._desk
        member = member_of(terms, party)
        for node in desk.directory.nodes_of(member, desk.time_ms()):
            if node.id != desk.node:
                yield node.id


def _proposed(agreement: StoredAgreement, party: Party) -> agreement_pb2.SignedAgreement:
    """The proposal as it was made: the other signature may have come since."""
    return agreement_pb2.SignedAgreement(
        agreement=agreement.agreement,
        provider_signature=agreement.provider_signature if party is Party.PROVIDER else b"",
        consumer_signature=agreement.consumer_signature if party is Party.CONSUMER else b"",
        delegation=agreement.delegation,
        delegator_signature=agreement.delegator_signature,
    )
