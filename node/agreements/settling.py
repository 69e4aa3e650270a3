"""Asks the other nodes of the hosted members, and partners, for what this node has missed.

A member's agreements are one set that all its nodes hold: what both signed, and what was revoked.
Each node asks each of its siblings for what it lacks, at the start and from then on; a set only
grows, so nodes that have asked each other hold the same. Rules:

1. A node that has not heard from a sibling for the limit permits no calls of that member: the
   sibling may know of a revocation. Nodes that the directory lists as inactive don't count, so an
   operator who takes a dead node out of the directory ends the wait.
2. A node that was restored from a backup asks its partners too, whatever its siblings say.

Source: trust, "Agreements"; docs/spec, "Agreements: one list".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import structlog

from node.agreements.delegations import keep_held, providers_of
from node.agreements.model import PartyDesk, member_of, other, own_party, pins, stored, subsystem_of
from node.agreements.pages import of_agreement, of_delegation, page_after, places_of
from node.agreements.received import keep_revoked
from node.agreements.wire import HELD, MAX_ANSWER_BYTES
from node.model import speaker_of
from node.store.agreement_lives import keep_agreed, list_standings
from node.store.agreements import known_keys, list_agreements
from node.store.delegations import list_delegations
from security.agreement import AgreementTerms, parse_agreement, verify_agreement
from security.agreement_life import Life, Party
from security.delegation import parse_delegation
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from security.strict import parse
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

# Answers in a row of which nothing can be taken over, before the rest is left for the next round.
MAX_BARREN: Final = 16
# A partner may have signed what was over here by then; a sibling knows what this node does not.
_TAKEN_BACK: Final = frozenset({Life.WITHDRAWN, Life.DECLINED, Life.COUNTERED})


@dataclass(frozen=True, slots=True)
class Sibling:
    """Another node of a member that is hosted here."""

    member: MemberId
    node: NodeId


@dataclass(frozen=True, slots=True)
class _Holdings:
    """What this node holds: how agreements stand, and whether delegations were ended."""

    lives: Mapping[bytes, Life]
    ends: Mapping[bytes, bool]

    def request(self, member: MemberId, after: bytes) -> agreement_pb2.HeldRequest:
        """Ask for as much, from a place on, as a request has room to say what is held of."""
        page = page_after(after, self.ends, self.lives)
        agreements = sorted(hash_ for hash_ in self.lives if page.has(of_agreement(hash_)))
        delegations = sorted(hash_ for hash_ in self.ends if page.has(of_delegation(hash_)))
        return agreement_pb2.HeldRequest(
            member=str(member),
            agreements=agreements,
            revoked=[hash_ for hash_ in agreements if self.lives[hash_] is Life.REVOKED],
            delegations=delegations,
            revoked_delegations=[hash_ for hash_ in delegations if self.ends[hash_]],
            after=page.after,
            until=page.until,
        )


class Settling:
    """Which siblings this node has heard from, and when, in the event loop's time."""

    def __init__(self, desk: PartyDesk) -> None:
        self._desk = desk
        self._heard_s: dict[Sibling, float] = {}

    def siblings(self) -> Iterator[Sibling]:
        """All active ones now."""
        desk = self._desk
        for member in desk.members:
            try:
                nodes = desk.directory.nodes_of(member, desk.time_ms())
            except SimpulError:
                # Not listed yet, or suspended: nobody may call it.
                continue
            yield from (Sibling(member, node.id) for node in nodes if node.id != desk.node)

    def unsettled(self, now_s: float, limit_s: float) -> frozenset[MemberId]:
        """The members whose calls are permitted by nobody here until a sibling answers."""
        return frozenset(
            sibling.member
            for sibling in self.siblings()
            if now_s - self._heard_s.get(sibling, float("-inf")) > limit_s
        )

    async def round(self) -> None:
        """Ask every sibling once, side by side."""
        await asyncio.gather(*(self._ask(sibling) for sibling in list(self.siblings())))

    async def partners(self) -> tuple[SimpulError, ...]:
        """Ask one node of every partner; returns why some could not be asked.

        Raises:
            SimpulError: DIRECTORY_ABSENT.
        """
        faults = []
        for member, sender, receiver in await asyncio.to_thread(self._partners):
            fault: SimpulError | None = SimpulError(
                Code.NODE_UNKNOWN, f"{receiver.member} has no active node to ask"
            )
            for node in self._desk.directory.nodes_of(receiver.member, self._desk.time_ms()):
                try:
                    await self._fetch(member, node.id, sender, receiver)
                    fault = None
                    break
                except SimpulError as error:
                    fault = error
            if fault is not None:
                faults.append(fault)
        return tuple(faults)

    async def _ask(self, sibling: Sibling) -> None:
        try:
            name = speaker_of(self._desk.directory, sibling.member)
            await self._fetch(sibling.member, sibling.node, name, name)
        except SimpulError as error:
            _log.warning(
                "sibling not heard from",
                member=str(sibling.member), peer=str(sibling.node), code=error.code,
                why=error.message,
            )  # fmt: skip
            return
        self._heard_s[sibling] = asyncio.get_running_loop().time()

    async def _fetch(
        self, member: MemberId, node: NodeId, sender: SubsystemId, receiver: SubsystemId
    ) -> None:
        """Take over what a node holds of a member's agreements, to the last."""
        # What is taken over meanwhile lies before the place from which it goes on to ask.
        holdings = await asyncio.to_thread(self._holdings)
        after, barren = b"", 0
        while True:
            request = await asyncio.to_thread(holdings.request, member, after)
            answer = await self._desk.ask(
                node, HELD, request.SerializeToString(), sender=sender, receiver=receiver
            )
            held = parse(agreement_pb2.HeldResponse, answer, MAX_ANSWER_BYTES)
            changed = await self._take(held, receiver.member)
            # One that says that there is more, and gives nothing new, would be asked for ever.
            barren = 0 if changed or not held.more else barren + 1
            reached = max(places_of(held), default=b"") if held.more else request.until
            if reached <= after or barren > MAX_BARREN:
                return
            after = reached

    async def _take(self, held: agreement_pb2.HeldResponse, teller: MemberId) -> bool:
        """Take over an answer; returns whether any of it is news."""
        desk, changed = self._desk, False
        keys = await asyncio.to_thread(known_keys, desk.store)
        standings = await asyncio.to_thread(list_standings, desk.store) if held.agreements else {}
        for delegation in held.delegations:
            changed = await self._take_delegation(delegation, teller) or changed
        for agreement in held.agreements:
            try:
                terms = verify_agreement(agreement, desk.directory, desk.time_ms(), keys)
            except SimpulError as error:
                if error.code is not Code.ACCESS_EXPIRED:
                    _log.warning("agreement not taken over", code=error.code, why=error.message)
                continue
            kept = stored(agreement, desk.time_ms())
            before = standings.get(kept.hash)
            if teller not in desk.members and before is not None and before.life in _TAKEN_BACK:
                # Both have signed it; but here it was over before the other did.
                continue
            life = await asyncio.to_thread(keep_agreed, desk.store, kept, pins(desk, terms))
            changed = changed or before is None or before.life is not life
        for revocation in held.revocations:
            changed = await self._take_revocation(revocation, teller) or changed
        # Once, at the end: nothing that was revoked is in force in between.
        if changed:
            await desk.push()
        return changed

    async def _take_delegation(self, held: agreement_pb2.HeldDelegation, teller: MemberId) -> bool:
        try:
            return await asyncio.to_thread(keep_held, self._desk, held, teller)
        except SimpulError as error:
            if error.code is not Code.ACCESS_EXPIRED:
                _log.warning("delegation not taken over", code=error.code, why=error.message)
            return False

    async def _take_revocation(
        self, revocation: agreement_pb2.SignedRevocation, teller: MemberId
    ) -> bool:
        try:
            return await keep_revoked(self._desk, revocation, teller)
        except SimpulError as error:
            _log.warning("revocation not taken over", code=error.code, why=error.message)
            return False

    def _holdings(self) -> _Holdings:
        standings = list_standings(self._desk.store)
        return _Holdings(
            lives={
                hash_: standing.life
                for hash_, standing in standings.items()
                if standing.life in {Life.AGREED, Life.REVOKED}
            },
            ends={
                known.hash: known.end is not None for known in list_delegations(self._desk.store)
            },
        )

    def _partners(self) -> list[tuple[MemberId, SubsystemId, SubsystemId]]:
        """A hosted member, in whose name it asks, and whom: once for each pair of members."""
        desk = self._desk
        found: dict[tuple[MemberId, MemberId], AgreementTerms] = {}
        for agreement in list_agreements(self._desk.store):
            terms = parse_agreement(agreement.agreement)
            key = (terms.provider.member, terms.consumer.member)
            if key not in found or terms.delegator is not None:
                found[key] = terms
        asked: dict[tuple[MemberId, MemberId], tuple[MemberId, SubsystemId, SubsystemId]] = {}
        for terms in found.values():
            party = own_party(desk, terms, (Party.PROVIDER, Party.CONSUMER))
            across = other(party)
            if member_of(terms, across) not in desk.members:
                sender, receiver = subsystem_of(terms, party), subsystem_of(terms, across)
                asked[sender.member, receiver.member] = (sender.member, sender, receiver)
        for owner, member in self._delegating(found.values()):
            if owner in desk.members and member not in desk.members:
                names = (speaker_of(desk.directory, owner), speaker_of(desk.directory, member))
                asked.setdefault((owner, member), (owner, *names))
        return list(asked.values())

    def _delegating(
        self, agreements: Iterable[AgreementTerms]
    ) -> Iterator[tuple[MemberId, MemberId]]:
        """Who may know of the end of a delegation that concerns whom, both ways."""
        pairs: list[tuple[MemberId, MemberId]] = []
        for terms in agreements:
            if terms.delegator is not None:
                parties = (terms.provider.member, terms.consumer.member)
                pairs += ((party, terms.delegator.member) for party in parties)
        for known in list_delegations(self._desk.store):
            said = parse_delegation(known.signed.delegation)
            others = (said.delegate.member, *providers_of(said))
            pairs += ((said.delegator.member, each) for each in others)
        for first, second in dict.fromkeys(pairs):
            yield from ((first, second), (second, first))
