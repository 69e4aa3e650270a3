"""The agreement of a call, with its signatures; the identity keys; and the call that offered it.

What was offered isn't kept as a message, but it can be made again: it is the agreement with its
signature. Where the salt is still there, it is proven to be what was sealed then.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy.pool import NullPool

from node.evidence.parcels import LinkPlace, ParcelReader, StoredParcel
from node.home import NodeHome
from node.journal.model import CallFilter, Outcome
from node.journal.place import Place
from node.journal.reader import JournalReader
from node.journal.readonly import read_engine
from node.store.agreements import StoredAgreement, get_agreement, known_keys
from node.store.engine import Store
from security.agreement import parse_agreement
from security.commitment import check_payload
from security.entry_format import parse_entry
from security.errors import Code, SimpulError
from security.evidence_format import ShownAgreement
from security.keys import PublicKey
from security.kinds import Close, Open
from simpul.v1 import agreement_pb2

MAX_OFFERS = 1000


@dataclass(frozen=True, slots=True)
class FoundAgreement:
    """An agreement as it is stored, and the identity keys that this node has pinned."""

    stored: StoredAgreement
    pinned: tuple[PublicKey, ...]

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
        return FoundAgreement(stored, tuple(known_keys(store).values()))
    except SimpulError as error:
        if error.code is Code.NOT_FOUND:
            return None
        raise
    finally:
        store.close()


def find_offer(place: Place, reader: ParcelReader, found: FoundAgreement) -> FoundOffer | None:
    """The call in which this agreement was offered and accepted; None where it isn't here."""
    terms = parse_agreement(found.stored.agreement)
    wanted = CallFilter(
        service="simpul.v1.Agreements",
        method="Offer",
        consumer=str(terms.provider_subsystem),
        outcome=Outcome.CLOSED,
        status=0,
        since_ms=terms.issued_at_ms - 60_000,
        limit=MAX_OFFERS,
    )
    with JournalReader(place) as journal:
        calls = journal.list_calls(wanted)
    for call in reversed(calls):
        for link in reader.links(call.call_id)[:1]:
            offer = _offer(call.call_id, reader, link, found)
            if offer is not None:
                return offer
    return None


def _offer(
    call_id: bytes, reader: ParcelReader, link: LinkPlace, found: FoundAgreement
) -> FoundOffer | None:
    parcels = reader.of_call(call_id, link)
    payloads: dict[bytes, bytes] = {}
    for parcel in parcels:
        for index in parcel.mine:
            entry = parcel.entries[index]
            payload = _payload(entry, parcel.salts[index][0], found.stored)
            if payload is not None:
                payloads[entry] = payload
    # Both, or nothing: an offer without its answer proves no agreement.
    return FoundOffer(call_id, parcels, payloads) if len(payloads) == 2 else None  # noqa: PLR2004


def _payload(entry: bytes, salt: bytes, stored: StoredAgreement) -> bytes | None:
    parsed = parse_entry(entry)
    signed = agreement_pb2.SignedAgreement(
        agreement=stored.agreement,
        provider_signature=stored.provider_signature,
        consumer_signature=stored.consumer_signature,
    )
    if isinstance(parsed.kind, Open):
        signed.consumer_signature = b""
        payload = agreement_pb2.OfferRequest(agreement=signed).SerializeToString()
    elif isinstance(parsed.kind, Close):
        payload = agreement_pb2.OfferResponse(agreement=signed).SerializeToString()
    else:
        return None
    if parsed.payload is None:
        return None
    try:
        check_payload(parsed.payload, salt, payload)
    except SimpulError:
        return None
    return payload


def needed_keys(found: FoundAgreement, listed: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
    """The pinned keys that the agreement names and that no directory in the file lists."""
    terms = parse_agreement(found.stored.agreement)
    there = {key.key_id for key in listed}
    wanted = {terms.provider.identity_key_id, terms.consumer.identity_key_id} - there
    return tuple(key for key in dict.fromkeys(found.pinned) if key.key_id in wanted)
