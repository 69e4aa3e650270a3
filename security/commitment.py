"""Commitments to payloads and private blocks, and the running tally of messages.

An entry says that a message went by, and its rounded length, never the message itself. A
commitment is H(domain, salt, bytes) with 16 random bytes of salt, so nobody who sees the hash can
search for a 16-digit citizen number; the length is rounded up to 256 bytes, so that a yes and a no
look alike. Whoever holds bytes and salt can prove them; whoever destroys the salt has erased them.

A tally counts the messages of one direction and runs a digest over their commitments, so that
"I received the first n of yours" is one value: d(0) is 32 zero bytes and
d(n+1) = H("simpul/v1/messages", d(n), hash of the commitment to message n).

It draws no salts: they are arguments.

Source: docs/spec, "Entries: commitments"; simpul/v1/parcel.proto, `Commitment` and `Tally`.
"""

from dataclasses import dataclass
from typing import Final, Self

from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, MESSAGES, PAYLOAD, PRIVATE, digest
from simpul.v1 import parcel_pb2

SALT_BYTES: Final = 16
ROUND_BYTES: Final = 256


def rounded(length_bytes: int) -> int:
    """`length_bytes` rounded up to the next multiple of 256; 256 for no bytes at all."""
    return max(ROUND_BYTES, -(-length_bytes // ROUND_BYTES) * ROUND_BYTES)


@dataclass(frozen=True, slots=True)
class Commitment:
    """What an entry says of bytes beside it: 32 bytes of hash and the rounded length."""

    hash: bytes
    rounded_bytes: int


def commit_payload(salt: bytes, payload: bytes) -> Commitment:
    """Commit to a gRPC message with 16 fresh random bytes."""
    return Commitment(digest(PAYLOAD, salt, payload), rounded(len(payload)))


def commit_private(salt: bytes, block: bytes) -> Commitment:
    """Commit to a private block's bytes with 16 fresh random bytes."""
    return Commitment(digest(PRIVATE, salt, block), rounded(len(block)))


def check_payload(commitment: Commitment, salt: bytes, payload: bytes) -> None:
    """Check a gRPC message, inline or put together from chunks, against its commitment.

    Raises:
        SimpulError: COMMITMENT_MISMATCH.
    """
    _check(commitment, digest(PAYLOAD, salt, payload), len(payload), "payload")


def check_private(commitment: Commitment, salt: bytes, block: bytes) -> None:
    """Check a private block against its commitment; raises SimpulError COMMITMENT_MISMATCH."""
    _check(commitment, digest(PRIVATE, salt, block), len(block), "private block")


def _check(commitment: Commitment, hashed: bytes, length_bytes: int, what: str) -> None:
    if hashed != commitment.hash or rounded(length_bytes) != commitment.rounded_bytes:
        raise SimpulError(
            Code.COMMITMENT_MISMATCH,
            f"a {what} isn't what its entry commits to; ask the sender's operator what changed it",
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """How many messages went by in one direction, and the running digest over all of them."""

    count: int = 0
    digest: bytes = bytes(HASH_BYTES)

    def add(self, commitment_hash: bytes) -> Self:
        """The tally with one more message, whose commitment has this hash."""
        return type(self)(self.count + 1, digest(MESSAGES, self.digest, commitment_hash))

    def to_proto(self) -> parcel_pb2.Tally:
        """As it stands in half-close, close and cancel."""
        return parcel_pb2.Tally(count=self.count, digest=self.digest)


NO_MESSAGES: Final = Tally()
