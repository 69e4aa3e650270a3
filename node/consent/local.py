"""The register of consents in this node's own state database.

It is this node's alone: another node of the same member refuses what was recorded here. The citizen
is kept as a keyed hash, like in the journal's index; who has the database and not the index key
finds nobody in it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, Callable

from node.consent import refusals
from node.consent.model import Consent, Question, State
from node.journal.kept.keys import KeptKeys
from node.store.consents import find_consent
from node.store.engine import Store
from security.persons import PersonKind, normalised


class LocalRegister:
    """A `ConsentVerifier`. `keys` gives the node's index keys as they are now."""

    def __init__(self, store: Store, keys: Callable[[], KeptKeys]) -> None:
        self._store = store
        self._keys = keys
        self._listening: set[asyncio.Queue[frozenset[str]]] = set()

    async def check(self, question: Question, now_ms: int) -> int:
        """Until when it holds; raises as `verifier.ConsentVerifier`."""
        return await asyncio.to_thread(self._check, question, now_ms)

    async def withdrawals(self) -> AsyncGenerator[frozenset[str]]:
        """What `tell` is told from now on; it never ends by itself."""
        heard: asyncio.Queue[frozenset[str]] = asyncio.Queue()
        self._listening.add(heard)
        try:
            yield frozenset()
            while True:
                yield await heard.get()
        finally:
            self._listening.discard(heard)

    def tell(self, references: frozenset[str]) -> None:
        """Say that these were withdrawn, which is stored already."""
        for heard in self._listening:
            heard.put_nowait(references)

    async def close(self) -> None:
        """The database is the supervisor's."""

    def _check(self, question: Question, now_ms: int) -> int:
        consent = find_consent(self._store, question.reference)
        if consent is None or not self._fits(consent, question):
            raise refusals.unknown()
        state = consent.state(now_ms)
        if state is State.WITHDRAWN:
            raise refusals.withdrawn()
        if state is State.EXPIRED:
            raise refusals.over()
        return consent.valid_until_ms

    def _fits(self, consent: Consent, question: Question) -> bool:
        said = (question.consumer, question.service, question.purpose)
        if said != (consent.consumer, consent.service, consent.purpose):
            return False
        if normalised(question.subject) == "":
            return False
        tags = self._keys().tags(PersonKind.SUBJECT, question.subject)
        return any(hmac.compare_digest(tag, consent.subject_tag) for tag in tags)
