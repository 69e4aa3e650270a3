"""Other keys for what the registry delegates: the bins of a family, or a family itself.

Pure. A bin's key is named by its family's metadata, a family's by the targets role: the role above
is made anew with the new key, and all that the old one signed is signed anew, in one publication.
So there is no moment in which a node finds a signature by a key that isn't listed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Key,
    Snapshot,
    SuccinctRoles,
    Targets,
    Timestamp,
)

from registry.directory import roles
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import (
    BIN_BITS,
    FAMILIES,
    LIVES,
    Family,
    Role,
    bin_names,
    metadata_name,
)
from registry.directory.roles import Signed, moment
from registry.directory.signers import Signers, public
from security.errors import Code, SimpulError

# What can be rotated so; snapshot and timestamp are the root's to name.
ROTATED: Final = tuple(role for family in FAMILIES for role in (family.bins, family.role))


def naming(role: Role) -> Role:
    """The role that names another one's keys: a bin's family, and a family's targets."""
    return next((family.role for family in FAMILIES if family.bins == role), Role.TARGETS)


def resigned_names(fresh: Collection[Role]) -> set[str]:
    """The roles that keys in `fresh` are to sign anew, below the one that names them."""
    found: set[str] = set()
    for family in FAMILIES:
        if family.bins in fresh:
            found |= {*bin_names(family), family.role}
        if family.role in fresh:
            found |= {family.role, Role.TARGETS}
    return found


def delegating(
    old: Signed[Targets], signers: Signers, fresh: Collection[Role], now_ms: int
) -> Signed[Targets]:
    """The next version of a role, with the new keys of those that it delegates to.

    Args:
        old: A family's role, or targets.
        signers: The keys that sign from then on.
        fresh: The roles whose keys are new.
        now_ms: The time.
    """
    delegations = old.value.delegations
    for family in FAMILIES:
        if old.role == family.role and family.bins in fresh:
            delegations = _to_bins(family, public(signers, family.bins))
        elif old.role == Role.TARGETS and family.role in fresh:
            delegations = _to_family(delegations, family, public(signers, family.role))
    value = Targets(
        version=old.value.version + 1,
        expires=moment(LIVES[Role(old.role)].expires_at_ms(now_ms)),
        targets=old.value.targets,
        delegations=delegations,
    )
    return roles.sign(old.role, value, signers[Role(old.role)])


def listed_keys(folder: PublishedFolder) -> Mapping[Role, Sequence[str]]:
    """The key ids that what is published lists for each role but the top-level ones.

    Raises:
        SimpulError: DIRECTORY_ABSENT or DIRECTORY_UNTRUSTED.
    """
    timestamp = roles.parse(Role.TIMESTAMP, Timestamp, folder.read(TIMESTAMP_NAME))
    meta = timestamp.value.snapshot_meta
    data = folder.read(metadata_name(Role.SNAPSHOT, meta.version))
    snapshot = roles.parse(Role.SNAPSHOT, Snapshot, data, meta).value

    def read(role: Role) -> Delegations | None:
        line = snapshot.meta[f"{role}.json"]
        data = folder.read(metadata_name(role, line.version))
        return roles.parse(role, Targets, data, line).value.delegations

    return listed_in(read)


def listed_in(read: Callable[[Role], Delegations | None]) -> dict[Role, Sequence[str]]:
    """The same, of delegations that `read` gives by role."""
    top = read(Role.TARGETS)
    found: dict[Role, Sequence[str]] = {}
    for family in FAMILIES:
        below = read(family.role)
        if top is None or top.roles is None or below is None or below.succinct_roles is None:
            raise SimpulError(Code.DIRECTORY_UNTRUSTED, "the published directory has no families")
        found[family.role] = top.roles[family.role].keyids
        found[family.bins] = below.succinct_roles.keyids
    return found


def publishing_order(name: str) -> tuple[int, str]:
    """Bins before the families, and these before targets."""
    above = [family.role for family in FAMILIES]
    return (2 if name == Role.TARGETS else 1 if name in above else 0, name)


def _to_bins(family: Family, key: Key) -> Delegations:
    bins = SuccinctRoles([key.keyid], threshold=1, bit_length=BIN_BITS, name_prefix=family.prefix)
    return Delegations({key.keyid: key}, succinct_roles=bins)


def _to_family(old: Delegations | None, family: Family, key: Key) -> Delegations:
    if old is None or old.roles is None:
        raise SimpulError(Code.DIRECTORY_UNTRUSTED, "the published directory has no families")
    delegated = {
        name: DelegatedRole(
            name,
            [key.keyid] if name == family.role else role.keyids,
            role.threshold,
            role.terminating,
            paths=role.paths,
        )
        for name, role in old.roles.items()
    }
    used = {keyid for role in delegated.values() for keyid in role.keyids}
    keys = {keyid: item for keyid, item in (*old.keys.items(), (key.keyid, key)) if keyid in used}
    return Delegations(keys, roles=delegated)
