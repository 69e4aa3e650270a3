"""What a worker goes by: one immutable snapshot, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId


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
    # `host:port` or `unix:PATH` of each service that this node publishes.
    targets: Mapping[ServiceId, str]


class Current:
    """Holds the newest snapshot; readers take it once per event."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        self._snapshot = snapshot

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot.

        Raises:
            SimpulError: There is none (DIRECTORY_ABSENT), or the supervisor is lost.
        """
        if self._snapshot is None:
            raise SimpulError(
                Code.SUPERVISOR_LOST, "this worker waits for its supervisor; try again in a moment"
            )
        return self._snapshot

    @property
    def known(self) -> Snapshot | None:
        """The newest snapshot, or None; for whoever only compares."""
        return self._snapshot

    def replace(self, snapshot: Snapshot | None) -> None:
        """Put a newer snapshot in place; None refuses calls until the next one."""
        self._snapshot = snapshot
