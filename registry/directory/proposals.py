"""Changes of root and policy: drafts that people carry from one machine to the next, and sign.

A proposal holds the next root, the next targets with its policy, or both, with the signatures so
far, and the root in force, by which a holder's machine without a network tells who is to sign.
Pure: values in, values out; it reads no files and no clock. The registry believes none of it but
what `check` passes, against the root and targets that it has itself.

A file is JSON with exactly these keys; the metadata are TUF's, as they will be published:

    format        simpul-proposal-1
    root          the root in force
    next_root     its successor, or null
    next_targets  the targets role's next version, or null; with next_root where its keys change
    policy        FederationPolicy in base64, that next_targets lists; empty without it

Rules: a root is signed by the old root's threshold and by its own; one key counts once, under
whatever ids; a draft is for exactly the next version; delegations don't change here.

Source: TUF specification 1.0, sections 5.3 and 6.1; docs/spec, "Directory: roles".
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.exceptions import StorageError
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Targets, VerificationResult
from tuf.api.metadata import Role as RootRole

from registry.directory.layout import LIVES, POLICY, Role
from registry.directory.roles import TOP_LEVEL, moment, target_file
from security.errors import Code, SimpulError

FORMAT: Final = "simpul-proposal-1"
MAX_BYTES: Final = 1024 * 1024
MAX_HOLDERS: Final = 32
MAX_HOLDER_CHARS: Final = 64
# In a key's metadata: whose it is. TUF carries it, and the key's id doesn't depend on it.
HOLDER: Final = "x-holder"
ONLINE_ROLES: Final = (Role.SNAPSHOT, Role.TIMESTAMP)

# Below it a proposal would have to be followed by the next at once.
_LEAST_LIFE_MS: Final = 30 * 24 * 60 * 60 * 1000

T = TypeVar("T", Root, Targets)


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is carried. Without a next root or next targets there is nothing to sign."""

    root: bytes
    next_root: bytes | None = None
    next_targets: bytes | None = None
    policy: bytes = b""

    def to_bytes(self) -> bytes:
        """The file."""
        tree = {
            "format": FORMAT,
            "root": json.loads(self.root),
            "next_root": None if self.next_root is None else json.loads(self.next_root),
            "next_targets": None if self.next_targets is None else json.loads(self.next_targets),
            "policy": base64.b64encode(self.policy).decode(),
        }
        return json.dumps(tree, indent=1).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Keys:
    """Who signs for a role, and how many of them it takes."""

    keys: tuple[Key, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class Need:
    """Whose signatures a part of a proposal has, and whose it may still get."""

    what: str
    threshold: int
    signed: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def is_met(self) -> bool:
        """Whether enough have signed."""
        return len(self.signed) >= self.threshold


@dataclass(frozen=True, slots=True)
class Accepted:
    """A proposal that may be published: parsed, and the very bytes."""

    next_root: tuple[Root, bytes] | None
    next_targets: tuple[Targets, bytes] | None
    policy: bytes


def parse(data: bytes) -> Proposal:
    """Reads a file, strictly in its form; verifies nothing.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    if len(data) > MAX_BYTES:
        raise _invalid("it is too long")
    try:
        tree = json.loads(data)
        if not isinstance(tree, dict) or tree.get("format") != FORMAT:
            raise _invalid("it is of another format")
        if tree.keys() != {"format", "root", "next_root", "next_targets", "policy"}:
            raise _invalid("a key is missing, or is one too many")
        proposal = Proposal(
            _read(tree["root"], Root).to_bytes(),
            None if tree["next_root"] is None else _read(tree["next_root"], Root).to_bytes(),
            None
            if tree["next_targets"] is None
            else _read(tree["next_targets"], Targets).to_bytes(),
            base64.b64decode(tree["policy"], validate=True),
        )
    except (ValueError, TypeError, RecursionError, binascii.Error) as error:
        raise _invalid("it isn't JSON of this form") from error
    if proposal.next_root is None and proposal.next_targets is None:
        raise _invalid("it proposes nothing")
    if (proposal.next_targets is None) != (proposal.policy == b""):
        raise _invalid("a policy goes with the targets role that lists it")
    return proposal


def parse_root(data: bytes) -> Root:
    """A root's metadata; raises SimpulError CHANGE_INVALID."""
    return _parse(data, Root).signed


def parse_targets(data: bytes) -> Targets:
    """The targets role's metadata; raises SimpulError CHANGE_INVALID."""
    return _parse(data, Targets).signed


def holder_key(pem: bytes, holder: str) -> Key:
    """A holder's public key, in PEM: Ed25519 or ECDSA; raises SimpulError KEY_MALFORMED."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _bad_key(holder, "it is no public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey):
        raise _bad_key(holder, "it is neither Ed25519 nor ECDSA")
    try:
        made = SSlibKey.from_crypto(key)
    except ValueError as error:
        raise _bad_key(holder, "its curve isn't one of NIST's P-256, P-384 or P-521") from error
    return named(made, holder)


def online_key(pem: bytes, role: str) -> Key:
    """A public key of the registry's own, which no holder has; raises SimpulError KEY_MALFORMED."""
    made = holder_key(pem, f"registry: {role}")
    del made.unrecognized_fields[HOLDER]
    return made


def named(key: Key, holder: str) -> Key:
    """The same key, with whose it is; raises SimpulError KEY_MALFORMED for what is no name."""
    if not 0 < len(holder) <= MAX_HOLDER_CHARS or not holder.isprintable():
        raise _bad_key(holder, f"a holder's name has 1 to {MAX_HOLDER_CHARS} characters")
    made = deepcopy(key)
    made.unrecognized_fields[HOLDER] = holder
    return made


def holder_of(key: Key) -> str:
    """Whose a key is: the name, or where there is none the start of its id."""
    found = key.unrecognized_fields.get(HOLDER)
    return found if isinstance(found, str) and found.isprintable() else f"key {key.keyid[:8]}"


def keys_of(root: Root, role: Role) -> Keys:
    """Who signs for a role of `root`."""
    listed = root.roles[role]
    return Keys(tuple(root.keys[keyid] for keyid in listed.keyids), listed.threshold)


def propose_root(
    root: bytes,
    changes: Mapping[Role, Keys],
    now_ms: int,
    targets: bytes = b"",
    policy: bytes = b"",
) -> Proposal:
    """The next root: the same keys but for `changes`, with a new life.

    Args:
        root: The root in force.
        changes: By role, who signs from then on.
        now_ms: The time.
        targets: The targets role's metadata in force; needed where its keys change.
        policy: The policy in force; likewise.

    Raises:
        SimpulError: CHANGE_INVALID for keys that can't be.
    """
    old = parse_root(root)
    roles = {role: changes.get(role, keys_of(old, role)) for role in TOP_LEVEL}
    for role, wanted in roles.items():
        _check_keys(role, wanted)
    value = Root(
        version=old.version + 1,
        expires=moment(LIVES[Role.ROOT].expires_at_ms(now_ms)),
        keys={key.keyid: key for wanted in roles.values() for key in wanted.keys},
        roles={
            str(role): RootRole([key.keyid for key in wanted.keys], wanted.threshold)
            for role, wanted in roles.items()
        },
        consistent_snapshot=True,
    )
    made = Proposal(root, Metadata(value).to_bytes())
    if Role.TARGETS not in changes:
        return made
    return replace(made, next_targets=_next_targets(targets, policy, now_ms), policy=policy)


def propose_policy(root: bytes, targets: bytes, policy: bytes, now_ms: int) -> Proposal:
    """The targets role's next version, with another policy, or with the same and a new life."""
    return Proposal(root, None, _next_targets(targets, policy, now_ms), policy)


def sign(proposal: Proposal, signer: CryptoSigner) -> Proposal:
    """Adds a key's signature wherever it is wanted.

    Raises:
        SimpulError: CHANGE_INVALID, where it is wanted nowhere.
    """
    keyid = signer.public_key.keyid
    wanted = {what for what, keys in _wanted(proposal) if keyid in {key.keyid for key in keys.keys}}
    if not wanted:
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"nobody waits for the signature of key {keyid[:8]}: look who is to sign (simpul "
            "registry root show FILE)",
        )
    made = proposal
    if proposal.next_root is not None and wanted - {Role.TARGETS}:
        made = replace(made, next_root=_signed(proposal.next_root, Root, signer))
    if proposal.next_targets is not None and Role.TARGETS in wanted:
        made = replace(made, next_targets=_signed(proposal.next_targets, Targets, signer))
    return made


def merge(proposals: Sequence[Proposal]) -> Proposal:
    """One proposal with the signatures of several copies of it.

    Raises:
        SimpulError: CHANGE_INVALID, where they aren't copies of one.
    """
    first, *others = proposals
    for other in others:
        if (first.root, first.policy) != (other.root, other.policy):
            raise _invalid("the files are no copies of one proposal")
        first = replace(
            first,
            next_root=_merged(first.next_root, other.next_root, Root),
            next_targets=_merged(first.next_targets, other.next_targets, Targets),
        )
    return first


def needs(proposal: Proposal) -> tuple[Need, ...]:
    """Who is to sign, who has, and who hasn't. Valid signatures count, and no others."""
    found = []
    old = parse_root(proposal.root)
    new = old
    if proposal.next_root is not None:
        draft = _parse(proposal.next_root, Root)
        new = draft.signed
        for root in (old, new):
            result = root.get_verification_result("root", draft.signed_bytes, draft.signatures)
            found.append(_need(f"root {new.version}, by the keys of root {root.version}", result))
    if proposal.next_targets is not None:
        policy = _parse(proposal.next_targets, Targets)
        result = new.get_verification_result("targets", policy.signed_bytes, policy.signatures)
        found.append(_need(f"policy {policy.signed.version}", result))
    return tuple(found)


def check(proposal: Proposal, root: bytes, targets: bytes, now_ms: int) -> Accepted:
    """Passes a proposal that may follow what is in force.

    1. It is for the root in force; the next root and targets are of the next versions.
    2. The next root has the four roles, consistent snapshots, and no key of a role twice.
    3. What it proposes is not about to expire.
    4. The next targets list the policy and nothing else, and delegate as those in force do.
    5. Whoever signs for targets has signed the next ones, where who that is changes.
    6. Enough have signed.

    Raises:
        SimpulError: CONFLICT (1), CHANGE_INVALID.
    """
    old, before = parse_root(root), parse_targets(targets)
    # 1. Versions.
    new_root = None if proposal.next_root is None else parse_root(proposal.next_root)
    new_targets = None if proposal.next_targets is None else parse_targets(proposal.next_targets)
    if parse_root(proposal.root).to_dict() != old.to_dict() or (
        new_targets is not None and new_targets.version != before.version + 1
    ):
        raise SimpulError(
            Code.CONFLICT,
            "another root or policy came into force since this was proposed: propose it anew",
        )
    if new_root is not None:
        if new_root.version != old.version + 1:
            raise _invalid(f"root {new_root.version} doesn't follow root {old.version}")
        # 2. Root.
        _check_root(new_root)
    # 3. Life.
    for value in (new_root, new_targets):
        if value is not None and value.expires <= moment(now_ms + _LEAST_LIFE_MS):
            raise _invalid("it was proposed too long ago, and expires soon: propose it anew")
    # 4. Targets.
    if new_targets is not None:
        _check_targets(new_targets, before, proposal.policy)
    # 5. The policy's keys.
    elif new_root is not None and not _same_keys(old, new_root, Role.TARGETS):
        raise _invalid("who signs the policy changes, and the policy isn't signed by them")
    # 6. Signatures.
    waits = [need for need in needs(proposal) if not need.is_met]
    if waits:
        raise SimpulError(
            Code.CHANGE_INVALID, f"it isn't signed yet: {'; '.join(map(said, waits))}"
        )
    return Accepted(
        None if new_root is None else (new_root, proposal.next_root or b""),
        None if new_targets is None else (new_targets, proposal.next_targets or b""),
        proposal.policy,
    )


def described(proposal: Proposal) -> str:
    """What a proposal changes, in one line: who signs from then on, and the policy's SHA-256."""
    parts = []
    if proposal.next_root is not None:
        root = parse_root(proposal.next_root)
        for role in TOP_LEVEL:
            keys = keys_of(root, role)
            who = ", ".join(map(holder_of, keys.keys))
            parts.append(f"root {root.version}: {role} by {keys.threshold} of {who}")
    if proposal.next_targets is not None:
        version = parse_targets(proposal.next_targets).version
        parts.append(f"policy {version}: SHA-256 {sha256(proposal.policy).hexdigest()}")
    return "; ".join((*parts, *map(said, needs(proposal))))


def said(need: Need) -> str:
    """`root 2, by the keys of root 1: 2 of 3 signed, waits for Citra`."""
    counted = f"{need.what}: {len(need.signed)} of {need.threshold} signed"
    if need.is_met:
        return counted
    left = need.threshold - len(need.signed)
    whom = ", ".join(need.missing)
    any_of = f"{left} of " if left < len(need.missing) else ""
    return f"{counted}, waits for {any_of}{whom}"


def _wanted(proposal: Proposal) -> list[tuple[Role | str, Keys]]:
    old = parse_root(proposal.root)
    new = old if proposal.next_root is None else parse_root(proposal.next_root)
    found: list[tuple[Role | str, Keys]] = []
    if proposal.next_root is not None:
        found += [("old root", keys_of(old, Role.ROOT)), (Role.ROOT, keys_of(new, Role.ROOT))]
    if proposal.next_targets is not None:
        found.append((Role.TARGETS, keys_of(new, Role.TARGETS)))
    return found


def _need(what: str, result: VerificationResult) -> Need:
    # By value: one key under two ids is one signature.
    signed = {str(sorted(key.keyval.items())): holder_of(key) for key in result.signed.values()}
    missing = sorted(map(holder_of, result.unsigned.values()))
    return Need(what, result.threshold, tuple(sorted(signed.values())), tuple(missing))


def _next_targets(targets: bytes, policy: bytes, now_ms: int) -> bytes:
    old = parse_targets(targets)
    value = Targets(
        version=old.version + 1,
        expires=moment(LIVES[Role.TARGETS].expires_at_ms(now_ms)),
        targets={POLICY: target_file(POLICY, policy)},
        delegations=old.delegations,
    )
    return Metadata(value).to_bytes()


def _signed(data: bytes, kind: type[T], signer: CryptoSigner) -> bytes:
    metadata = _parse(data, kind)
    metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _merged(one: bytes | None, other: bytes | None, kind: type[T]) -> bytes | None:
    if one is None or other is None:
        if one is not other:
            raise _invalid("the files are no copies of one proposal")
        return None
    first, second = _parse(one, kind), _parse(other, kind)
    if first.signed_bytes != second.signed_bytes:
        raise _invalid("the files are no copies of one proposal")
    first.signatures.update(second.signatures)
    return first.to_bytes()


def _check_root(root: Root) -> None:
    if set(root.roles) != set(TOP_LEVEL) or root.consistent_snapshot is not True:
        raise _invalid("it isn't a root of this federation's layout")
    for role in TOP_LEVEL:
        _check_keys(role, keys_of(root, role))
    for role in ONLINE_ROLES:
        if root.roles[role].threshold != 1:
            raise _invalid(f"the registry signs {role} alone: its threshold is 1")


def _check_keys(role: Role, wanted: Keys) -> None:
    values = {str(sorted(key.keyval.items())) for key in wanted.keys}
    if len(values) != len(wanted.keys):
        raise _invalid(f"one key is listed twice for {role}: its holder would count twice")
    if len({holder_of(key) for key in wanted.keys}) != len(wanted.keys):
        raise _invalid(f"two keys for {role} bear one holder's name: name them apart")
    if not 0 < wanted.threshold <= len(wanted.keys) <= MAX_HOLDERS:
        raise _invalid(f"{wanted.threshold} of {len(wanted.keys)} can't sign for {role}")


def _check_targets(new: Targets, old: Targets, policy: bytes) -> None:
    listed = {path: file.to_dict() for path, file in new.targets.items()}
    if listed != {POLICY: target_file(POLICY, policy).to_dict()}:
        raise _invalid(
            "its targets role lists another policy than the one in it, or something more"
        )
    if new.delegations is None or old.delegations is None:
        raise _invalid("its targets role delegates to nobody")
    if new.delegations.to_dict() != old.delegations.to_dict():
        raise _invalid("its targets role delegates otherwise than the one in force")


def _same_keys(old: Root, new: Root, role: Role) -> bool:
    mine, theirs = old.roles[role], new.roles[role]
    return set(mine.keyids) == set(theirs.keyids) and mine.threshold == theirs.threshold


def _read(tree: object, kind: type[T]) -> Metadata[T]:
    return _parse(json.dumps(tree).encode(), kind)


def _parse(data: bytes, kind: type[T]) -> Metadata[T]:
    try:
        metadata: Metadata[T] = Metadata.from_bytes(data)
    except (RepositoryError, StorageError, ValueError, TypeError, KeyError) as error:
        raise _invalid("its metadata can't be read") from error
    if not isinstance(metadata.signed, kind):
        raise _invalid("its metadata is of another role")
    return metadata


def _invalid(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"this proposal is refused: {what}")


def _bad_key(holder: str, what: str) -> SimpulError:
    return SimpulError(
        Code.KEY_MALFORMED, f"the key of {holder[:64]!a} can't be taken: {what}; ask for it again"
    )
