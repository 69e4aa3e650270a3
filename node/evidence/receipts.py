"""Finds what acknowledges a call's parcels: later headers of the other side, and the way there.

A header says the number and hash of the other side's last parcel that is durable with it. Where
that is a later one than the call's, the sender's headers between lead back to the call's, each by
the hash of the one before. Parcels that are near each other share a receipt; one that comes long
after has one of its own, so that no file carries a busy link's hour.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.evidence.parcels import LinkPlace, ParcelReader, StoredParcel
from node.journal.model import Direction
from security.parcel import header_hash

# Parcels of one direction with more between them have receipts of their own.
MAX_GAP: Final = 256
# A receipt that comes later than so many parcels isn't followed.
MAX_CHAIN: Final = 4096

_OTHER: Final = {Direction.SENT: Direction.RECEIVED, Direction.RECEIVED: Direction.SENT}


@dataclass(slots=True)
class Receipts:
    """Parcels that acknowledge, and headers on the way, by their hashes."""

    parcels: dict[bytes, StoredParcel] = field(default_factory=dict)
    chain: dict[bytes, bytes] = field(default_factory=dict)


def find_receipts(
    reader: ParcelReader, link: LinkPlace, parcels: Sequence[StoredParcel]
) -> Receipts:
    """Look for receipts of these parcels of one link."""
    found = Receipts()
    for direction in Direction:
        numbers = sorted({item.number for item in parcels if item.direction is direction})
        for group in _groups(numbers):
            _find(reader, link, direction, group, found)
    own = {item.hash for item in parcels}
    # A parcel of the call may be the receipt of another.
    found.parcels = {hashed: item for hashed, item in found.parcels.items() if hashed not in own}
    known = own | found.parcels.keys()
    found.chain = {hashed: data for hashed, data in found.chain.items() if hashed not in known}
    return found


def _groups(numbers: Iterable[int]) -> list[list[int]]:
    groups: list[list[int]] = []
    for number in numbers:
        if groups and number - groups[-1][-1] <= MAX_GAP:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def _find(
    reader: ParcelReader, link: LinkPlace, direction: Direction, group: list[int], found: Receipts
) -> None:
    receipt = _first_over(reader, link, _OTHER[direction], group[-1])
    if receipt is None:
        return
    received = receipt.fields.received
    if received is None or not group[0] <= received.number <= group[-1] + MAX_CHAIN:
        return
    found.parcels[receipt.hash] = receipt
    headers = reader.headers(link, direction, group[0], received.number)
    found.chain |= {header_hash(data): data for data in headers.values()}


def _first_over(
    reader: ParcelReader, link: LinkPlace, direction: Direction, number: int
) -> StoredParcel | None:
    """The first parcel that acknowledges `number`; where there is none, the last that there is.

    What is acknowledged never falls along a link, so the first is found by halves.
    """
    last = reader.last_number(link, direction)
    if last is None:
        return None
    low, high = 0, last
    while low < high:
        middle = (low + high) // 2
        parcel = reader.numbered(link, direction, middle)
        received = None if parcel is None else parcel.fields.received
        if received is not None and received.number >= number:
            high = middle
        else:
            low = middle + 1
    return reader.numbered(link, direction, low)
