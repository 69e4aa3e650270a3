"""Names, roles and ages of the published directory.

It holds no logic but naming. The layout is TUF's (specification 1.0, with consistent snapshots),
with TAP 15's succinct hash bins, in two families:

    root       offline      keys of the four top-level roles
    targets    offline      the target `policy`; delegates to the two families below
    members    semi-offline members/<CLASS>/<CODE>               -> m-00 .. m-1f, one online key
    contracts  semi-offline contracts/<service>/<SHA-256 hex>     -> c-00 .. c-1f, one online key
    snapshot   online       version, length and SHA-256 of every role above but root
    timestamp  online       the same of the snapshot, and its issue time; expires at the dead age

Two families, so that a stolen key of the one lists nothing of the other; 32 bins each, because one
change then moves about 15 KB at 1,200 members and 5,000 contracts.

Below the directory's URL stand `metadata/` and `targets/`. Every name but `metadata/timestamp.json`
holds a version or a hash and is written once.
"""

from dataclasses import dataclass
from enum import StrEnum

MS_PER_DAY = 24 * 60 * 60 * 1000

BIN_BITS = 5
BINS = 1 << BIN_BITS

METADATA = "metadata"
TARGETS = "targets"

POLICY = "policy"
TIMESTAMP_FILE = "timestamp.json"

# Milliseconds since the epoch, signed: what a node's idea of "stale" and "dead" counts from.
ISSUED_AT = "x-issued-at"


class Role(StrEnum):
    """Whose key signs what. One key file each; a family's bins share one."""

    ROOT = "root"
    TARGETS = "targets"
    MEMBERS = "members"
    CONTRACTS = "contracts"
    MEMBER_BINS = "member-bins"
    CONTRACT_BINS = "contract-bins"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"


@dataclass(frozen=True, slots=True)
class Family:
    """One delegation from targets: the role that owns the paths, and its bins."""

    role: Role
    bins: Role
    prefix: str

    @property
    def pattern(self) -> str:
        """What TUF matches a target's path with, part by part."""
        return f"{self.role}/*/*"


MEMBERS = Family(Role.MEMBERS, Role.MEMBER_BINS, "m")
CONTRACTS = Family(Role.CONTRACTS, Role.CONTRACT_BINS, "c")
FAMILIES = (MEMBERS, CONTRACTS)


@dataclass(frozen=True, slots=True)
class Life:
    """How long a signature of a role holds, and how long before its end it is made anew, in days.

    The second is never below the longest outage that nodes are to survive (the dead age): a role
    that expires earlier would end it for them.
    """

    days: int
    renew_before_days: int

    def expires_at_ms(self, now_ms: int) -> int:
        """When what is signed at `now_ms` expires."""
        return now_ms + self.days * MS_PER_DAY

    def is_due(self, expires_at_ms: int, now_ms: int) -> bool:
        """Whether it is time to sign anew."""
        return expires_at_ms - now_ms <= self.renew_before_days * MS_PER_DAY


LIVES = {
    Role.ROOT: Life(365, 90),
    Role.TARGETS: Life(365, 90),
    Role.MEMBERS: Life(180, 60),
    Role.CONTRACTS: Life(180, 60),
    Role.MEMBER_BINS: Life(60, 30),
    Role.CONTRACT_BINS: Life(60, 30),
    Role.SNAPSHOT: Life(30, 15),
}


def key_role(name: str) -> Role:
    """Whose key signs the metadata called `name`: `m-0a` is signed by `member-bins`."""
    for family in FAMILIES:
        if name.startswith(f"{family.prefix}-"):
            return family.bins
    return Role(name)


def bin_names(family: Family) -> tuple[str, ...]:
    """`m-00` to `m-1f`."""
    return tuple(f"{family.prefix}-{number:02x}" for number in range(BINS))


def metadata_name(role: str, version: int) -> str:
    """The published name of a metadata file, below the directory's URL."""
    if role == Role.TIMESTAMP:
        return f"{METADATA}/{TIMESTAMP_FILE}"
    return f"{METADATA}/{version}.{role}.json"


def target_name(path: str, sha256_hex: str) -> str:
    """The published name of a target file: the hash stands before the last part of its path."""
    folder, slash, last = path.rpartition("/")
    return f"{TARGETS}/{folder}{slash}{sha256_hex}.{last}"


def member_path(member: str) -> str:
    """`members/DAERAH/53.15` for `ID/DAERAH/53.15`."""
    return f"members/{member.partition('/')[2]}"


def contract_path(service: str, descriptor_sha256: bytes) -> str:
    """`contracts/wisata.v1.Wisata/<SHA-256 of the descriptor set, in hex>`."""
    return f"contracts/{service}/{descriptor_sha256.hex()}"
