"""What a worker goes by: one immutable snapshot, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId

# Of a member that lists none yet.
ANY_SUBSYSTEM: Final = "simpul"


def speaker_of(directory: DirectoryView, member: MemberId) -> SubsystemId:
    """In whose name a node speaks for a member where no subsystem is concerned: any of its will do.

    Raises:
        SimpulError: MEMBER_UNKNOWN.
    """
    return next(iter(directory.member(member).subsystems), SubsystemId(member, ANY_SUBSYSTEM))


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who this node is: its id and the members it hosts."""

    node: NodeId
    members: frozenset[MemberId]

    @property
    def federation(self) -> str:
        """The federation that the node belongs to."""
        return self.node.federation


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The directory, the agreements, the apps and the services' targets, as of one moment."""

    directory: DirectoryView
    agreements: AgreementBook
    apps: AppBook
    # Of each service that this node publishes: see `node.provider.target`.
    targets: Mapping[ServiceId, str]
    # Why no new call may begin, of either side: the journal isn't as it should be.
    refusal: SimpulError | None = None
    # Members of this node whose other nodes may know of a revocation that isn't known here.
    unsettled: frozenset[MemberId] = frozenset()

    def check_settled(self, member: MemberId) -> None:
        """Pass where a member's agreements are surely all known here.

        Raises:
            SimpulError: AGREEMENTS_UNSETTLED.
        """
        if member in self.unsettled:
            raise SimpulError(
                Code.AGREEMENTS_UNSETTLED,
                f"another node of {member} has not been heard from, and may know of a revocation; "
                "its operators start that node, or take it out of the directory",
            )


class Current:
    """Holds the newest snapshot; readers take it once per event.

    While it is suspended no new call may begin, and those that have begun go on by what was known.
    """

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._latest = snapshot
        self._suspended = False

    @property
    def snapshot(self) -> Snapshot:
        """What a new call goes by.

        Raises:
            SimpulError: SUPERVISOR_LOST: there is none yet, or none that is still good; the
                snapshot's own refusal.
        """
        if self._latest is None or self._suspended:
            raise SimpulError(
                Code.SUPERVISOR_LOST, "this worker waits for its supervisor; try again in a moment"
            )
        refusal = self._latest.refusal
        if refusal is not None:
            # A new one each time: an error that was raised holds on to where it was.
            raise SimpulError(refusal.code, refusal.message)
        return self._latest

    @property
    def latest(self) -> Snapshot | None:
        """The newest snapshot, even while it is suspended; None before the first."""
        return self._latest

    @property
    def directory(self) -> DirectoryView:
        """The directory that links and calls under way go by.

        Raises:
            SimpulError: SUPERVISOR_LOST: there is none yet.
        """
        return self.snapshot.directory if self._latest is None else self._latest.directory

    @property
    def suspended(self) -> bool:
        """No new call may begin, because this worker has lost its supervisor."""
        return self._suspended

    def replace(self, snapshot: Snapshot) -> None:
        """Put a newer snapshot in place; new calls may begin."""
        self._latest = snapshot
        self._suspended = False

    def suspend(self) -> None:
        """Let no new call begin until the next snapshot."""
        self._suspended = True
