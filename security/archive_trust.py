"""Whose word an archive's checkpoints are, by the directories in it, from the root metadata alone.

A checkpoint is the log's if a node that one of the directories lists with this origin signed it. It
is witnessed if a quorum under the policy of one of them cosigned it, by a time at which no
signature that leads to that directory had expired. The newest directory is asked first.

Source: docs/spec, "Archives: verification".
"""

from collections.abc import Iterator
from dataclasses import dataclass

from security.archive import Directories
from security.checkpoint import SignedCheckpoint, verify_checkpoint
from security.cosignature import quorum_time_ms, verified_cosignatures
from security.directory_records import POLICY_PATH, NodeView, parse_policy
from security.errors import SimpulError
from security.evidence_directory import DirectoryVerifier, Records, read_records, verify_roots
from security.evidence_report import refused


@dataclass(frozen=True, slots=True)
class RootedTrust:
    """The directories that an archive shows, verified; the newest first."""

    records: tuple[Records, ...]

    def check_signature(self, signed: SignedCheckpoint) -> None:
        """Check that the log's node signed a checkpoint.

        Raises:
            SimpulError: SIGNATURE_INVALID; EVIDENCE_INVALID, where no directory lists the log.
        """
        origin = signed.checkpoint.origin
        fault = refused(f"no node that it shows has a journal {origin[:100]!a}")
        for node in self._nodes(origin):
            try:
                verify_checkpoint(signed, origin, node.node_key)
            except SimpulError as error:
                fault = error
            else:
                return
        raise fault

    def quorum_ms(self, signed: SignedCheckpoint) -> int:
        """Return by when a quorum had cosigned a checkpoint.

        Raises:
            SimpulError: SIGNATURE_INVALID, also for one false cosignature; EVIDENCE_INVALID, where
                no policy asks for witnesses, or what names them had expired by then.
        """
        fault = refused("no policy that it shows asks for witnesses")
        for item in self.records:
            oversight = item.policy.oversight
            if oversight.quorum == 0:
                continue
            found = verified_cosignatures(signed.note, [one.key for one in oversight.witnesses])
            try:
                at_ms = quorum_time_ms(found, oversight.quorum)
            except SimpulError as error:
                fault = error
                continue
            if at_ms < item.directory.expires_at_ms:
                return at_ms
            fault = refused(f"directory {item.directory.version} had expired when it was cosigned")
        raise fault

    def holds(self, signed: SignedCheckpoint, *, cosigned: bool) -> bool:
        """Whether a checkpoint is shown to be the log's; with `cosigned`, also to be witnessed."""
        try:
            self.check_signature(signed)
            if cosigned:
                self.quorum_ms(signed)
        except SimpulError:
            return False
        return True

    def _nodes(self, origin: str) -> Iterator[NodeView]:
        for item in self.records:
            for record in item.members.values():
                for node in record.nodes:
                    if any(slot.origin == origin for slot in node.slots):
                        yield node


def verify_directories(root: bytes, shown: Directories) -> RootedTrust:
    """Verify what an archive shows of directories, from root metadata that the caller trusts.

    Raises:
        SimpulError: EVIDENCE_INVALID or DIRECTORY_UNTRUSTED.
    """
    verifier = DirectoryVerifier(verify_roots(root, shown.roots), shown.files)
    found = [verifier.verify(item) for item in shown.directories]
    verifier.check_nothing_left()
    found.sort(key=lambda item: item.version, reverse=True)
    # Which federation it is, the root says: one has no other's policy.
    federation = parse_policy(found[0].targets[POLICY_PATH]).federation
    return RootedTrust(tuple(read_records(item, federation) for item in found))
