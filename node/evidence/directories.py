"""Cuts versions of the directory down to what evidence shows of them: the members concerned.

Source: docs/spec, "Evidence: directories".
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tuf.api.metadata import Metadata, MetaFile, Snapshot, SuccinctRoles, TargetFile, Targets

from node.directory.archive import MEMBERS, DirectoryArchive, KeptVersion
from node.directory.folder import ReplicaFolder
from node.directory.load import load_view
from node.directory.model import POLICY
from node.home import NodeHome
from security.archive import Checkpoint as ArchivedCheckpoint
from security.archive import Directories
from security.archive_trust import verify_directories
from security.checkpoint import parse_checkpoint
from security.directory_records import member_path
from security.errors import Code, SimpulError
from security.evidence_directory import DirectoryVerifier, read_records, verify_roots
from security.evidence_format import ShownDirectory
from security.identifiers import MemberId
from security.keys import PublicKey


@dataclass(frozen=True, slots=True)
class ShownDirectories:
    """What goes into a file. `missing` are hashes of versions that this node doesn't have."""

    roots: tuple[bytes, ...]
    directories: tuple[ShownDirectory, ...]
    files: tuple[bytes, ...]
    missing: tuple[bytes, ...]


def show_directories(
    archive: DirectoryArchive, hashes: Iterable[bytes], members: Collection[MemberId]
) -> ShownDirectories:
    """Show these versions, of these members.

    Raises:
        SimpulError: DIRECTORY_ABSENT, where the archive is damaged.
    """
    shown, missing = [], []
    files: dict[bytes, bytes] = {}
    for hashed in dict.fromkeys(hashes):
        kept = archive.find(hashed)
        if kept is None:
            missing.append(hashed)
            continue
        files |= _files(archive, kept, members)
        shown.append(ShownDirectory(kept.hash, kept.root, kept.timestamps))
    newest = max((item.root for item in shown), default=0)
    return ShownDirectories(
        archive.roots(newest), tuple(shown), tuple(files.values()), tuple(missing)
    )


def listed_keys(root: bytes, shown: ShownDirectories, federation: str) -> tuple[PublicKey, ...]:
    """The identity keys that these directories list, each verified from the root.

    Raises:
        SimpulError: EVIDENCE_INVALID or DIRECTORY_UNTRUSTED: the archive isn't what was verified.
    """
    if not shown.directories:
        return ()
    verifier = DirectoryVerifier(verify_roots(root, shown.roots), shown.files)
    records = [read_records(verifier.verify(item), federation) for item in shown.directories]
    return tuple(
        record.statement.identity_key
        for item in records
        for record in item.members.values()
        if record.statement is not None
    )


def directories_of_log(
    home: NodeHome, checkpoints: Iterable[ArchivedCheckpoint]
) -> Directories | None:
    """What an archive shows, so that its checkpoints can be judged from the root metadata alone.

    The directory in use does, as a rule. Where it lists another key or other witnesses by now, the
    versions before it are looked through, the newest first. What none of them shows stays unproven.

    Returns:
        None, where the node has no directory, or it doesn't list this log.

    Raises:
        SimpulError: DIRECTORY_ABSENT, EVIDENCE_INVALID or DIRECTORY_UNTRUSTED: the archive of
            directories is damaged.
    """
    current = ReplicaFolder(home.directory).current()
    left = [(parse_checkpoint(item.note), item.quorum_at_ms is not None) for item in checkpoints]
    if current is None or len(left) == 0:
        return None
    view = load_view(current)
    origin = left[0][0].checkpoint.origin
    owners = {
        node.owner
        for node in view.nodes.values()
        if any(slot.origin == origin for slot in node.slots)
    }
    archive = DirectoryArchive(home.directory)
    if len(owners) == 0 or archive.find(view.hash) is None:
        return None
    root, chosen = home.read_root(), list[bytes]()
    for hashed in (view.hash, *(item for item in archive.newest_first() if item != view.hash)):
        trust = verify_directories(root, _shown(archive, [hashed], owners))
        after = [item for item in left if not trust.holds(item[0], cosigned=item[1])]
        if len(after) < len(left) or hashed == view.hash:
            chosen.append(hashed)
        left = after
        if len(left) == 0:
            break
    return _shown(archive, chosen, owners)


def _shown(
    archive: DirectoryArchive, hashes: Iterable[bytes], owners: Collection[MemberId]
) -> Directories:
    shown = show_directories(archive, hashes, owners)
    return Directories(shown.roots, shown.files, shown.directories)


def _files(
    archive: DirectoryArchive, kept: KeptVersion, members: Collection[MemberId]
) -> dict[bytes, bytes]:
    found = {kept.hash: archive.read(kept.hash)}
    snapshot = Metadata[Snapshot].from_bytes(found[kept.hash]).signed

    def role(name: str) -> Targets:
        hashed = _hash(snapshot.meta[f"{name}.json"])
        found[hashed] = archive.read(hashed)
        return Metadata[Targets].from_bytes(found[hashed]).signed

    top, family = role("targets"), role(MEMBERS)
    policy = _hash(top.targets[POLICY])
    found[policy] = archive.read(policy)
    bins = _bins(family)
    for path in sorted(map(member_path, members)):
        listed = role(bins.get_role_for_target(path)).targets.get(path)
        if listed is not None:
            found[_hash(listed)] = archive.read(_hash(listed))
    return found


def _bins(family: Targets) -> SuccinctRoles:
    succinct = None if family.delegations is None else family.delegations.succinct_roles
    if succinct is None:
        raise SimpulError(
            Code.DIRECTORY_ABSENT, "the directory's archive holds a family of no bins"
        )
    return succinct


def _hash(line: MetaFile | TargetFile) -> bytes:
    return bytes.fromhex((line.hashes or {})["sha256"])
