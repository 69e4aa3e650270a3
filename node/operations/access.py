"""Agreements at the supervisor: operators' decisions, partners' calls, and what runs beside them.

`node.agreements` knows how; this is where it meets the clock, the workers and the desk. A decision
is told at once, and what could not be told is tried again; siblings are asked all the while.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import structlog

from node.agreements import delegations, elsewhere, own, received, show, show_delegations
from node.agreements.delegation_telling import DelegationTeller
from node.agreements.delegations import DelegationDraft
from node.agreements.drafts import Draft, Narrowing
from node.agreements.force import Force, in_force
from node.agreements.hints import hints, registered
from node.agreements.settling import Settling
from node.agreements.show import Shown
from node.agreements.show_delegations import ShownDelegation
from node.agreements.telling import Teller
from node.agreements.templates import end_left
from node.agreements.wire import DELEGATIONS, MAX_REQUEST_BYTES
from node.operations.desk import Desk
from node.store.agreements import StoredAgreement
from security import strict
from security.agreement_life import Party
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.v1 import agreement_pb2

_log = structlog.get_logger(__name__)

# What was decided at another node is there, at the latest, after so long.
ROUND_S: Final = 15.0
# Until every sibling has been heard from once.
FIRST_ROUND_S: Final = 0.25
LOOK_S: Final = 1.0
# How long an operator's command waits for the other side to hear of it.
TELL_S: Final = 10.0


# Of an agreement's step, and of a delegation or its end.
Untold = tuple[SimpulError | None, SimpulError | None]


@dataclass(frozen=True, slots=True)
class Done:
    """An agreement after a decision, and why the other side hasn't heard of it yet, if so."""

    agreement: Shown
    untold: SimpulError | None


@dataclass(frozen=True, slots=True)
class Told:
    """The hash of a delegation after a decision, and why somebody hasn't heard of it, if so."""

    delegation: bytes
    untold: SimpulError | None


class Access:
    """One for each supervisor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._teller = Teller(desk)
        self._delegations = DelegationTeller(desk)
        self._settling = Settling(desk)
        # One round of telling at a time: a step is told in the order in which it was taken.
        self._telling = asyncio.Lock()
        # One at a time: a proposal that is told twice meets what its first telling left.
        self._answering = asyncio.Lock()

    def begin(self) -> None:
        """Until siblings have been heard from, no call of their members begins here."""
        self._desk.unsettled = self._unsettled()

    async def run(self) -> None:
        """Tell what is untold and ask siblings, until cancelled."""
        await asyncio.gather(self._tell_for_ever(), self._settle_for_ever())

    async def allow(self, draft: Draft, note: str) -> Done:
        """Offer an agreement; raises as `node.agreements.own.propose`."""
        return await self._done(await own.propose(self._desk, draft, Party.PROVIDER, note))

    async def request(self, draft: Draft, note: str) -> Done:
        """Ask for an agreement; raises as `node.agreements.own.propose`."""
        return await self._done(await own.propose(self._desk, draft, Party.CONSUMER, note))

    async def decide(
        self, agreement: str, decision: str, reason: str, narrowing: Narrowing
    ) -> Done:
        """Accept, counter, decline, withdraw or revoke.

        Raises:
            SimpulError: as the functions of `node.agreements.own`; REQUEST_MALFORMED.
        """
        desk = self._desk
        found = await asyncio.to_thread(show.find, desk, agreement)
        match decision:
            case "accept":
                made = await own.accept(desk, found.hash)
            case "counter":
                made = await own.counter(desk, found.hash, narrowing, reason)
            case "decline":
                made = await own.decline(desk, found.hash, reason)
            case "withdraw":
                made = await own.withdraw(desk, found.hash, reason)
            case "revoke":
                made = await own.revoke(desk, found.hash, reason)
            case _:
                raise SimpulError(
                    Code.REQUEST_MALFORMED,
                    f"{decision[:40]!a} is no decision: accept, counter, decline, withdraw, revoke",
                )
        return await self._done(made)

    async def delegate(self, draft: DelegationDraft) -> Told:
        """Let a member act for one of ours; raises as `node.agreements.delegations.give`."""
        made = await delegations.give(self._desk, draft)
        return Told(made.hash, (await self._tell_now())[1])

    async def draft_delegation(self, draft: DelegationDraft) -> bytes:
        """One to be signed elsewhere; raises as `node.agreements.delegations.drafted`."""
        return (await delegations.drafted(self._desk, draft)).SerializeToString()

    async def take_in_delegation(self, document: bytes) -> Told:
        """One that was signed elsewhere.

        Raises:
            SimpulError: DELEGATION_INVALID; as `node.agreements.delegations.take_in`.
        """
        signed = strict.parse(
            agreement_pb2.SignedDelegation,
            document,
            MAX_REQUEST_BYTES,
            code=Code.DELEGATION_INVALID,
        )
        made = await delegations.take_in(self._desk, signed)
        return Told(made.hash, (await self._tell_now())[1])

    async def end_delegation(self, delegation: str, reason: str) -> Told:
        """End one; raises as `node.agreements.delegations.end` and `show_delegations.find`."""
        found = await asyncio.to_thread(show_delegations.find, self._desk, delegation)
        made = await delegations.end(self._desk, found.hash, reason)
        return Told(made.hash, (await self._tell_now())[1])

    def delegations(self) -> list[ShownDelegation]:
        """All delegations of this node."""
        return show_delegations.all_shown(self._desk)

    async def draft(self, draft: Draft, party: Party) -> bytes:
        """A new agreement to be signed elsewhere; raises as `elsewhere.to_propose`."""
        return (await elsewhere.to_propose(self._desk, draft, party)).SerializeToString()

    async def export(self, agreement: str) -> bytes:
        """A proposal of the other side, to be signed elsewhere; raises as `elsewhere.to_accept`."""
        found = await asyncio.to_thread(show.find, self._desk, agreement)
        return (await elsewhere.to_accept(self._desk, found.hash)).SerializeToString()

    async def take_in(self, document: bytes, note: str) -> Done:
        """What was signed elsewhere.

        Raises:
            SimpulError: AGREEMENT_INVALID; as `elsewhere.take_in`.
        """
        signed = strict.parse(
            agreement_pb2.SignedAgreement, document, MAX_REQUEST_BYTES, code=Code.AGREEMENT_INVALID
        )
        return await self._done(await elsewhere.take_in(self._desk, signed, note))

    async def settle(self) -> tuple[tuple[SimpulError, ...], frozenset[MemberId]]:
        """Ask siblings and partners now; returns who could not be asked, and who is unsettled."""
        await self._round()
        return await self._settling.partners(), self._desk.unsettled

    async def look_at_groups(self) -> None:
        """Revoke what came of templates for members that a new directory has out of their group."""
        try:
            await end_left(self._desk)
        except SimpulError as error:
            _log.error("groups not looked at", code=error.code, why=error.message)

    def shown(self) -> list[Shown]:
        """All agreements of this node."""
        return show.all_shown(self._desk, self._in_force())

    def one(self, agreement: str) -> Shown:
        """One agreement, by its hash or how it begins; raises as `show.find`."""
        found = show.find(self._desk, agreement)
        return show.shown(self._desk, found, self._in_force())

    def hints(self, shown: Shown) -> tuple[str, ...]:
        """What an operator may want to know of an agreement."""
        try:
            return hints(shown.terms, self._desk.directory)
        except SimpulError as error:
            # The service is withdrawn, or the contract broken: of this its state tells more.
            _log.info("no hints", agreement=shown.stored.hash.hex()[:16], code=error.code)
            return ()

    def registered(self, shown: Shown) -> tuple[tuple[str, str], ...]:
        """What the consumer's register says of its purposes."""
        return registered(shown.terms, self._desk.directory)

    async def answer(self, service: str, method: str, data: bytes, sender: MemberId) -> bytes:
        """What a peer asks of `Agreements` or `Delegations`; raises what it is refused with."""
        async with self._answering:
            if service == DELEGATIONS:
                return await delegations.answer(self._desk, method, data, sender)
            return await received.answer(self._desk, method, data, sender)

    async def _done(self, made: StoredAgreement) -> Done:
        untold, _ = await self._tell_now()
        shown = await asyncio.to_thread(show.shown, self._desk, made, self._in_force())
        return Done(shown, untold)

    async def _tell_now(self) -> Untold:
        try:
            async with asyncio.timeout(TELL_S):
                return await self._tell()
        except TimeoutError:
            late = SimpulError(
                Code.PEER_UNREACHABLE, f"the other side has not answered within {TELL_S:g} s"
            )
            return late, late

    async def _tell(self) -> Untold:
        """Tell all that is untold; returns why an agreement's step and a delegation still are."""
        async with self._telling:
            # Delegations first: a request rests on them.
            delegation = await self._delegations.tell()
            return await self._teller.tell(), delegation

    async def _tell_for_ever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                untold = any(await self._tell())
            except SimpulError as error:
                _log.info("agreements not told", code=error.code, why=error.message)
                untold = True
            if untold:
                await asyncio.sleep(ROUND_S)

    async def _settle_for_ever(self) -> None:
        while True:
            try:
                await self._round()
            except SimpulError as error:
                _log.warning("agreements not settled", code=error.code, why=error.message)
            await asyncio.sleep(FIRST_ROUND_S if self._desk.unsettled else ROUND_S)

    async def _round(self) -> None:
        await self._settling.round()
        unsettled = self._unsettled()
        if unsettled != self._desk.unsettled:
            self._desk.unsettled = unsettled
            _log.info("agreements settled" if not unsettled else "agreements unsettled",
                      members=sorted(map(str, unsettled)))  # fmt: skip
            await self._desk.push()

    def _unsettled(self) -> frozenset[MemberId]:
        limit_s = self._desk.config.agreements.siblings_within_s
        if limit_s == 0:
            return frozenset()
        return self._settling.unsettled(asyncio.get_running_loop().time(), limit_s)

    def _in_force(self) -> Force:
        return in_force(self._desk)
