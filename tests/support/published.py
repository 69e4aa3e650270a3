"""A directory as a registry publishes it, from fixed keys and dates: the same each time.

Real roles and signatures; two bins for each family, so that files are small.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)

from security.evidence_format import ShownDirectory
from security.hashing import sha256
from tests.conformance import fixed

BITS = 1
ROLES = ("root", "targets", "snapshot", "timestamp")
FAMILY = "members"
YEAR_MS = 365 * fixed.DAY_MS

SignedT = TypeVar("SignedT", Root, Timestamp, Snapshot, Targets)


@dataclass
class Published:
    """One version: what an evidence file shows of it."""

    shown: ShownDirectory
    files: dict[str, bytes]
    # Metadata by role, bins that list nothing included.
    roles: dict[str, bytes]

    @property
    def hash(self) -> bytes:
        return self.shown.snapshot


@dataclass
class Registry:
    """Signs roots and directories. `keys` may be replaced, as a root does."""

    name: str = "registry"
    keys: dict[str, CryptoSigner] = field(default_factory=dict)
    roots: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        for role in (*ROLES, FAMILY, "bins"):
            self.keys.setdefault(role, signer(f"{self.name} {role}"))
        self.add_root()

    def add_root(self, **replaced: CryptoSigner) -> bytes:
        """The next root, with other keys for the roles named; signed by the old root key too."""
        signers = [self.keys["root"]]
        self.keys |= replaced
        if self.keys["root"] is not signers[0]:
            signers.append(self.keys["root"])
        root = Root(
            len(self.roots) + 1, expires=moment(fixed.NOW_MS + YEAR_MS), consistent_snapshot=True
        )
        for role in ROLES:
            root.add_key(self.keys[role].public_key, role)
        metadata = Metadata(root)
        for item in signers:
            metadata.sign(item, append=True)
        self.roots.append(metadata.to_bytes())
        return self.roots[-1]

    def publish(
        self,
        version: int,
        targets: Mapping[str, bytes],
        issued_at_ms: int,
        *,
        last_issued_at_ms: int | None = None,
        life_ms: int = 7 * fixed.DAY_MS,
        misplaced: bool = False,
    ) -> Published:
        """Sign a version with these target files; contracts are left out.

        `misplaced` lists members in the wrong bin, as the holder of the bins' key can.
        """
        wanted = {path: data for path, data in targets.items() if not path.startswith("contracts/")}
        expires = moment(issued_at_ms + YEAR_MS)
        bins, family, top = self._roles(version, wanted, expires, misplaced=misplaced)
        files = {"targets": self.sign("targets", top), FAMILY: self.sign(FAMILY, family)}
        files |= {name: self.sign("bins", role) for name, role in bins.items()}
        snapshot = Snapshot(
            version,
            expires=expires,
            meta={
                f"{name}.json": MetaFile.from_data(version, data, ["sha256"])
                for name, data in files.items()
            },
            unrecognized_fields={"x-issued-at": issued_at_ms},
        )
        files["snapshot"] = self.sign("snapshot", snapshot)
        issues = [issued_at_ms]
        if last_issued_at_ms is not None:
            issues.append(last_issued_at_ms)
        timestamps = tuple(
            self.timestamp(version * 10 + number, version, files["snapshot"], at_ms, life_ms)
            for number, at_ms in enumerate(issues)
        )
        shown = ShownDirectory(sha256(files["snapshot"]), len(self.roots), timestamps)
        used = {name: data for name, data in files.items() if name not in bins}
        used |= {name: files[name] for name, role in bins.items() if role.targets}
        return Published(shown, used | wanted, files)

    def timestamp(
        self, version: int, snapshot_version: int, snapshot: bytes, at_ms: int, life_ms: int
    ) -> bytes:
        return self.sign(
            "timestamp",
            Timestamp(
                version,
                expires=moment(at_ms + life_ms),
                snapshot_meta=MetaFile.from_data(snapshot_version, snapshot, ["sha256"]),
                unrecognized_fields={"x-issued-at": at_ms},
            ),
        )

    def sign(self, key: str, signed: SignedT) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.keys[key])
        return metadata.to_bytes()

    def _roles(
        self, version: int, targets: Mapping[str, bytes], expires: datetime, *, misplaced: bool
    ) -> tuple[dict[str, Targets], Targets, Targets]:
        bin_key, family_key = self.keys["bins"].public_key, self.keys[FAMILY].public_key
        succinct = SuccinctRoles([bin_key.keyid], 1, BITS, "m")
        bins = {name: Targets(version, expires=expires) for name in succinct.get_roles()}
        top = Targets(version, expires=expires)
        for path, data in targets.items():
            role = top
            if path.startswith(f"{FAMILY}/"):
                name = succinct.get_role_for_target(path)
                others = [other for other in bins if other != name]
                role = bins[others[0] if misplaced else name]
            role.targets[path] = TargetFile.from_data(path, data, ["sha256"])
        family = Targets(
            version,
            expires=expires,
            delegations=Delegations({bin_key.keyid: bin_key}, succinct_roles=succinct),
        )
        delegated = DelegatedRole(
            FAMILY, [family_key.keyid], 1, terminating=True, paths=["members/*/*"]
        )
        top.delegations = Delegations({family_key.keyid: family_key}, roles={FAMILY: delegated})
        return bins, family, top


def signer(name: str) -> CryptoSigner:
    """The TUF key that follows from a name."""
    return CryptoSigner(Ed25519PrivateKey.from_private_bytes(fixed.fixed_bytes(f"key {name}", 32)))


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC)
