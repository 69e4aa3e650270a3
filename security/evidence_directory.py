"""The directories in an evidence file: the registry's word, verified from one root metadata file.

A directory is shown by the roles on the way to what is needed of it: a timestamp, the snapshot, the
top-level targets, the members' family, some of its bins, and the target files themselves. The
formats and signatures are python-tuf's affair; what is asked of them is here. No expiry is judged:
the time to judge it by is found later (`evidence_times`).

1. The root that is given is signed by its own keys; every root in the file is the one given, or
   follows it, each signed by the keys of the one before and its own.
2. Each directory: its timestamps and snapshot by the root that it names, the snapshot the one that
   each timestamp names; the targets by the root; the members' family by the targets; each bin by
   the family; and each of these files, and each target, the one that is named above it by SHA-256.
3. A target is listed by the bin that a walk from the top would find.
4. Nothing is in the file that no directory names.

Source: docs/spec, "Evidence: directories"; TUF specification 1.0, section 5; TAP 15.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from securesystemslib.signer import SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)

from security.directory_records import (
    MEMBERS_FOLDER,
    POLICY_PATH,
    MemberRecordView,
    PolicyView,
    member_path,
    parse_member,
    parse_policy,
)
from security.errors import SimpulError
from security.evidence_format import ShownDirectory
from security.evidence_report import refused
from security.hashing import HASH_BYTES, sha256
from security.identifiers import MemberId

ISSUED_AT: Final = "x-issued-at"
MAX_BINS: Final = 1024
SHA256: Final = "sha256"

_MS_PER_S: Final = 1000
_LOWER_HEX: Final = re.compile(r"(?:[0-9a-f]{2})+")

SignedT = TypeVar("SignedT", Root, Timestamp, Snapshot, Targets)


@dataclass(frozen=True, slots=True)
class Directory:
    """One version, as far as the file shows it, and as nobody but the registry could have made it.

    `expires_at_ms` is when the first of the signatures shown expired; `last_issued_at_ms` is when
    it was last said to be in force.
    """

    hash: bytes
    version: int
    issued_at_ms: int
    last_issued_at_ms: int
    expires_at_ms: int
    targets: Mapping[str, bytes] = field(repr=False)
    # The bins that are shown, by name; the family's role says which path is in which.
    _bins: Mapping[str, Targets] = field(repr=False)
    _family: Targets = field(repr=False)

    def knows(self, member: MemberId) -> bool:
        """Whether the file shows what this directory says of a member, be it nothing."""
        path = member_path(member)
        role = self._bins.get(_bin_name(self._family, path))
        return path in self.targets or (role is not None and path not in role.targets)


@dataclass(frozen=True, slots=True)
class Records:
    """A directory's policy and members, strictly read; statements verified by their own key."""

    directory: Directory
    policy: PolicyView
    members: Mapping[MemberId, MemberRecordView]


def verify_roots(given: bytes, roots: Sequence[bytes]) -> Mapping[int, Root]:
    """Check the roots of a file, starting from the one that is given: rule 1.

    Returns:
        The roots by version, from the given one on.

    Raises:
        SimpulError: EVIDENCE_INVALID.
    """
    first = _parse(given, Root, "the root given")
    _verify(first.signed, "root", first, "the root given")
    if len(roots) == 0:
        raise refused("it holds no root metadata")
    trusted = {first.signed.version: first.signed}
    expected: int | None = None
    for data in roots:
        metadata = _parse(data, Root, "a root")
        version = metadata.signed.version
        if expected is not None and version != expected:
            raise refused(f"its roots go from version {expected - 1} to {version}")
        expected = version + 1
        if version < first.signed.version:
            continue
        if version == first.signed.version:
            if data != given:
                raise refused(
                    f"root {version} in it isn't the root given: it is of another federation, or "
                    "one of the two is forged"
                )
            continue
        before = trusted.get(version - 1)
        if before is None:
            raise refused(
                f"its roots begin at version {version}, and the one given is version "
                f"{first.signed.version}: give a root between them"
            )
        for signer in (before, metadata.signed):
            _verify(signer, "root", metadata, f"root {version}")
        trusted[version] = metadata.signed
    for version, root in trusted.items():
        _check_keys(root, version)
    return trusted


class DirectoryVerifier:
    """Verifies the directories of one file, and notes which of its files they name."""

    def __init__(self, roots: Mapping[int, Root], files: Sequence[bytes]) -> None:
        self._roots = roots
        self._files = {sha256(data): data for data in files}
        self._used: set[bytes] = set()

    def verify(self, shown: ShownDirectory) -> Directory:
        """Check one directory: rules 2 and 3; raises SimpulError EVIDENCE_INVALID."""
        where = f"directory {shown.snapshot.hex()[:16]}"
        root = self._roots.get(shown.root)
        if root is None:
            raise refused(
                f"{where} rests on root {shown.root}, to which the root given doesn't lead: give "
                "the oldest root.json that you trust"
            )
        timestamps = [_parse(data, Timestamp, where) for data in shown.timestamps]
        self._check_timestamps(timestamps, root, shown.snapshot, where)
        snapshot = self._role(
            timestamps[0].signed.snapshot_meta, Snapshot, (root, "snapshot"), where
        )
        targets = self._listed(snapshot, Targets, (root, "targets"), "targets", where)
        family = self._listed(snapshot, Targets, (targets, MEMBERS_FOLDER), MEMBERS_FOLDER, where)
        bins = self._bins(snapshot, family, where)
        found = {POLICY_PATH: self._target(targets, POLICY_PATH, where)}
        for name, role in bins.items():
            found |= self._members(name, role, (targets, family), where)
        signed = (root, snapshot, targets, family, *bins.values(), timestamps[-1].signed)
        return Directory(
            hash=shown.snapshot,
            version=snapshot.version,
            issued_at_ms=_issued_at_ms(snapshot, where),
            last_issued_at_ms=_issued_at_ms(timestamps[-1].signed, where),
            expires_at_ms=int(min(item.expires for item in signed).timestamp() * _MS_PER_S),
            targets=found,
            _bins=bins,
            _family=family,
        )

    def check_nothing_left(self) -> None:
        """Check rule 4; raises SimpulError EVIDENCE_INVALID."""
        left = self._files.keys() - self._used
        if left:
            raise refused(f"{len(left)} of its files are named by no directory in it")

    def _check_timestamps(
        self, timestamps: Sequence[Metadata[Timestamp]], root: Root, snapshot: bytes, where: str
    ) -> None:
        if not 1 <= len(timestamps) <= 2:  # noqa: PLR2004 - the first, and the last
            raise refused(f"{where} has {len(timestamps)} timestamps, not 1 or 2")
        for metadata in timestamps:
            _verify(root, "timestamp", metadata, f"the timestamp of {where}")
            if _hash_of(metadata.signed.snapshot_meta, where) != snapshot:
                raise refused(f"a timestamp of {where} names another snapshot")
            _issued_at_ms(metadata.signed, where)
        versions = [metadata.signed.version for metadata in timestamps]
        if versions != sorted(set(versions)):
            raise refused(f"the timestamps of {where} are out of order")

    def _bins(self, snapshot: Snapshot, family: Targets, where: str) -> dict[str, Targets]:
        """The family's bins whose files are here."""
        succinct = None if family.delegations is None else family.delegations.succinct_roles
        if succinct is None or succinct.number_of_bins > MAX_BINS:
            raise refused(f"the members of {where} aren't in 1 to {MAX_BINS} bins")
        found = {}
        for name in succinct.get_roles():
            meta = snapshot.meta.get(f"{name}.json")
            if meta is not None and _hash_of(meta, where) in self._files:
                found[name] = self._listed(snapshot, Targets, (family, name), name, where)
        return found

    def _members(
        self, name: str, role: Targets, above: tuple[Targets, Targets], where: str
    ) -> dict[str, bytes]:
        """The target files that a bin lists, as far as they are here."""
        found = {}
        for path, file in role.targets.items():
            if _hash_of(file, path) not in self._files:
                continue
            if not _is_members(above[0], path) or _bin_name(above[1], path) != name:
                raise refused(f"{name} of {where} lists {path}, which is not its own")
            found[path] = self._target(role, path, where)
        return found

    def _listed(
        self,
        snapshot: Snapshot,
        kind: type[SignedT],
        by: tuple[Root | Targets, str],
        name: str,
        where: str,
    ) -> SignedT:
        meta = snapshot.meta.get(f"{name}.json")
        if meta is None:
            raise refused(f"the snapshot of {where} doesn't name {name}")
        return self._role(meta, kind, by, where)

    def _role(
        self, meta: MetaFile, kind: type[SignedT], by: tuple[Root | Targets, str], where: str
    ) -> SignedT:
        signer, role = by
        what = f"{role} of {where}"
        data = self._take(_hash_of(meta, what), what)
        metadata = _parse(data, kind, what)
        _verify(signer, role, metadata, what)
        if metadata.signed.version != meta.version:
            raise refused(f"{what} isn't of the version that is named")
        return metadata.signed

    def _target(self, role: Targets, path: str, where: str) -> bytes:
        file = role.targets.get(path)
        if file is None:
            raise refused(f"{where} doesn't list {path}")
        what = f"{path} of {where}"
        data = self._take(_hash_of(file, what), what)
        with _tuf(what):
            file.verify_length_and_hashes(data)
        return data

    def _take(self, hashed: bytes, what: str) -> bytes:
        data = self._files.get(hashed)
        if data is None:
            raise refused(f"{what} isn't in the file")
        self._used.add(hashed)
        return data


def timestamp_version(data: bytes) -> int:
    """Return the version that a timestamp states; raises SimpulError EVIDENCE_INVALID."""
    return _parse(data, Timestamp, "a timestamp").signed.version


def read_records(directory: Directory, federation: str) -> Records:
    """Read a directory's policy and members.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED (docs/spec, "Directory: verification", steps 2, 4 and 5),
            or EVIDENCE_INVALID for another federation's.
    """
    policy = parse_policy(directory.targets[POLICY_PATH])
    if policy.federation != federation:
        raise refused(f"a directory is of {policy.federation[:20]!a}, not {federation[:20]!a}")
    members = {}
    for path, data in directory.targets.items():
        if path != POLICY_PATH:
            record = parse_member(policy, path, data)
            members[record.id] = record
    return Records(directory, policy, members)


def _parse(data: bytes, kind: type[SignedT], what: str) -> Metadata[SignedT]:
    with _tuf(what):
        metadata: Metadata[SignedT] = Metadata.from_bytes(data)
    if not isinstance(metadata.signed, kind):
        raise refused(f"{what} is of another kind")
    # Roots and timestamps are named by no hash: one spelling of their signatures.
    if any(not _LOWER_HEX.fullmatch(item.signature) for item in metadata.signatures.values()):
        raise refused(f"a signature of {what} isn't spelt in lower-case hex")
    return metadata


def _verify(signer: Root | Targets, role: str, metadata: Metadata[SignedT], what: str) -> None:
    with _tuf(what):
        keys = [signer.get_key(keyid) for keyid in signer.get_delegated_role(role).keyids]
        # Other kinds of key may start programs or ask the network.
        if not all(isinstance(key, SSlibKey) for key in keys):
            raise refused(f"{what} is to be signed by a key of a kind that isn't taken here")
        signer.verify_delegate(role, metadata.signed_bytes, metadata.signatures)


def _check_keys(root: Root, version: int) -> None:
    for name, role in root.roles.items():
        with _tuf(f"root {version}"):
            values = [str(sorted(root.get_key(keyid).keyval.items())) for keyid in role.keyids]
        if len(set(values)) != len(values):
            raise refused(f"root {version} lists one key of {name} under two ids")


def _is_members(targets: Targets, path: str) -> bool:
    """Whether the top delegates a path to the members' family alone, and ends there."""
    if targets.delegations is None:
        return False
    return list(targets.delegations.get_roles_for_target(path)) == [(MEMBERS_FOLDER, True)]


def _bin_name(family: Targets, path: str) -> str:
    succinct = None if family.delegations is None else family.delegations.succinct_roles
    return "" if succinct is None else succinct.get_role_for_target(path)


def _hash_of(meta: MetaFile | TargetFile, what: str) -> bytes:
    text = (meta.hashes or {}).get(SHA256, "")
    if len(text) != 2 * HASH_BYTES or not _LOWER_HEX.fullmatch(text):
        raise refused(f"a line about {what} has no SHA-256 in lower-case hex")
    return bytes.fromhex(text)


def _issued_at_ms(signed: Snapshot | Timestamp, where: str) -> int:
    value = signed.unrecognized_fields.get(ISSUED_AT)
    if type(value) is not int or value <= 0:
        raise refused(f"the {signed.type} of {where} doesn't say when it was issued")
    return value


@contextmanager
def _tuf(what: str) -> Iterator[None]:
    """What python-tuf raises, as a refusal."""
    try:
        yield
    except SimpulError:
        raise
    except (RepositoryError, ValueError, KeyError, TypeError) as error:
        raise refused(f"{what} isn't signed as the directory's rules ask, or is no metadata") from (
            error
        )
