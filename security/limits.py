"""How much one node takes from another, in one place, units in the names.

The defaults are those of an ordinary node. A federation's policy may lower them, a node's own
configuration too; both sides say theirs in the greeting, and a sender keeps to the lower of the
two, so a receiver's limit is met only by a node that breaks its word.

Source: docs/spec, "Limits"; simpul/v1/directory.proto, `Limits`.
"""

from dataclasses import dataclass, fields
from typing import Final, Self

from simpul.v1 import directory_pb2

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Payloads up to here travel inside their parcel; longer ones follow it in chunks.
INLINE_MAX_BYTES: Final = 64 * KIB
# How far ahead of ours another node's clock may be.
CLOCK_AHEAD_MS: Final = 60_000

# What the formats themselves can need; nobody has a reason to choose these.
MAX_HEADER_BYTES: Final = 1 * KIB
# The longest signature, of both Ed25519 and ML-DSA-65, and the longest path.
MAX_SEAL_BYTES: Final = 8 * KIB
# An open with the longest names has under 1,400 bytes.
MAX_ENTRY_BYTES: Final = 2 * KIB
# In one batch under one signature: more peers than a country has.
MAX_BATCH: Final = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """What one parcel, and what it holds, may weigh. Every limit is 1 or more.

    Raises:
        ValueError: a limit is below 1.
    """

    # One gRPC message, as carried.
    max_message_bytes: int = 16 * MIB
    # A full parcel, and one more entry with the largest payload and private block that go inline.
    max_parcel_bytes: int = 1 * MIB
    max_entries: int = 256
    # A private block: metadata, trailers, status message.
    max_metadata_bytes: int = 64 * KIB
    max_call_ms: int = 3_600_000

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} is {getattr(self, field.name)}; give 1 or more")

    @classmethod
    def from_proto(cls, message: directory_pb2.Limits) -> Self:
        """Take limits out of a greeting or a policy; raises ValueError where one is missing."""
        return cls(**{field.name: getattr(message, field.name) for field in fields(cls)})

    def to_proto(self) -> directory_pb2.Limits:
        """As they stand in a greeting or a policy."""
        return directory_pb2.Limits(
            **{field.name: getattr(self, field.name) for field in fields(self)}
        )

    def lower(self, other: Self) -> Self:
        """The lower of both, limit by limit: what a sender keeps to."""
        return type(self)(
            **{
                field.name: min(getattr(self, field.name), getattr(other, field.name))
                for field in fields(self)
            }
        )
