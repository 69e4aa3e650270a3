"""Finds what acknowledges a call's parcels: later headers of the other side, and the way there.

A header says the number and hash of the other side's last parcel that is durable with it. Where
that is a later one than the call's, the sender's headers between lead back to the call's, each by
the hash of the one before. Parcels that are near each other share a receipt; one that comes long
after has one of its own, so that no file carries a busy link's hour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.evidence.parcels import MAX_CHAIN, Group, ParcelSource, StoredParcel
from node.journal.model import Direction
from security.parcel import header_hash

# Parcels of one direction with more between them have receipts of their own.
MAX_GAP: Final = 256


@dataclass(slots=True)
class Receipts:
    """Parcels that acknowledge, and headers on the way, by their hashes."""

    parcels: dict[bytes, StoredParcel] = field(default_factory=dict)
    chain: dict[bytes, bytes] = field(default_factory=dict)


def find_receipts(sources: Sequence[ParcelSource], parcels: Sequence[StoredParcel]) -> Receipts:
    """Look for receipts of these parcels of one end of a link; in the oldest source first."""
    found = Receipts()
    for direction in Direction:
        of_one = sorted(
            (item for item in parcels if item.direction is direction), key=lambda item: item.number
        )
        for group in _groups(of_one):
            _find(sources, group, found)
    own = {item.hash for item in parcels}
    # A parcel of the call may be the receipt of another.
    found.parcels = {hashed: item for hashed, item in found.parcels.items() if hashed not in own}
    known = own | found.parcels.keys()
    found.chain = {hashed: data for hashed, data in found.chain.items() if hashed not in known}
    return found


def _groups(parcels: Iterable[StoredParcel]) -> list[Group]:
    groups: list[list[StoredParcel]] = []
    for parcel in parcels:
        if groups and parcel.number - groups[-1][-1].number <= MAX_GAP:
            groups[-1].append(parcel)
        else:
            groups.append([parcel])
    return [Group(tuple(group)) for group in groups]


def _find(sources: Sequence[ParcelSource], group: Group, found: Receipts) -> None:
    receipt, headers = None, dict[int, bytes]()
    for source in sources:
        part = source.acknowledged(group)
        headers |= part.headers
        # A later one, though it may acknowledge no more: none that is older does.
        receipt = part.receipt or receipt
        if part.receipt is not None and part.receipt.acknowledges(group.last):
            break
    received = None if receipt is None else receipt.fields.received
    if receipt is None or received is None:
        return
    if not group.first <= received.number <= group.last + MAX_CHAIN:
        return
    found.parcels[receipt.hash] = receipt
    found.chain |= {
        header_hash(data): data for number, data in headers.items() if number <= received.number
    }
