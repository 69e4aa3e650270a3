"""Consents at the supervisor: what operators record and withdraw, and what workers ask.

Where the agency has a register of its own (`consent.verifier`), that one is asked and nothing is
kept here: a second truth would be one too many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from node.config import NodeConfig
from node.consent.guard import ConsentGuard, Workers
from node.consent.local import LocalRegister
from node.consent.model import Consent, Question, State
from node.consent.opening import open_verifier
from node.home import NodeHome
from node.secret_ring import SecretRing
from node.store.consents import Wanted, find_consent, keep_consent, list_consents, mark_withdrawn
from node.store.engine import Store
from security.agreement_terms import check_purpose_id
from security.consent import check_reference
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId
from security.persons import PersonKind, normalised, person_tag

MAX_LISTED: Final = 1000
REFERENCE_BYTES: Final = 16
# So that every reference holds a letter, and is known for what it is.
PREFIX: Final = "cns-"


@dataclass(frozen=True, slots=True)
class Given:
    """What a citizen has consented to. `repr` hides who."""

    subject: str = field(repr=False)
    consumer: SubsystemId
    service: ServiceId
    purpose: str
    valid_until_ms: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Which consents an operator wants to see; empty where it isn't asked."""

    reference: str = ""
    subject: str = field(default="", repr=False)
    consumer: str = ""
    purpose: str = ""
    state: str = ""


class Consents:
    """One for each supervisor."""

    def __init__(
        self,
        home: NodeHome,
        config: NodeConfig,
        store: Store,
        workers: Workers,
        now_ms: Callable[[], int],
    ) -> None:
        self._store = store
        self._ring = SecretRing(home)
        self._members = frozenset(config.member_ids)
        self._now_ms = now_ms
        self._verifier = open_verifier(home, config, store)
        self._guard = ConsentGuard(
            self._verifier, workers, timeout_s=config.consent.timeout_ms / 1000, now_ms=now_ms
        )

    async def run(self) -> None:
        """Hear withdrawals until cancelled."""
        await self._guard.run()

    async def close(self) -> None:
        """Give the verifier's channel back, where there is one."""
        await self._verifier.close()

    async def verify(self, question: Question) -> int:
        """Until when a call's consent holds; raises as `ConsentGuard.verify`."""
        return await self._guard.verify(question)

    async def record(self, given: Given) -> Consent:
        """Keep a consent under a reference of its own.

        Raises:
            SimpulError: CONSENT_ELSEWHERE; MEMBER_UNKNOWN, for a service of no member of this
                node; REQUEST_MALFORMED; ID_MALFORMED, for a purpose that is none.
        """
        self._own_register()
        now_ms = self._now_ms()
        check_purpose_id(given.purpose)
        if given.service.subsystem.member not in self._members:
            raise SimpulError(
                Code.MEMBER_UNKNOWN,
                f"{given.service} is of no member of this node: record the consent at its provider",
            )
        if normalised(given.subject) == "":
            raise SimpulError(Code.REQUEST_MALFORMED, "say whose consent it is (--subject)")
        if given.valid_until_ms <= now_ms:
            raise SimpulError(
                Code.REQUEST_MALFORMED, "the consent would be over already: say a later --until"
            )
        return await asyncio.to_thread(self._keep, given, now_ms)

    async def withdraw(self, reference: str) -> tuple[Consent, bool]:
        """End a consent; when this returns, every worker has ended its calls.

        Returns:
            The consent, and whether it had been withdrawn before.

        Raises:
            SimpulError: CONSENT_ELSEWHERE, CONSENT_MALFORMED, NOT_FOUND; INTERNAL where a worker
                hangs: the consent is withdrawn all the same.
        """
        register = self._own_register()
        check_reference(reference)
        fresh = await asyncio.to_thread(mark_withdrawn, self._store, reference, self._now_ms())
        references = frozenset({reference})
        register.tell(references)
        # Awaited besides: who withdraws is told when it is in force, and not before.
        await self._guard.withdrawn(references)
        return await self._one(reference), not fresh

    async def listed(self, asked: Asked) -> tuple[tuple[Consent, ...], bool]:
        """The newest that match, and whether there are more.

        Raises:
            SimpulError: CONSENT_ELSEWHERE, REQUEST_MALFORMED; NOT_FOUND for a reference that is
                unknown.
        """
        self._own_register()
        wanted = await asyncio.to_thread(self._wanted, asked)
        found = await asyncio.to_thread(list_consents, self._store, wanted, MAX_LISTED + 1)
        if asked.reference and not found:
            await self._one(asked.reference)
        return found[:MAX_LISTED], len(found) > MAX_LISTED

    def state(self, consent: Consent) -> State:
        """What has become of it by now."""
        return consent.state(self._now_ms())

    def _own_register(self) -> LocalRegister:
        if not isinstance(self._verifier, LocalRegister):
            raise SimpulError(
                Code.CONSENT_ELSEWHERE,
                "this node asks the register in consent.verifier: record and withdraw there",
            )
        return self._verifier

    def _keep(self, given: Given, now_ms: int) -> Consent:
        newest = self._ring.kept_keys().newest_index
        consent = Consent(
            reference=PREFIX + os.urandom(REFERENCE_BYTES).hex(),
            subject_tag=person_tag(newest, PersonKind.SUBJECT, given.subject),
            consumer=given.consumer,
            service=given.service,
            purpose=given.purpose,
            recorded_at_ms=now_ms,
            valid_until_ms=given.valid_until_ms,
        )
        keep_consent(self._store, consent)
        return consent

    async def _one(self, reference: str) -> Consent:
        found = await asyncio.to_thread(find_consent, self._store, reference)
        if found is None:
            raise SimpulError(
                Code.NOT_FOUND,
                f"there is no consent {reference[:128]!a}: `simpul consent list` shows those there "
                "are",
            )
        return found

    def _wanted(self, asked: Asked) -> Wanted:
        tags = None
        if asked.subject:
            tags = self._ring.kept_keys().tags(PersonKind.SUBJECT, asked.subject)
        try:
            state = State(asked.state) if asked.state else None
        except ValueError:
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                f"{asked.state[:40]!a} is no state: {', '.join(State)}",
            ) from None
        return Wanted(
            now_ms=self._now_ms(),
            reference=asked.reference or None,
            subject_tags=tags,
            consumer=asked.consumer or None,
            purpose=asked.purpose or None,
            state=state,
        )
