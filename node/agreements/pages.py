"""The order in which nodes ask each other for what they lack, and the parts in which they do.

Delegations come first, so that an end is known before an agreement that rests on it; among
themselves documents lie by their hashes. A place is a byte for which of the two, and the hash.

Source: docs/spec, "Agreements: one list".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from security.agreement import agreement_hash
from security.delegation import delegation_hash
from simpul.v1 import agreement_pb2

# Each is listed at most twice, with 34 bytes: 272 kB of the 512 KiB that a request may have.
MAX_LISTED: Final = 4000
# Nobody takes over what is over; a day, because clocks differ.
_LONG_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Page:
    """What lies after a place, up to another one; empty: from the first, to the last."""

    after: bytes = b""
    until: bytes = b""

    def has(self, place: bytes) -> bool:
        """Whether a document lies in it."""
        return self.after < place and (not self.until or place <= self.until)


def of_delegation(hash_: bytes) -> bytes:
    """A delegation's place."""
    return b"\0" + hash_


def of_agreement(hash_: bytes) -> bytes:
    """An agreement's."""
    return b"\1" + hash_


def is_long_over(valid_until_ms: int, now_ms: int) -> bool:
    """Whether nodes need tell each other of a document no longer, nor of its end."""
    return valid_until_ms + _LONG_MS <= now_ms


def page_after(after: bytes, delegations: Collection[bytes], agreements: Collection[bytes]) -> Page:
    """The longest one from a place on of which a request can list all that is held."""
    places = (*map(of_delegation, delegations), *map(of_agreement, agreements))
    first = nsmallest(MAX_LISTED + 1, (place for place in places if place > after))
    return Page(after, first[-2] if len(first) > MAX_LISTED else b"")


def places_of(held: agreement_pb2.HeldResponse) -> Iterator[bytes]:
    """Where the documents of an answer lie."""
    for known in held.delegations:
        yield of_delegation(delegation_hash(known.delegation.delegation))
    for agreement in held.agreements:
        yield of_agreement(agreement_hash(agreement.agreement))
