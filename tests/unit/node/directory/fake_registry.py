"""A registry that publishes a TUF repository of the real layout, and can be made to lie.

Files are kept in a dict by their published names. Everything that a holder of some of the keys can
sign, a test can have signed here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TypeVar

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import DownloadHTTPError
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

from node.directory.fetch import Fetcher
from security.identifiers import MemberId
from simpul.v1 import directory_pb2

FEDERATION = "ID"
FAMILIES = (("members", "m"), ("contracts", "c"))
# The real directory has 5; fewer make quicker tests, and the node reads the number from the files.
BITS, REAL_BITS = 2, 5
# python-tuf asks the real clock.
NOW = datetime.now(UTC).replace(microsecond=0)
NOW_MS = int(NOW.timestamp() * 1000)
MEMBER = MemberId.parse("ID/DAERAH/53.15")
OTHER = MemberId.parse("ID/DAERAH/52.08")


def policy(federation: str = FEDERATION, *, logged: bool = False) -> bytes:
    return directory_pb2.FederationPolicy(
        version=1,
        federation=federation,
        stale_after_ms=600_000,
        dead_after_ms=7 * 86_400_000,
        tls_authorities=[b"certificate"],
        member_classes=["DAERAH", "KEMENTERIAN"],
        limits=directory_pb2.Limits(
            max_message_bytes=1,
            max_parcel_bytes=1,
            max_entries=1,
            max_metadata_bytes=1,
            max_call_ms=1,
        ),
        logged=logged,
    ).SerializeToString()


def record(member: MemberId, number: int = 1, name: str = "Kabupaten") -> bytes:
    return directory_pb2.MemberRecord(
        version=1,
        federation=member.federation,
        member=str(member),
        number=number,
        state=directory_pb2.MEMBER_STATE_ACTIVE,
        legal_name=name,
    ).SerializeToString()


def member_path(member: MemberId) -> str:
    return f"members/{member.member_class}/{member.code}"


SignedT = TypeVar("SignedT", Root, Timestamp, Snapshot, Targets)


class FakeRegistry:
    """`publish` signs what was changed since, and the snapshot and timestamp over it."""

    def __init__(self, federation: str = FEDERATION, bits: int = BITS) -> None:
        names = ("root", "targets", "snapshot", "timestamp", "members", "contracts", "m", "c")
        self.keys = {name: CryptoSigner.generate_ed25519() for name in names}
        self.files: dict[str, bytes] = {}
        self.changed: set[str] = set()
        self.expires = NOW + timedelta(days=30)
        self.issued_at_ms = NOW_MS
        self.roles: dict[str, Targets] = {}
        self.snapshot = Snapshot(1, expires=self.expires, meta={})
        self.timestamp = Timestamp(1, expires=self.expires)
        self.root = Root(1, expires=self.expires, consistent_snapshot=True)
        for name in ("root", "targets", "snapshot", "timestamp"):
            self.root.add_key(self.keys[name].public_key, name)
        self.sign_root()
        self._make_roles(bits)
        self.list_target("targets", "policy", policy(federation))
        self.publish()
        self.first_root = self.files["metadata/1.root.json"]

    def put(self, path: str, data: bytes) -> None:
        """Lists a target where it belongs."""
        self.list_target(self.bin_of(path), path, data)

    def bin_of(self, path: str) -> str:
        delegations = self.roles[path.partition("/")[0]].delegations
        assert delegations is not None
        assert delegations.succinct_roles is not None
        return delegations.succinct_roles.get_role_for_target(path)

    def list_target(self, role: str, path: str, data: bytes) -> None:
        """Lists a target in any role, as its key's holder can."""
        self.roles[role].targets[path] = TargetFile.from_data(path, data, ["sha256"])
        folder, slash, last = path.rpartition("/")
        self.files[f"targets/{folder}{slash}{sha256(data).hexdigest()}.{last}"] = data
        self.touch(role)

    def touch(self, role: str) -> None:
        self.changed.add(role)

    def publish(self, *, issued_at_ms: int | None = None) -> dict[str, bytes]:
        """A new version; returns its files, as they would be pushed."""
        pushed: dict[str, bytes] = {}
        for name in sorted(self.changed):
            role = self.roles[name]
            role.version += 1
            role.expires = self.expires
            data = self.sign(self.key_of(name), role)
            pushed[f"metadata/{role.version}.{name}.json"] = data
            self.snapshot.meta[f"{name}.json"] = MetaFile.from_data(role.version, data, ["sha256"])
        if self.changed:
            self.snapshot.version += 1
            self.snapshot.expires = self.expires
        self.changed = set()
        data = self.sign("snapshot", self.snapshot)
        pushed[f"metadata/{self.snapshot.version}.snapshot.json"] = data
        self.timestamp.snapshot_meta = MetaFile.from_data(self.snapshot.version, data, ["sha256"])
        pushed["metadata/timestamp.json"] = self.sign_timestamp(issued_at_ms)
        self.files |= pushed
        return pushed

    def sign_timestamp(self, issued_at_ms: int | None = None) -> bytes:
        self.issued_at_ms = self.issued_at_ms + 1 if issued_at_ms is None else issued_at_ms
        self.timestamp.version += 1
        self.timestamp.expires = self.expires
        self.timestamp.unrecognized_fields["x-issued-at"] = self.issued_at_ms
        data = self.sign("timestamp", self.timestamp)
        self.files["metadata/timestamp.json"] = data
        return data

    def rotate_online_keys(self) -> None:
        """A new root with new timestamp and snapshot keys, which begin counting anew."""
        for name in ("timestamp", "snapshot"):
            self.root.revoke_key(self.keys[name].public_key.keyid, name)
            self.keys[name] = CryptoSigner.generate_ed25519()
            self.root.add_key(self.keys[name].public_key, name)
        self.root.version += 1
        self.sign_root()
        self.snapshot.version = 0
        self.timestamp.version = 0

    def sign_root(self) -> None:
        self.files[f"metadata/{self.root.version}.root.json"] = self.sign("root", self.root)

    def sign(self, key: str, signed: SignedT) -> bytes:
        metadata = Metadata(signed)
        metadata.sign(self.keys[key])
        return metadata.to_bytes()

    @staticmethod
    def key_of(role: str) -> str:
        return role.partition("-")[0]

    def _make_roles(self, bits: int) -> None:
        top = Targets(1, expires=self.expires)
        keys: dict[str, Key] = {}
        delegated = {}
        for family, prefix in FAMILIES:
            key = self.keys[family].public_key
            keys[key.keyid] = key
            delegated[family] = DelegatedRole(
                family, [key.keyid], 1, terminating=True, paths=[f"{family}/*/*"]
            )
            bin_key = self.keys[prefix].public_key
            bin_keys: dict[str, Key] = {bin_key.keyid: bin_key}
            bins = SuccinctRoles([bin_key.keyid], 1, bits, prefix)
            role = Targets(1, expires=self.expires)
            role.delegations = Delegations(bin_keys, succinct_roles=bins)
            self.roles[family] = role
            for name in bins.get_roles():
                self.roles[name] = Targets(1, expires=self.expires)
        top.delegations = Delegations(keys, roles=delegated)
        self.roles["targets"] = top
        self.changed |= set(self.roles)


class DictFetcher(Fetcher):
    """Serves files from a dict; can be cut at the n-th file, and remembers what was asked."""

    def __init__(self, files: dict[str, bytes], cut_at: int | None = None) -> None:
        self.where = "http://registry.test/"
        self.files = files
        self.cut_at = cut_at
        self.asked: list[str] = []

    def open(self, name: str) -> Iterator[bytes]:
        self.asked.append(name)
        if self.cut_at is not None and len(self.asked) > self.cut_at:
            raise ConnectionError("cut")
        data = self.files.get(name)
        if data is None:
            raise DownloadHTTPError(name, 404)
        return iter((data,))
