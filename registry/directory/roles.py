"""Makes and signs the metadata of each role: values in, signed bytes out.

It reads no files and no clock, and it changes nothing in place: a role's next version is built
beside the one in force, so that a publication that fails leaves what was. The signed bytes are
those that are hashed and written; nothing is serialised twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Generic, TypeVar

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import RepositoryError
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
from tuf.api.metadata import Role as RootRole

from registry.directory.layout import (
    BIN_BITS,
    FAMILIES,
    ISSUED_AT,
    LIVES,
    POLICY,
    Family,
    Role,
    key_role,
    metadata_name,
)
from registry.directory.signers import Signers, public
from security.errors import Code, SimpulError
from security.public_log import HEAD_FIELD, Head, read_head

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

TOP_LEVEL = (Role.ROOT, Role.TARGETS, Role.SNAPSHOT, Role.TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Signed(Generic[T]):
    """A role's metadata as it was signed: the parsed value and the very bytes."""

    role: str
    value: T
    data: bytes

    @property
    def name(self) -> str:
        """The published name."""
        return metadata_name(self.role, self.value.version)

    @property
    def expires_at_ms(self) -> int:
        """When the signature's life ends."""
        return int(self.value.expires.timestamp() * 1000)

    def meta(self) -> MetaFile:
        """What the role above says of these bytes."""
        return MetaFile(
            self.value.version,
            length=len(self.data),
            hashes={"sha256": sha256(self.data).hexdigest()},
        )


def sign(role: str, value: T, signer: CryptoSigner) -> Signed[T]:
    """Signs `value` and keeps the bytes."""
    metadata = Metadata(value)
    metadata.sign(signer)
    return Signed(role, value, metadata.to_bytes())


def parse(role: str, kind: type[T], data: bytes, expected: MetaFile | None = None) -> Signed[T]:
    """A role's metadata from a file of our own.

    Args:
        role: The role's name.
        kind: Its TUF class.
        data: The file.
        expected: What the role above says of the file; None for timestamp and root.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED, when it is not what was published.
    """
    try:
        if expected is not None:
            expected.verify_length_and_hashes(data)
        metadata: Metadata[T] = Metadata.from_bytes(data)
    except RepositoryError as error:
        raise _damaged(role) from error
    if not isinstance(metadata.signed, kind):
        raise _damaged(role)
    if expected is not None and metadata.signed.version != expected.version:
        raise _damaged(role)
    return Signed(role, metadata.signed, data)


def first_root(signers: Signers, now_ms: int) -> Signed[Root]:
    """Version 1: every top-level role's key with threshold 1, consistent snapshots."""
    keys = {key.keyid: key for key in (public(signers, role) for role in TOP_LEVEL)}
    roles = {str(role): RootRole([public(signers, role).keyid], 1) for role in TOP_LEVEL}
    expires = moment(LIVES[Role.ROOT].expires_at_ms(now_ms))
    root = Root(version=1, expires=expires, keys=keys, roles=roles, consistent_snapshot=True)
    return sign(Role.ROOT, root, signers[Role.ROOT])


def next_root(root: Signed[Root], signer: CryptoSigner, now_ms: int) -> Signed[Root]:
    """The same keys with a new life."""
    old = root.value
    value = Root(
        version=old.version + 1,
        expires=moment(LIVES[Role.ROOT].expires_at_ms(now_ms)),
        keys=old.keys,
        roles=old.roles,
        consistent_snapshot=True,
    )
    return sign(Role.ROOT, value, signer)


def first_targets(signers: Signers, policy: bytes, now_ms: int) -> Signed[Targets]:
    """Version 1: the policy, and both families delegated, each terminating."""
    keys = {key.keyid: key for key in (public(signers, family.role) for family in FAMILIES)}
    roles = {
        str(family.role): DelegatedRole(
            str(family.role),
            [public(signers, family.role).keyid],
            threshold=1,
            terminating=True,
            paths=[family.pattern],
        )
        for family in FAMILIES
    }
    value = Targets(
        version=1,
        expires=moment(LIVES[Role.TARGETS].expires_at_ms(now_ms)),
        targets={POLICY: target_file(POLICY, policy)},
        delegations=Delegations(keys, roles=roles),
    )
    return sign(Role.TARGETS, value, signers[Role.TARGETS])


def first_family(signers: Signers, family: Family, now_ms: int) -> Signed[Targets]:
    """Version 1 of a family's role: its bins delegated to one online key."""
    key = public(signers, family.bins)
    bins = SuccinctRoles([key.keyid], threshold=1, bit_length=BIN_BITS, name_prefix=family.prefix)
    value = Targets(
        version=1,
        expires=moment(LIVES[family.role].expires_at_ms(now_ms)),
        delegations=Delegations({key.keyid: key}, succinct_roles=bins),
    )
    return sign(family.role, value, signers[family.role])


def first_bin(signers: Signers, name: str, now_ms: int) -> Signed[Targets]:
    """Version 1 of a bin: empty."""
    role = key_role(name)
    value = Targets(version=1, expires=moment(LIVES[role].expires_at_ms(now_ms)))
    return sign(name, value, signers[role])


def next_targets(
    old: Signed[Targets],
    added: Mapping[str, TargetFile],
    signer: CryptoSigner,
    now_ms: int,
    by: int = 1,
) -> Signed[Targets]:
    """The next version of a bin, a family or targets, with `added` laid over its targets."""
    value = Targets(
        version=old.value.version + by,
        expires=moment(LIVES[key_role(old.role)].expires_at_ms(now_ms)),
        targets={**old.value.targets, **added},
        delegations=old.value.delegations,
    )
    return sign(old.role, value, signer)


def make_snapshot(
    version: int,
    meta: Mapping[str, MetaFile],
    changed: Iterable[Signed[Targets]],
    signer: CryptoSigner,
    issued_at_ms: int,
) -> Signed[Snapshot]:
    """A snapshot: `meta` of the one before, with the changed roles' new lines."""
    lines = {**meta, **{f"{role.role}.json": role.meta() for role in changed}}
    value = Snapshot(
        version=version,
        expires=moment(LIVES[Role.SNAPSHOT].expires_at_ms(issued_at_ms)),
        meta=lines,
        unrecognized_fields={ISSUED_AT: issued_at_ms},
    )
    return sign(Role.SNAPSHOT, value, signer)


def make_timestamp(
    version: int,
    snapshot: Signed[Snapshot],
    signer: CryptoSigner,
    issued_at_ms: int,
    dead_after_ms: int,
    log: Head,
) -> Signed[Timestamp]:
    """A timestamp that names `snapshot` and the public log's head, and says when it was issued.

    It expires when that is dead.
    """
    value = Timestamp(
        version=version,
        expires=moment(issued_at_ms + dead_after_ms),
        snapshot_meta=snapshot.meta(),
        unrecognized_fields={ISSUED_AT: issued_at_ms, HEAD_FIELD: log.to_field()},
    )
    return sign(Role.TIMESTAMP, value, signer)


def target_file(path: str, data: bytes) -> TargetFile:
    """What a role says of a target's bytes."""
    return TargetFile(len(data), {"sha256": sha256(data).hexdigest()}, path)


def issued_at_ms(value: Timestamp | Snapshot) -> int:
    """The signed issue time.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED, when there is none.
    """
    at = value.unrecognized_fields.get(ISSUED_AT)
    if type(at) is not int:
        raise _damaged(value.type)
    return at


def log_head(value: Timestamp) -> Head | None:
    """The public log's signed head; None where there was no log yet.

    Raises:
        SimpulError: DIRECTORY_UNLOGGED, when it has another form.
    """
    found = value.unrecognized_fields.get(HEAD_FIELD)
    return None if found is None else read_head(found)


def moment(at_ms: int) -> datetime:
    """TUF's times are whole seconds: cut off, so that nothing lives longer than was meant."""
    return datetime.fromtimestamp(at_ms // 1000, tz=UTC)


def _damaged(role: str) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_UNTRUSTED,
        f"the published {role} metadata is damaged: restore the registry's home from its backup",
        role=role,
    )
