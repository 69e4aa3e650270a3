"""Puts a root or a policy in force that people signed elsewhere, and tells what is in force.

What they signed is judged by `proposals`; here it is judged by what the registry holds. Steps of an
acceptance:

1. The signatures, versions and keys are right (`proposals.check`).
2. The registry has the key of each online role that the root lists.
3. The policy is one that nodes read, of this federation; its dead age is one that roles outlive.
4. No member has a class that the policy leaves out: every node would refuse the whole directory.

Rules: what was accepted is on the disk before any of it is published, and is published after a
crash at the next start; keys of a root or policy that are replaced are destroyed only when their
successors are in force.

All of it runs in the writer's thread.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog
from tuf.api.metadata import Root

from registry.directory import proposals, signers
from registry.directory.layout import LIVES, MS_PER_DAY, Role
from registry.directory.proposals import ONLINE_ROLES, Accepted, Proposal
from registry.directory.publisher import Publisher
from registry.directory.roles import TOP_LEVEL
from registry.directory.rotation import ROTATED, naming
from registry.directory.signers import Signers
from registry.life import PUBLISHED
from registry.registrar import Registrar
from registry.store import members
from runtime.files import write_durably
from security.directory_records import parse_policy
from security.errors import Code, SimpulError
from security.public_log import Head

# The snapshot is signed anew this long before its end, and must outlive an outage.
MAX_DEAD_AFTER_MS: Final = LIVES[Role.SNAPSHOT].renew_before_days * MS_PER_DAY

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """What is proposed against: metadata as published, and the policy."""

    root: bytes
    targets: bytes
    policy: bytes


class Trust:
    """The running registry's part in the ceremony.

    Args:
        publisher: What publishes.
        registrar: Its policy is replaced with the published one.
        keys: The folder of the directory's keys.
        accepted_file: Where a proposal is kept between its acceptance and its publication.
    """

    def __init__(
        self, publisher: Publisher, registrar: Registrar, keys: Path, accepted_file: Path
    ) -> None:
        self._publisher = publisher
        self._registrar = registrar
        self._keys = keys
        self._file = accepted_file
        self._replaced: tuple[Role, ...] = ()
        self._is_staged = False

    def show(self) -> InForce:
        """What is in force."""
        publisher = self._publisher
        return InForce(publisher.root, publisher.targets, publisher.policy_file)

    def log_head(self) -> Head | None:
        """The public log's head, as the timestamp in force signs it."""
        return self._publisher.log_head

    def next_keys(self) -> Mapping[Role, bytes]:
        """Public keys, in PEM, that a root may list for the online roles; made when first asked."""
        made = signers.create_next(self._keys, ONLINE_ROLES)
        return {role: signers.public_pem(signers.next_file(self._keys, role)) for role in made}

    def rotate(self, roles: Sequence[str]) -> Mapping[Role, str]:
        """Makes new keys for bins and families, and holds them ready; returns their ids, by role.

        A key that was made and never listed, because the process ended, is taken up again.

        Raises:
            SimpulError: CHANGE_INVALID for no role, or another's; CONFLICT; CONFIG_INVALID, when
                the key that must list one of them isn't here.
        """
        wanted = [role for role in ROTATED if role in roles]
        if not wanted or set(roles) - set(ROTATED):
            raise SimpulError(
                Code.CHANGE_INVALID,
                f"name roles to rotate of {', '.join(ROTATED)}; snapshot and timestamp go by "
                "simpul registry root rotate --online",
            )
        if self._is_staged:
            raise SimpulError(Code.CONFLICT, "another change is being published: try again")
        here = signers.load(self._keys)
        if absent := [role for role in wanted if role not in here]:
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"the key of {absent[0]} is not here: rotate it where it lies",
                role=absent[0],
            )
        for role in wanted:
            above = naming(role)
            if above not in wanted and not self._publisher.signs_alone(above):
                raise SimpulError(
                    Code.CONFIG_INVALID,
                    f"the key of {above} lists that of {role}, and it doesn't suffice here: rotate "
                    "those that it can, or put it back for the moment",
                    role=role,
                )
        fresh = signers.create_next(self._keys, wanted)
        self._publisher.stage_keys(fresh)
        self._replaced = ()
        self._is_staged = True
        return {role: fresh[role].public_key.keyid for role in wanted}

    def accept(self, data: bytes, now_ms: int) -> None:
        """Holds a signed proposal ready to be published.

        Raises:
            SimpulError: CHANGE_INVALID, CONFLICT, DIRECTORY_UNTRUSTED: nothing is changed.
        """
        if self._is_staged:
            raise SimpulError(Code.CONFLICT, "another proposal is being published: try again")
        proposal = proposals.parse(data)
        # 1. Signatures.
        accepted = proposals.check(proposal, self._publisher.root, self._publisher.targets, now_ms)
        online = self._judge(accepted)
        write_durably(self._file, data)
        self._stage(proposal, accepted, online)

    def resume(self, now_ms: int) -> None:
        """Takes up what was accepted and not published when the process ended.

        Raises:
            SimpulError: as `accept`, where the file was changed.
        """
        if not self._file.exists():
            return
        proposal = proposals.parse(self._file.read_bytes())
        # Root's file comes out just before the timestamp: it may be in force without the rest.
        root_is_out = (
            proposal.next_root is not None
            and proposals.parse_root(self._publisher.root).version
            >= proposals.parse_root(proposal.next_root).version
        )
        root = proposal.root if root_is_out else self._publisher.root
        try:
            accepted = proposals.check(proposal, root, self._publisher.targets, now_ms)
        except SimpulError as error:
            if error.code is not Code.CONFLICT:
                raise
            # It was published, and the process ended before it could say so.
            for role in self._losing(proposals.parse_root(self._publisher.root)):
                signers.destroy(self._keys, role)
            self._file.unlink()
            return
        online = self._judge(accepted)
        rest = replace(accepted, next_root=None) if root_is_out else accepted
        self._stage(proposal, rest, online)

    def settle(self) -> None:
        """After a publication: what was replaced is destroyed, and the policy is the new one."""
        if not self._is_staged:
            return
        self._is_staged = False
        root = proposals.parse_root(self._publisher.root)
        top = {role: root.roles[role].keyids for role in TOP_LEVEL}
        signers.settle(self._keys, {**top, **self._publisher.listed_keys})
        for role in self._replaced:
            signers.destroy(self._keys, role)
        self._registrar.policy = parse_policy(self._publisher.policy_file)
        self._file.unlink(missing_ok=True)
        _log.info("root or policy in force", root=root.version, destroyed=list(self._replaced))

    def _stage(self, proposal: Proposal, accepted: Accepted, online: Signers) -> None:
        self._replaced = ()
        if proposal.next_root is not None:
            self._replaced = self._losing(proposals.parse_root(proposal.next_root))
        self._publisher.stage(accepted, online)
        self._is_staged = True

    def _judge(self, accepted: Accepted) -> Signers:
        # 2. Online keys.
        online = signers.load(self._keys)
        if accepted.next_root is not None:
            online = self._online(accepted.next_root[0], online)
        if accepted.policy:
            # 3. Policy.
            policy = parse_policy(accepted.policy)
            if policy.federation != self._registrar.federation:
                raise _refused(f"its policy is of {policy.federation[:20]}")
            if policy.dead_after_ms > MAX_DEAD_AFTER_MS:
                raise _refused(f"dead_after_ms is at most {MAX_DEAD_AFTER_MS}")
            # 4. Classes.
            with self._registrar.store.transaction() as session:
                used = {
                    member.id.member_class
                    for member in members.every(session)
                    if member.state in PUBLISHED
                }
            if left_out := sorted(used - policy.member_classes):
                raise _refused(f"there are members of class {', '.join(left_out)}")
        return online

    def _online(self, root: Root, here: Signers) -> Signers:
        coming = signers.load_next(self._keys)
        found = dict(here)
        for role in ONLINE_ROLES:
            listed = root.roles[role].keyids
            if here[role].public_key.keyid in listed:
                continue
            if role not in coming or coming[role].public_key.keyid not in listed:
                raise _refused(f"the registry has no key for {role} that its root lists")
            found[role] = coming[role]
        return found

    def _losing(self, root: Root) -> tuple[Role, ...]:
        """The roles whose key lies here and isn't listed any more."""
        here = signers.load(self._keys)
        return tuple(
            role
            for role in (Role.ROOT, Role.TARGETS)
            if role in here and here[role].public_key.keyid not in root.roles[role].keyids
        )


def _refused(what: str) -> SimpulError:
    return SimpulError(Code.CHANGE_INVALID, f"this proposal is refused: {what}")
