"""What every operation of a supervisor needs: store, directory, workers, and the snapshot.

The snapshot that workers go by is made here, from all that is stored, and pushed whole: an
operation is done when every worker has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from node.agreements import wire as agreements
from node.agreements.force import in_force
from node.agreements.model import signed
from node.config import NodeConfig
from node.directory.refresh import SharedRefresh
from node.directory.watch import DirectoryWatch
from node.home import NodeHome
from node.keyring import KeyRing
from node.reconciliation.sets import JournalSets
from node.registry_client import NodeChanges
from node.store.apps import list_apps
from node.store.engine import Store
from node.store.routes import list_routes
from node.workers import Workers
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from security.keys import PrivateKey
from simpul.node.v1 import control_pb2

_log = structlog.get_logger(__name__)

# An offer crosses a link to another node, is signed there, and comes back.
ASK_TIMEOUT_MS: Final = 8000


@dataclass(slots=True)
class Desk:
    """One supervisor's tools."""

    home: NodeHome
    config: NodeConfig
    store: Store
    watch: DirectoryWatch
    changes: NodeChanges
    workers: Workers
    now_ms: Callable[[], int]
    ring: KeyRing
    # What the journal has, for comparing it with other nodes'.
    sets: JournalSets
    # Why no new call may begin, if so: checkpoints say it.
    refusal: SimpulError | None = None
    # Members whose other nodes have not been heard from: `node.agreements.settling`.
    unsettled: frozenset[MemberId] = frozenset()
    # For whoever needs a directory that is not here yet: peers' claims cost one fetch a second.
    refresh: SharedRefresh = field(init=False)
    # Two operations that push must not cross: the older snapshot would win.
    _pushing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        """The fetches are the watch's."""
        self.refresh = SharedRefresh(lambda: self.watch.replica.current, self.watch.refresh)

    @property
    def directory(self) -> DirectoryView:
        """The directory as it is known here.

        Raises:
            SimpulError: There is none yet (DIRECTORY_ABSENT).
        """
        view = self.watch.replica.view
        if view is None:
            raise SimpulError(
                Code.DIRECTORY_ABSENT,
                "this node has no directory yet; it needs the registry once, to fetch it",
            )
        return view

    @property
    def members(self) -> tuple[MemberId, ...]:
        """The members that this node hosts."""
        return self.config.member_ids

    def identity_key(self, member: MemberId) -> PrivateKey:
        """The key that signs statements and agreements of a member that is hosted here.

        Raises:
            SimpulError: IDENTITY_ABSENT, when it is on another node; what the directory says.
        """
        return self.ring.identity_key(member, self.directory.identity_key(member))

    def node_key(self) -> PrivateKey:
        """The key of this node that the directory lists."""
        return self.ring.node_key(self.watch.replica.view, self.config.node_id)

    @property
    def node(self) -> NodeId:
        """This node."""
        return self.config.node_id

    @property
    def agrees_by_itself(self) -> bool:
        """Whether what a provider offers is signed without asking an operator."""
        return self.config.agreements.countersign == "auto"

    @property
    def signs_elsewhere(self) -> bool:
        """Whether proposals wait here though the identity keys of the members lie on no node."""
        return self.config.agreements.identity_keys == "elsewhere"

    def time_ms(self) -> int:
        """The time, in milliseconds since the epoch."""
        return self.now_ms()

    def seal_key(self, member: MemberId) -> PrivateKey:
        """The key that seals for a member on this node; raises HOME_MISSING."""
        return self.ring.sealing_key(member, self.directory, self.node, self.now_ms())

    async def ask(
        self, node: NodeId, method: str, data: bytes, *, sender: SubsystemId, receiver: SubsystemId
    ) -> bytes:
        """Ask a node's `simpul.v1.Agreements`; raises what it refuses with, or PEER_UNREACHABLE."""
        called = (agreements.SERVICE, method)
        return await self.ask_service(node, called, data, sender=sender, receiver=receiver)

    async def ask_service(
        self,
        node: NodeId,
        method: tuple[str, str],
        data: bytes,
        *,
        sender: SubsystemId | None = None,
        receiver: SubsystemId | None = None,
        timeout_ms: int = ASK_TIMEOUT_MS,
    ) -> bytes:
        """Ask another node's own service and method; without names, for the nodes themselves.

        Raises:
            SimpulError: as `ask`.
        """
        return await self.workers.ask(
            control_pb2.Question(
                node=str(node),
                service=method[0],
                method=method[1],
                data=data,
                timeout_ms=timeout_ms,
                sender="" if sender is None else str(sender),
                receiver="" if receiver is None else str(receiver),
            )
        )

    def require_hosted(self, subsystem: SubsystemId) -> SubsystemId:
        """Raise SimpulError MEMBER_UNKNOWN for a subsystem of a member that is not hosted here."""
        self.require_member(subsystem.member)
        return subsystem

    def require_member(self, member: MemberId) -> None:
        """Raise SimpulError MEMBER_UNKNOWN for a member that is not hosted here."""
        if member not in self.members:
            raise SimpulError(
                Code.MEMBER_UNKNOWN,
                f"{member} is not hosted by this node; it hosts "
                f"{', '.join(str(hosted) for hosted in self.members)}",
            )

    async def catch_up(self, version: int) -> None:
        """Go by a directory that is no older than `version`.

        What an operator is told is done must be known here, whether or not the watch was faster.
        """
        if self.directory.version < version:
            await self.watch.refresh()
        await self.push()

    async def renew_directory(self) -> None:
        """Fetch the directory now; without the registry, go on by the copy that is here."""
        try:
            await self.refresh.once()
        except SimpulError as error:
            _log.info("directory not renewed", code=error.code, why=error.message)

    async def push(self) -> None:
        """Have every worker go by what is stored now.

        Raises:
            SimpulError: A worker did not take it.
        """
        async with self._pushing:
            await self.workers.push(await asyncio.to_thread(self._snapshot))

    def _snapshot(self) -> control_pb2.Snapshot:
        generation = self.watch.replica.current
        if generation is None:
            raise SimpulError(
                Code.DIRECTORY_ABSENT,
                "this node has no directory yet; it needs the registry once, to fetch it",
            )
        refusal, force = self.refusal, in_force(self)
        return control_pb2.Snapshot(
            refusal_code="" if refusal is None else refusal.code,
            refusal_message="" if refusal is None else refusal.message,
            unsettled=sorted(map(str, self.unsettled)),
            directory_path=str(generation.path.relative_to(self.home.path)),
            agreements=[signed(stored) for stored in force.agreements.values()],
            undelegated=sorted(force.undelegated),
            apps=[
                control_pb2.AppCredential(
                    name=app.name,
                    subsystems=[str(subsystem) for subsystem in app.subsystems],
                    token_sha256=app.token_sha256 or b"",
                    certificate_sha256=app.certificate_sha256 or b"",
                    expires_at_ms=app.expires_at_ms or 0,
                )
                for app in list_apps(self.store)
            ],
            routes=[
                control_pb2.ServiceRoute(service_id=str(route.service), target=route.target)
                for route in list_routes(self.store)
            ],
        )
