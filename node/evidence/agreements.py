"""The agreement of a call, with its signatures, its steps, and the identity keys that it rests on.

`node.evidence.offers` looks for the calls that made it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.pool import NullPool

from node.home import NodeHome
from node.journal.readonly import read_engine
from node.store.agreement_lives import StoredStep, list_standings, list_steps
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from node.store.engine import Store
from security.agreement import parse_agreement
from security.errors import Code, SimpulError
from security.evidence_format import ShownAgreement
from security.keys import PublicKey


@dataclass(frozen=True, slots=True)
class FoundAgreement:
    """An agreement as it is stored, the identity keys that this node has pinned, and its steps."""

    stored: StoredAgreement
    pinned: tuple[PublicKey, ...]
    steps: tuple[StoredStep, ...] = ()
    # The hash of the request that it counters; empty where it counters none.
    counters: bytes = b""

    @property
    def shown(self) -> ShownAgreement:
        """As a file holds it."""
        stored = self.stored
        return ShownAgreement(
            stored.agreement,
            stored.provider_signature,
            stored.consumer_signature,
            stored.delegator_signature,
            stored.delegation,
        )


def find_agreement(home: NodeHome, agreement_hash: bytes) -> FoundAgreement | None:
    """Look an agreement up in `state.db`, without writing there; None where there is none."""
    if not home.state.is_file():
        return None
    store = Store(read_engine(home.state, NullPool))
    try:
        stored = get_agreement(store, agreement_hash)
        steps = list_steps(store, agreement_hash)
        standing = list_standings(store).get(agreement_hash)
        return FoundAgreement(
            stored,
            tuple(known_keys(store).values()),
            steps,
            b"" if standing is None else standing.counters or b"",
        )
    except SimpulError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
    finally:
        store.close()


def needed_keys(found: FoundAgreement, listed: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """The pinned keys that the agreement names and that no directory in the file lists."""
    terms = parse_agreement(found.stored.agreement)
    there = {key.key_id for key in listed}
    wanted = {party.identity_key_id for party in terms.parties} - there
    return tuple(key for key in dict.fromkeys(found.pinned) if key.key_id in wanted)
