"""Publishes the directory: target files and the signed metadata over them.

It knows no members and no database: it is given target paths with their bytes. It does not wait,
and it does not run on its own: `schedule` calls it. Source: TUF 1.0, section 6 (consistent
snapshots), TAP 15 (succinct hash bins).

Rules:
1. Files first, then bins, then what delegates to them, then the snapshot; the timestamp last.
2. A publication that fails leaves what was published, and what is held here, as it was.
3. Version numbers and issue times only rise, also where the clock doesn't.
4. Only bytes that were hashed are written, and only by a key that the role above lists.
5. What changes comes out together with its leaves in the public log, whose head is in the
   timestamp.
6. Root and policy are signed here only where one key suffices and is here; otherwise what others
   signed is staged, and goes out with the next publication, root last before the timestamp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from tuf.api.metadata import Root, Snapshot, TargetFile, Targets, Timestamp

from registry.directory import roles, rotation
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import (
    FAMILIES,
    METADATA,
    POLICY,
    Role,
    bin_names,
    key_role,
    metadata_name,
    target_name,
)
from registry.directory.log import LOG, PublicLog, beyond, root_leaf, version_leaves
from registry.directory.proposals import Accepted
from registry.directory.renewal import MAX_PER_HOUR, due
from registry.directory.roles import Signed
from registry.directory.signers import Signers, public
from security.errors import Code, SimpulError
from security.public_log import Head
from simpul.v1 import directory_pb2

MS_PER_HOUR = 60 * 60 * 1000
# Signed by people, elsewhere, once `simpul registry root init` was done.
_CARRIED = (Role.ROOT, Role.TARGETS)


@dataclass(frozen=True, slots=True)
class Publication:
    """What one publication put out. `files` are in the order of publishing, the timestamp last."""

    version: int
    hash: bytes
    issued_at_ms: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _State:
    """All that is published, by role."""

    root: Signed[Root]
    targets: Mapping[str, Signed[Targets]]
    snapshot: Signed[Snapshot]
    timestamp: Signed[Timestamp]
    log: PublicLog


@dataclass(frozen=True, slots=True)
class _Next:
    """A state to come, with the files of its log: what is pushed, and the rest."""

    state: _State
    segment: Mapping[str, bytes]
    bundles: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class _Staged:
    """What was signed elsewhere and is to go out, and the keys that sign from then on."""

    root: Signed[Root] | None = None
    targets: Signed[Targets] | None = None
    policy: bytes = b""
    signers: Signers = field(default_factory=dict)
    # Of `signers`, those that are new to what the directory delegates.
    fresh: frozenset[Role] = frozenset()


class Publisher:
    """One folder's writer. Not for use by two threads at once."""

    def __init__(self, folder: PublishedFolder, signers: Signers, state: _State) -> None:
        self._folder = folder
        self._signers = signers
        self._state = state
        self._clean = False
        self._is_others = False
        self._last_renewal_ms = 0
        self._staged: _Staged | None = None
        self.policy_file = self._read_policy(state)

    @classmethod
    def create(
        cls, folder: PublishedFolder, signers: Signers, policy: bytes, now_ms: int
    ) -> "Publisher":
        """Publishes version 1, with the policy and nothing else, into an empty folder.

        Raises:
            SimpulError: HOME_EXISTS, when something was published there already.
        """
        if not folder.is_empty():
            raise SimpulError(
                Code.HOME_EXISTS, f"{folder.path} holds a directory already: choose another folder"
            )
        dead_after_ms = directory_pb2.FederationPolicy.FromString(policy).dead_after_ms
        root = roles.first_root(signers, now_ms)
        signed = [
            *(
                roles.first_bin(signers, name, now_ms)
                for family in FAMILIES
                for name in bin_names(family)
            ),
            *(roles.first_family(signers, family, now_ms) for family in FAMILIES),
            roles.first_targets(signers, policy, now_ms),
        ]
        snapshot = roles.make_snapshot(1, {}, signed, signers[Role.SNAPSHOT], now_ms)
        logged = PublicLog().append(
            [root_leaf(root), *version_leaves(now_ms, signed, {}, snapshot)]
        )
        timestamp = roles.make_timestamp(
            1, snapshot, signers[Role.TIMESTAMP], now_ms, dead_after_ms, logged.log.head
        )
        files = {
            target_name(POLICY, sha256(policy).hexdigest()): policy,
            root.name: root.data,
            **{role.name: role.data for role in signed},
            snapshot.name: snapshot.data,
            **logged.segment,
            **logged.bundles,
        }
        folder.commit(timestamp.data, files)
        state = _State(root, {role.role: role for role in signed}, snapshot, timestamp, logged.log)
        return cls(folder, signers, state)

    @classmethod
    def open(cls, folder: PublishedFolder, signers: Signers) -> "Publisher":
        """Continues what was published.

        Raises:
            SimpulError: DIRECTORY_ABSENT or DIRECTORY_UNTRUSTED, when the folder is not whole;
                CONFIG_INVALID, when a key is not the one that the directory lists.
        """
        state = _load(folder)
        _check_keys(signers, state)
        return cls(folder, signers, state)

    @property
    def current(self) -> Publication:
        """The directory in force, with its timestamp as the only file."""
        state = self._state
        return _publication(state, {TIMESTAMP_NAME: state.timestamp.data})

    @property
    def root(self) -> bytes:
        """The newest root metadata."""
        return self._state.root.data

    @property
    def targets(self) -> bytes:
        """The metadata of the top-level targets role in force."""
        return self._state.targets[Role.TARGETS].data

    @property
    def listed_keys(self) -> Mapping[Role, Sequence[str]]:
        """The ids of the keys of bins and families, as what is published lists them."""
        return rotation.listed_keys(self._folder)

    @property
    def log_head(self) -> Head | None:
        """The public log's head, as the timestamp in force signs it."""
        return roles.log_head(self._state.timestamp.value)

    @property
    def _dead_after_ms(self) -> int:
        return directory_pb2.FederationPolicy.FromString(self.policy_file).dead_after_ms

    def stage(self, accepted: Accepted, signers: Signers) -> None:
        """Holds a root and a policy ready, that `proposals.check` passed, for the next publication.

        Args:
            accepted: What is to be published.
            signers: The keys that are to sign from then on, as its root lists them.
        """
        root = accepted.next_root
        targets = accepted.next_targets
        self._staged = _Staged(
            None if root is None else Signed(Role.ROOT, *root),
            None if targets is None else Signed(Role.TARGETS, *targets),
            accepted.policy,
            signers,
        )

    def stage_keys(self, fresh: Signers) -> None:
        """Holds new keys of bins and families ready for the next publication."""
        self._staged = _Staged(signers={**self._signers, **fresh}, fresh=frozenset(fresh))

    def holds(self, path: str, data: bytes) -> bool:
        """Whether the target at `path` is published with these bytes."""
        listed = self._state.targets[self._bin_of(path)].value.targets.get(path)
        return listed is not None and listed.hashes["sha256"] == sha256(data).hexdigest()

    def publish(self, targets: Mapping[str, bytes], now_ms: int) -> Publication:
        """Publishes new or changed targets, and signs anew what is near its end.

        With nothing to change it signs the timestamp alone: a heartbeat, with the same version.

        Args:
            targets: By TUF path (`members/DAERAH/53.15`): the whole content.
            now_ms: The time.

        Raises:
            OSError: as it comes (disk full): nothing was published, and it may be tried again.
        """
        if self._is_others:
            # A root may have come with it that lists other keys than are here.
            _check_keys(self._signers, self._state)
            self._is_others = False
        if not self._clean:
            self._drop_leftovers()
        issued_at_ms = max(now_ms, roles.issued_at_ms(self._state.timestamp.value))
        added: dict[str, dict[str, TargetFile]] = {}
        files: dict[str, bytes] = {}
        for path, data in targets.items():
            if not self.holds(path, data):
                file = roles.target_file(path, data)
                added.setdefault(self._bin_of(path), {})[path] = file
                files[target_name(path, file.hashes["sha256"])] = data
        staged = self._staged or _Staged()
        if staged.policy:
            files[target_name(POLICY, sha256(staged.policy).hexdigest())] = staged.policy
        renewed = self._renewals(now_ms) - ({Role.TARGETS} if staged.targets else set())
        anew = rotation.resigned_names(staged.fresh)
        changed = [
            self._next_targets(name, added.get(name, {}), staged, now_ms)
            for name in sorted(added.keys() | renewed | anew, key=rotation.publishing_order)
        ]
        changed += [staged.targets] if staged.targets else []
        files |= {role.name: role.data for role in changed}
        coming = self._next_state(changed, staged, issued_at_ms, now_ms)
        state = coming.state
        if state.snapshot is not self._state.snapshot:
            files[state.snapshot.name] = state.snapshot.data
        files |= coming.segment
        if state.root is not self._state.root:
            files[state.root.name] = state.root.data
        self._commit(state, {**coming.bundles, **files}, staged)
        if renewed:
            self._last_renewal_ms = now_ms
        return _publication(state, {**files, TIMESTAMP_NAME: state.timestamp.data})

    def _next_targets(
        self, name: str, added: Mapping[str, TargetFile], staged: _Staged, now_ms: int
    ) -> Signed[Targets]:
        old, signers = self._state.targets[name], staged.signers or self._signers
        if name in {*(family.role for family in FAMILIES), Role.TARGETS}:
            return rotation.delegating(old, signers, staged.fresh, now_ms)
        return roles.next_targets(old, added, signers[key_role(name)], now_ms)

    def leap(self, by: int, now_ms: int) -> Publication:
        """Publishes what is in force once more, every version of it raised by so much.

        For a registry that was restored: nodes may have seen versions that it doesn't know. What
        others sign, offline, stays as it is.
        """
        state = self._state
        changed = [
            roles.next_targets(role, {}, self._signers[key_role(name)], now_ms, by)
            for name, role in sorted(state.targets.items(), key=lambda item: item[0])
            if self.signs_alone(key_role(name))
        ]
        issued_at_ms = max(now_ms, roles.issued_at_ms(state.timestamp.value))
        snapshot = roles.make_snapshot(
            state.snapshot.value.version + by,
            state.snapshot.value.meta,
            changed,
            self._signers[Role.SNAPSHOT],
            issued_at_ms,
        )
        logged = state.log.append(version_leaves(issued_at_ms, [], {}, snapshot))
        timestamp = roles.make_timestamp(
            state.timestamp.value.version + by,
            snapshot,
            self._signers[Role.TIMESTAMP],
            issued_at_ms,
            self._dead_after_ms,
            logged.log.head,
        )
        targets = {**state.targets, **{role.role: role for role in changed}}
        files = {**{role.name: role.data for role in changed}, snapshot.name: snapshot.data}
        files |= logged.segment
        state = _State(state.root, targets, snapshot, timestamp, logged.log)
        self._commit(state, {**logged.bundles, **files}, _Staged())
        return _publication(self._state, {**files, TIMESTAMP_NAME: timestamp.data})

    def follow(self, files: Mapping[str, bytes]) -> Publication:
        """Goes on from what another registry published; `files` of it are in the folder by now."""
        self._state = _load(self._folder, self._state.log)
        self.policy_file = self._read_policy(self._state)
        self._clean = False
        self._is_others = True
        return _publication(self._state, files)

    def expiries(self) -> Mapping[str, int]:
        """When each role but the timestamp expires, in ms since the epoch."""
        state = self._state
        return {
            **{name: role.expires_at_ms for name, role in state.targets.items()},
            Role.ROOT: state.root.expires_at_ms,
            Role.SNAPSHOT: state.snapshot.expires_at_ms,
        }

    def _next_state(
        self, changed: list[Signed[Targets]], staged: _Staged, issued_at_ms: int, now_ms: int
    ) -> _Next:
        state = self._state
        signers = staged.signers or self._signers
        policy = staged.policy or self.policy_file
        dead_after_ms = directory_pb2.FederationPolicy.FromString(policy).dead_after_ms
        snapshot_due = due(
            {Role.SNAPSHOT: state.snapshot.expires_at_ms}, now_ms, dead_after_ms, allowance=1
        )
        snapshot = state.snapshot
        # A root may have brought another key for it.
        if changed or snapshot_due or signers is not self._signers:
            snapshot = roles.make_snapshot(
                snapshot.value.version + 1,
                snapshot.value.meta,
                changed,
                signers[Role.SNAPSHOT],
                issued_at_ms,
            )
        root = staged.root or state.root
        root_due = due({Role.ROOT: root.expires_at_ms}, now_ms, dead_after_ms, allowance=1)
        if root_due and self.signs_alone(Role.ROOT):
            root = roles.next_root(root, self._signers[Role.ROOT], now_ms)
        targets = {**state.targets, **{role.role: role for role in changed}}
        # A folder that an earlier version of this program made has no log: then all of it is new.
        is_first = state.log.tree.size == 0
        leaves = [] if root.value.version <= state.log.root_version else [root_leaf(root)]
        if is_first or snapshot is not state.snapshot:
            before = {} if is_first else state.targets
            now_listed = targets.values() if is_first else changed
            leaves += version_leaves(issued_at_ms, now_listed, before, snapshot)
        logged = state.log.append(leaves)
        timestamp = roles.make_timestamp(
            state.timestamp.value.version + 1,
            snapshot,
            signers[Role.TIMESTAMP],
            issued_at_ms,
            dead_after_ms,
            logged.log.head,
        )
        coming = _State(root, targets, snapshot, timestamp, logged.log)
        return _Next(coming, logged.segment, logged.bundles)

    def _renewals(self, now_ms: int) -> set[str]:
        """The roles below the snapshot that are due and whose key is here."""
        rested = now_ms - self._last_renewal_ms >= MS_PER_HOUR
        ours = {
            name: role.expires_at_ms
            for name, role in self._state.targets.items()
            if self.signs_alone(key_role(name))
        }
        allowance = MAX_PER_HOUR if rested else 0
        return set(due(ours, now_ms, self._dead_after_ms, allowance))

    def signs_alone(self, role: Role) -> bool:
        """Whether the key that is here suffices: root and targets may need several people's."""
        if role not in self._signers:
            return False
        listed = self._state.root.value.roles.get(role)
        if listed is None:
            return True
        return listed.threshold == 1 and public(self._signers, role).keyid in listed.keyids

    def _commit(self, state: _State, files: Mapping[str, bytes], staged: _Staged) -> None:
        self._clean = False
        self._folder.commit(state.timestamp.data, files)
        self._state = state
        self.policy_file = staged.policy or self.policy_file
        self._signers = staged.signers or self._signers
        self._staged = None
        self._clean = True

    def _drop_leftovers(self) -> None:
        """Removes what a publication that was cut short left: versions that nothing names yet."""
        # Read anew: an error may have come after the timestamp was replaced.
        state = self._state = _load(self._folder, self._state.log)
        versions = {name: role.value.version for name, role in state.targets.items()}
        versions[Role.SNAPSHOT] = state.snapshot.value.version
        for name in list(self._folder.names(METADATA)):
            version, role = _split(name)
            # A root is in force from the moment that its file is there.
            if role != Role.ROOT and version > versions.get(role, version):
                self._folder.remove(name)
        for name in list(beyond(self._folder.names(LOG), state.log.tree.size)):
            self._folder.remove(name)
        self._clean = True

    def _bin_of(self, path: str) -> str:
        family = next((f for f in FAMILIES if path.startswith(f"{f.role}/")), None)
        delegations = None if family is None else self._state.targets[family.role].value.delegations
        if delegations is None or delegations.succinct_roles is None:
            raise SimpulError(Code.INTERNAL, f"{path} is no path of the directory")
        return delegations.succinct_roles.get_role_for_target(path)

    def _read_policy(self, state: _State) -> bytes:
        listed = state.targets[Role.TARGETS].value.targets[POLICY]
        return self._folder.read(target_name(POLICY, listed.hashes["sha256"]))


def _load(folder: PublishedFolder, known: PublicLog | None = None) -> _State:
    """All that is published, each file checked against what the role above says of it."""
    timestamp = roles.parse(Role.TIMESTAMP, Timestamp, folder.read(TIMESTAMP_NAME))
    meta = timestamp.value.snapshot_meta
    data = folder.read(metadata_name(Role.SNAPSHOT, meta.version))
    snapshot = roles.parse(Role.SNAPSHOT, Snapshot, data, meta)
    targets = {}
    for file, line in snapshot.value.meta.items():
        role = file.removesuffix(".json")
        data = folder.read(metadata_name(role, line.version))
        targets[role] = roles.parse(role, Targets, data, line)
    root = roles.parse(Role.ROOT, Root, folder.read(_newest_root(folder)))
    head = roles.log_head(timestamp.value)
    log = known if known is not None and known.head == head else PublicLog.load(folder, head)
    return _State(root, targets, snapshot, timestamp, log)


def newest_root(folder: PublishedFolder) -> Root:
    """The newest root that is published.

    Raises:
        SimpulError: DIRECTORY_ABSENT or DIRECTORY_UNTRUSTED.
    """
    return roles.parse(Role.ROOT, Root, folder.read(_newest_root(folder))).value


def _publication(state: _State, files: Mapping[str, bytes]) -> Publication:
    return Publication(
        state.snapshot.value.version,
        sha256(state.snapshot.data).digest(),
        roles.issued_at_ms(state.timestamp.value),
        files,
    )


def _split(name: str) -> tuple[int, str]:
    """`metadata/12.m-0a.json` is version 12 of m-0a; `timestamp.json` has version 0 here."""
    version, dot, role = name.removeprefix(f"{METADATA}/").removesuffix(".json").partition(".")
    return (int(version), role) if dot else (0, version)


def _newest_root(folder: PublishedFolder) -> str:
    versions = [
        version for version, role in map(_split, folder.names(METADATA)) if role == Role.ROOT
    ]
    return metadata_name(Role.ROOT, max(versions, default=1))


def _check_keys(signers: Signers, state: _State) -> None:
    """Each key that is here must be the one that the role above lists."""
    listed: dict[Role, Sequence[str]] = {
        role: state.root.value.roles[role].keyids for role in roles.TOP_LEVEL
    }
    listed |= rotation.listed_in(lambda role: state.targets[role].value.delegations)
    for role in signers:
        # Root's and the policy's keys may be carried away, and a copy that stayed is of no use.
        if role not in _CARRIED and public(signers, role).keyid not in listed[role]:
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"the directory lists another key for {role}: put the right key file back",
                role=role,
            )
