"""The agreement of a call, with its signatures; the identity keys; and the call that offered it.

What was offered isn't kept as a message, but it can be made again: it is the agreement with its
signature. Where the salt is still there, it is proven to be what was sealed then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy.pool import NullPool

from node.evidence.parcels import ParcelSource, StoredParcel, all_of_call
from node.home import NodeHome
from node.journal.model import CallFilter, Outcome
from node.journal.readonly import read_engine
from node.store.agreement_lives import StoredStep, list_standings, list_steps
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from node.store.engine import Store
from security.agreement import parse_agreement
from security.agreement_life import Step
from security.commitment import check_payload
from security.entry_format import parse_entry
from security.errors import Code, SimpulError
from security.evidence_format import ShownAgreement
from security.keys import PublicKey
from security.kinds import Close, Open
from simpul.v1 import agreement_pb2

MAX_OFFERS: Final = 1000
# The clocks of the two sides, and what it takes to tell the other.
SLACK_MS: Final = 5 * 60_000


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
            stored.agreement, stored.provider_signature, stored.consumer_signature
        )


@dataclass(frozen=True, slots=True)
class FoundOffer:
    """The offering call's parcels, and for each of its two entries what it commits to."""

    call_id: bytes
    parcels: tuple[StoredParcel, ...]
    payloads: dict[bytes, bytes]


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


def find_offer(sources: Sequence[ParcelSource], found: FoundAgreement) -> FoundOffer | None:
    """The call in which this agreement was offered and accepted; None where it isn't here."""
    terms = parse_agreement(found.stored.agreement)
    wanted = CallFilter(
        service="simpul.v1.Agreements",
        method="Offer",
        consumer=str(terms.provider_subsystem),
        outcome=Outcome.CLOSED,
        status=0,
        since_ms=terms.issued_at_ms - SLACK_MS,
        until_ms=_made_by_ms(found),
        limit=MAX_OFFERS,
    )
    for source in sources:
        for call_id in reversed(source.calls(wanted)):
            for link in source.links(call_id)[:1]:
                offer = _offer(call_id, all_of_call(sources, call_id, link), found)
                if offer is not None:
                    return offer
    return None


def _made_by_ms(found: FoundAgreement) -> int:
    """By when it was signed by both, so that not all of a long journal is looked through."""
    times = (
        step.at_ms if step.told_at_ms is None else step.told_at_ms
        for step in found.steps
        if step.step in {Step.PROPOSE, Step.ACCEPT}
    )
    return max((found.stored.added_at_ms, *times)) + SLACK_MS


def _offer(
    call_id: bytes, parcels: tuple[StoredParcel, ...], found: FoundAgreement
) -> FoundOffer | None:
    payloads: dict[bytes, bytes] = {}
    for parcel in parcels:
        for index in parcel.mine:
            entry = parcel.entries[index]
            payload = _payload(entry, parcel.salts[index][0], found)
            if payload is not None:
                payloads[entry] = payload
    # Both, or nothing: an offer without its answer proves no agreement.
    return FoundOffer(call_id, parcels, payloads) if len(payloads) == 2 else None  # noqa: PLR2004


def _payload(entry: bytes, salt: bytes, found: FoundAgreement) -> bytes | None:
    """What an entry of the offering call commits to, made again; None where it's another."""
    parsed, stored = parse_entry(entry), found.stored
    made: Sequence[agreement_pb2.OfferRequest | agreement_pb2.OfferResponse]
    signed = agreement_pb2.SignedAgreement(
        agreement=stored.agreement,
        provider_signature=stored.provider_signature,
        consumer_signature=stored.consumer_signature,
    )
    if isinstance(parsed.kind, Open):
        signed.consumer_signature = b""
        made = _offers(signed, found)
    elif isinstance(parsed.kind, Close):
        made = [agreement_pb2.OfferResponse(agreement=signed)]
    else:
        return None
    if parsed.payload is None:
        return None
    for message in made:
        payload = message.SerializeToString()
        try:
            check_payload(parsed.payload, salt, payload)
        except SimpulError:
            continue
        return payload
    return None


def _offers(
    half: agreement_pb2.SignedAgreement, found: FoundAgreement
) -> list[agreement_pb2.OfferRequest]:
    """The offers that may have been made: as the step of proposing remembers it, and a bare one.

    A note stands there as it was told; the other side's operators have seen at most its first 1,000
    characters, so of a longer one only the proposing side can make the offer again.
    """
    notes = [step.reason for step in found.steps if step.step is Step.PROPOSE]
    return [
        agreement_pb2.OfferRequest(agreement=half, counters=counters, note=note)
        for note in dict.fromkeys((*notes, ""))
        for counters in dict.fromkeys((found.counters, b""))
    ]


def needed_keys(found: FoundAgreement, listed: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """The pinned keys that the agreement names and that no directory in the file lists."""
    terms = parse_agreement(found.stored.agreement)
    there = {key.key_id for key in listed}
    wanted = {terms.provider.identity_key_id, terms.consumer.identity_key_id} - there
    return tuple(key for key in dict.fromkeys(found.pinned) if key.key_id in wanted)
