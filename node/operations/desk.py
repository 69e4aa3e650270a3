"""What every operation of a supervisor needs: store, directory, workers, and the snapshot.

The snapshot that workers go by is made here, from all that is stored, and pushed whole: an
operation is done when every worker has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from node.config import NodeConfig
from node.directory.watch import DirectoryWatch
from node.home import NodeHome
from node.keyring import KeyRing
from node.policy.pins import suspended
from node.registry_client import NodeChanges
from node.store.agreements import StoredAgreement, list_agreements, list_pins
from node.store.apps import list_apps
from node.store.engine import Store
from node.store.routes import list_routes
from node.workers import Workers
from security.agreement import AgreementTerms, parse_agreement
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, SubsystemId
from security.keys import PrivateKey
from simpul.node.v1 import control_pb2
from simpul.v1 import agreement_pb2


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
    # Why no new call may begin, if so: checkpoints say it.
    refusal: SimpulError | None = None
    # Two operations that push must not cross: the older snapshot would win.
    _pushing: asyncio.Lock = field(default_factory=asyncio.Lock)

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

    async def push(self) -> None:
        """Have every worker go by what is stored now.

        Raises:
            SimpulError: A worker did not take it.
        """
        async with self._pushing:
            await self.workers.push(await asyncio.to_thread(self._snapshot))

    def in_force(self) -> list[StoredAgreement]:
        """The agreements that permit something: signed by both, not expired, not suspended."""
        now_ms = self.now_ms()
        resting = suspended(
            ((pin.owner, pin.member, pin.key) for pin in list_pins(self.store)), self.directory
        )
        found = []
        for stored in list_agreements(self.store):
            terms = parse_agreement(stored.agreement)
            parties = frozenset({terms.provider.member, terms.consumer.member})
            if (
                stored.is_signed_by_both
                and now_ms < terms.valid_until_ms
                and parties not in resting
                and can_keep(terms, self.members)
            ):
                found.append(stored)
        return found

    def _snapshot(self) -> control_pb2.Snapshot:
        generation = self.watch.replica.current
        if generation is None:
            raise SimpulError(
                Code.DIRECTORY_ABSENT,
                "this node has no directory yet; it needs the registry once, to fetch it",
            )
        refusal = self.refusal
        return control_pb2.Snapshot(
            refusal_code="" if refusal is None else refusal.code,
            refusal_message="" if refusal is None else refusal.message,
            directory_path=str(generation.path.relative_to(self.home.path)),
            agreements=[
                agreement_pb2.SignedAgreement(
                    agreement=stored.agreement,
                    provider_signature=stored.provider_signature,
                    consumer_signature=stored.consumer_signature,
                )
                for stored in self.in_force()
            ],
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


def can_keep(terms: AgreementTerms, members: Sequence[MemberId]) -> bool:
    """Whether this node, where it is the provider's, can keep all that an agreement promises.

    Rates and field masks need counting and filtering, which this version does not do yet. A term
    that can't be kept is never ignored: such an agreement permits nothing here.
    """
    if terms.provider.member not in members:
        return True
    return (
        terms.rate is None
        and terms.request_fields.paths is None
        and terms.response_fields.paths is None
    )
