"""One run of python-tuf's client, and the checks that it leaves to its user.

It reads and writes one metadata folder that nobody else uses meanwhile, and keeps nothing. Rules:

1. The run starts from the root that came with the enrolment, never from a cached one.
2. Every role that the delegations name is loaded, not only those that a lookup happens to meet.
3. The file of each role is the one that the snapshot names, by version, length and SHA-256; the
   snapshot's file is the one that the timestamp names.
4. Each listed path is where a walk from the top would find it: the contracts' key lists no member.
5. The timestamp carries a signed time of issue.
6. No key counts twice towards root's threshold under two ids.

Source: TUF specification 1.0, section 5; TAP 15 (succinct hash bins).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    SuccinctRoles,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.ngclient import Updater, UpdaterConfig

from node.directory.fetch import (
    MAX_ROLE_BYTES,
    MAX_ROOT_BYTES,
    MAX_SNAPSHOT_BYTES,
    MAX_TIMESTAMP_BYTES,
    METADATA_URL,
    TARGETS_URL,
    Fetcher,
)
from node.directory.floors import Floors
from node.directory.model import FAMILIES, ISSUED_AT, POLICY
from node.directory.rules import check_same
from security.hashing import sha256
from security.public_log import HEAD_FIELD, Head, read_head

MAX_BINS = 1024
MAX_TARGETS = 100_000
SHA256 = "sha256"

Signed = TypeVar("Signed", Root, Timestamp, Snapshot, Targets)


@dataclass(frozen=True, slots=True)
class Verified:
    """What one run established. `targets` is everything that the directory lists, by path."""

    updater: Updater
    floors: Floors
    timestamp_version: int
    usable_until_ms: int
    targets: dict[str, TargetFile]
    # Of the public log, as the timestamp signs it; None: the directory has none.
    log: Head | None


def verify(root: bytes, metadata: Path, fetcher: Fetcher) -> Verified:
    """Brings `metadata` to what `fetcher` serves, verified, and lists it.

    Args:
        root: The bytes of the root metadata that is trusted.
        metadata: A folder with an earlier state, or an empty one; left half-way when this raises.
        fetcher: Whence the files come.

    Raises:
        DownloadError: a file could not be had.
        RepositoryError: what was had is not to be trusted; python-tuf's subclasses say more.
        SimpulError: DIRECTORY_SPLIT; DIRECTORY_UNLOGGED for a head that can be none.
        OSError: the folder could not be written.
    """
    updater = Updater(
        str(metadata),
        METADATA_URL,
        target_base_url=TARGETS_URL,
        fetcher=fetcher,
        config=UpdaterConfig(
            root_max_length=MAX_ROOT_BYTES,
            timestamp_max_length=MAX_TIMESTAMP_BYTES,
            snapshot_max_length=MAX_SNAPSHOT_BYTES,
            targets_max_length=MAX_ROLE_BYTES,
        ),
        bootstrap=root,
    )
    updater.refresh()
    newest_root = _read(metadata, "root", Root)
    _check_keys_differ(newest_root)
    timestamp = _read(metadata, "timestamp", Timestamp)
    snapshot_bytes = (metadata / "snapshot.json").read_bytes()
    snapshot = Metadata[Snapshot].from_bytes(snapshot_bytes).signed
    _check_snapshot(timestamp.snapshot_meta, snapshot.version, snapshot_bytes)
    roles = _load_roles(updater, metadata, snapshot)
    signed = (newest_root, timestamp, snapshot, *roles.values())
    floors = Floors(
        versions={
            "root": newest_root.version,
            "timestamp": timestamp.version,
            "snapshot": snapshot.version,
            **{name.removesuffix(".json"): meta.version for name, meta in snapshot.meta.items()},
        },
        timestamp_keys=frozenset(newest_root.roles["timestamp"].keyids),
        snapshot_keys=frozenset(newest_root.roles["snapshot"].keyids),
        issued_at_ms=_issued_at_ms(timestamp),
        snapshot_hash=sha256(snapshot_bytes),
    )
    expires = min(role.expires for role in signed)
    return Verified(
        updater=updater,
        floors=floors,
        timestamp_version=timestamp.version,
        usable_until_ms=int(expires.timestamp() * 1000),
        targets=_listed(roles),
        log=_log_head(timestamp),
    )


def _load_roles(updater: Updater, metadata: Path, snapshot: Snapshot) -> dict[str, Targets]:
    """The top-level targets, the families and their bins, by name."""
    roles = {"targets": _read(metadata, "targets", Targets)}
    for family in FAMILIES:
        # A lookup loads what lies on its way; python-tuf has no other way to say "load this".
        updater.get_targetinfo(f"{family}/-/-")
        roles[family] = _read(metadata, family, Targets)
        bins = _bins(roles[family])
        for probe in _probes(family, bins.name_prefix, bins.bit_length):
            updater.get_targetinfo(probe)
        for name in bins.get_roles():
            roles[name] = _read(metadata, name, Targets)
    for name, role in roles.items():
        # A lookup that gave up says None, as one that found nothing does: so nothing rests on it.
        meta = snapshot.meta.get(f"{name}.json")
        if meta is None:
            raise RepositoryError(f"the snapshot does not name {name}")
        _check_file(meta, (metadata / f"{name}.json").read_bytes())
        if role.version != meta.version:
            raise RepositoryError(f"{name} is not the version that the snapshot names")
    return roles


def _bins(family: Targets) -> SuccinctRoles:
    bins = None if family.delegations is None else family.delegations.succinct_roles
    if bins is None or bins.number_of_bins > MAX_BINS:
        raise RepositoryError(f"a family must delegate to 1 to {MAX_BINS} hash bins")
    return bins


@lru_cache(maxsize=16)
def _probes(family: str, prefix: str, bits: int) -> tuple[str, ...]:
    """One path for each bin that hashes into it. No id can hold a lone dash, so none is listed."""
    bins = SuccinctRoles([], 1, bits, prefix)
    found: dict[str, str] = {}
    number = 0
    while len(found) < bins.number_of_bins:
        path = f"{family}/-/{number}"
        found.setdefault(bins.get_role_for_target(path), path)
        number += 1
    return tuple(found.values())


def _listed(roles: dict[str, Targets]) -> dict[str, TargetFile]:
    targets: dict[str, TargetFile] = {}
    for name, role in roles.items():
        for path, file in role.targets.items():
            if _owner(roles, path) != name:
                raise RepositoryError(f"{name} lists {path}, which is not its own")
            if SHA256 not in file.hashes:
                raise RepositoryError(f"{path} has no SHA-256")
            targets[path] = file
    if len(targets) > MAX_TARGETS:
        raise RepositoryError(f"more than {MAX_TARGETS} targets")
    return targets


def _owner(roles: dict[str, Targets], path: str) -> str:
    """The one role that may list `path`, found from the top; empty where there is none."""
    if path == POLICY:
        return "targets"
    name = "targets"
    while (delegations := roles[name].delegations) is not None:
        delegated = list(delegations.get_roles_for_target(path))
        # One family, and it ends there: a second, or one that doesn't end, would be a second way.
        if len(delegated) != 1 or not delegated[0][1] or delegated[0][0] not in roles:
            return ""
        name = delegated[0][0]
    return name


def _check_snapshot(meta: MetaFile, version: int, data: bytes) -> None:
    # python-tuf keeps the snapshot that it has where the timestamp names another of its number.
    listed = (meta.hashes or {}).get(SHA256, "")
    if listed:
        check_same(version, sha256(data), meta.version, bytes.fromhex(listed))
    _check_file(meta, data)


def _check_file(meta: MetaFile, data: bytes) -> None:
    if meta.hashes is None or SHA256 not in meta.hashes:
        raise RepositoryError("a role's line has no SHA-256")
    meta.verify_length_and_hashes(data)


def _check_keys_differ(root: Root) -> None:
    for name, role in root.roles.items():
        values = [str(sorted(root.get_key(keyid).keyval.items())) for keyid in role.keyids]
        if len(set(values)) != len(values):
            raise RepositoryError(f"root lists one key of {name} under two ids")


def _issued_at_ms(timestamp: Timestamp) -> int:
    value = timestamp.unrecognized_fields.get(ISSUED_AT)
    if type(value) is not int or value <= 0:
        raise RepositoryError(f"the timestamp has no {ISSUED_AT}")
    return value


def _log_head(timestamp: Timestamp) -> Head | None:
    found = timestamp.unrecognized_fields.get(HEAD_FIELD)
    return None if found is None else read_head(found)


def _read(metadata: Path, name: str, kind: type[Signed]) -> Signed:
    """A role's file, which the run has just verified. One that the run did not bring is missing."""
    try:
        signed = Metadata[kind].from_file(str(metadata / f"{name}.json")).signed  # type: ignore[valid-type]
    except OSError as error:
        raise RepositoryError(f"{name} is not there") from error
    if not isinstance(signed, kind):
        raise RepositoryError(f"{name} is of another kind")
    return signed
