"""Seals: one signature over a batch of parcels, and for each parcel its place in the batch.

The signature, under the domain "simpul/v1/seal", covers 40 bytes: the size of the batch as 8
bytes, big-endian, and the RFC 6962 root over the header hashes in it. Each parcel carries the
signature, the size, its index and its path. So a signer of 100 signatures a second serves 700
peers, and a lone parcel is a batch of one, with no path.

Which key must have signed is the directory's word, never the parcel's; `receiver` asks it.

Source: docs/spec, "Seals"; simpul/v1/parcel.proto, `Seal`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from security import merkle
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, SEAL
from security.keys import PrivateKey, PublicKey
from security.limits import MAX_BATCH, MAX_SEAL_BYTES
from security.strict import parse
from simpul.v1 import parcel_pb2

_SIZE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Seal:
    """A signature over a batch, and the path from the header hash at `index` to its root."""

    signature: bytes
    batch_size: int
    index: int
    path: tuple[bytes, ...]


def make_seals(private_key: PrivateKey, header_hashes: Sequence[bytes]) -> list[bytes]:
    """Seal a batch with one signature: the bytes of one Seal for each header hash, in order.

    Raises:
        ValueError: the batch is empty, or larger than any receiver takes; a caller is wrong.
    """
    size = len(header_hashes)
    if not 1 <= size <= MAX_BATCH:
        raise ValueError(f"a batch holds 1 to {MAX_BATCH} header hashes, not {size}")
    *levels, top = _levels(header_hashes)
    signature = private_key.sign(SEAL, _signed(size, top[0]))
    return [
        parcel_pb2.Seal(
            signature=signature, batch_size=size, index=index, path=_path(levels, index)
        ).SerializeToString(deterministic=True)
        for index in range(size)
    ]


def parse_seal(data: bytes) -> Seal:
    """Parse a seal, strictly; raises SimpulError PARCEL_TOO_LARGE or PARCEL_MALFORMED."""
    message = parse(
        parcel_pb2.Seal,
        data,
        MAX_SEAL_BYTES,
        code=Code.PARCEL_MALFORMED,
        too_large=Code.PARCEL_TOO_LARGE,
    )
    if not message.signature:
        _refuse("it has no signature")
    if not message.HasField("index") or not message.index < message.batch_size <= MAX_BATCH:
        _refuse(f"it has no place in a batch of 1 to {MAX_BATCH}")
    path = tuple(message.path)
    if any(len(item) != HASH_BYTES for item in path):
        _refuse(f"a hash of its path hasn't {HASH_BYTES} bytes")
    return Seal(message.signature, message.batch_size, message.index, path)


def verify_seal(seal: Seal, header_hash: bytes, public_key: PublicKey) -> None:
    """Check that `public_key` sealed a batch that holds this header hash, at this place.

    Raises:
        SimpulError: PARCEL_SEAL.
    """
    try:
        root = merkle.root_from_path(
            merkle.leaf_hash(header_hash), seal.index, seal.batch_size, seal.path
        )
        public_key.verify(SEAL, _signed(seal.batch_size, root), seal.signature)
    except SimpulError:
        raise SimpulError(
            Code.PARCEL_SEAL,
            "the seal isn't the member's over this header; tell the sender's operator: either the "
            "parcel was changed on its way, or another key sealed it",
        ) from None


def _signed(batch_size: int, root: bytes) -> bytes:
    return batch_size.to_bytes(_SIZE_BYTES, "big") + root


def _levels(header_hashes: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The tree level by level, leaves first, root last: all paths of a batch from one pass."""
    level = [merkle.leaf_hash(item) for item in header_hashes]
    while len(level) > 1:
        yield level
        above = [
            merkle.node_hash(left, right)
            for left, right in zip(level[::2], level[1::2], strict=False)
        ]
        level = [*above, level[-1]] if len(level) % 2 == 1 else above
    yield level


def _path(levels: Sequence[Sequence[bytes]], index: int) -> Iterator[bytes]:
    for level in levels:
        sibling = index ^ 1
        if sibling < len(level):
            yield level[sibling]
        index >>= 1


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.PARCEL_MALFORMED, f"a seal is malformed: {what}; print it by the published protos"
    )
