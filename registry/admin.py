"""What the registry's operator asks, over the Unix socket: thin, like `service`."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import grpc

from registry import administration, audit, changes
from registry.admin_groups import GroupAdmin
from registry.admin_members import codes
from registry.admin_operators import OperatorsPort
from registry.administration import NodeInfo, TokenRequest
from registry.desk import Desk
from registry.directory.folder import PublishedFolder
from registry.directory.layout import Role, metadata_name
from registry.directory.proposals import parse_root
from registry.home import Endpoints
from registry.membership import Act
from registry.model import Touched
from registry.operators import actor_of
from registry.registrar import Registrar
from registry.requests import parse_change, summary
from registry.store.waiting import WaitingChange
from registry.trust import Trust
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.token import SECRET_BYTES, EnrolmentToken, format_token
from simpul.registry.v1 import admin_pb2

Context = grpc.aio.ServicerContext[Any, Any]

MS_PER_S: Final = 1000
AUDIT_PAGE: Final = 100
MAX_TOKEN_LIFE_S: Final = 90 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Facts:
    """What a running registry tells of itself, and puts into tokens."""

    endpoints: Endpoints
    # The first root, and the folder in which its successors are published, with all else.
    root_file: str
    published: PublishedFolder
    certificate_sha256: bytes
    token_life_s: int
    # What operators pin, and where they call; empty: nowhere.
    certificate_pem: str = ""
    admin_public: str = ""


class AdminService(GroupAdmin):
    """simpul.registry.v1.RegistryAdmin."""

    def __init__(
        self,
        registrar: Registrar,
        desk: Desk,
        trust: Trust,
        facts: Facts,
        clock_ms: Callable[[], int],
    ) -> None:
        super().__init__(registrar, desk, clock_ms)
        self._trust = trust
        self._folder = facts.published
        self._port = OperatorsPort(facts.admin_public, facts.certificate_pem)
        self._facts = facts

    async def Status(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.StatusRequest, _context: Context
    ) -> admin_pb2.StatusResponse:
        """Where the registry is, and how much it lists."""
        counts = await self._desk.read(lambda: administration.count(self._registrar))
        return admin_pb2.StatusResponse(
            federation=self._registrar.federation,
            grpc=self._facts.endpoints.grpc,
            directory_url=self._facts.endpoints.directory,
            root_file=self._root_file(),
            directory_version=self._desk.schedule.current.version,
            members=counts.members,
            nodes=counts.nodes,
            services=counts.services,
            metrics=self._facts.endpoints.metrics,
            member_classes=sorted(self._registrar.policy.member_classes),
        )

    def _root_file(self) -> str:
        """The newest root's: who starts from it need not trust the keys of those before."""
        version = parse_root(self._trust.show().root).version
        if version == 1:
            return self._facts.root_file
        return str(self._folder.path / metadata_name(Role.ROOT, version))

    async def CreateEnrolment(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.CreateEnrolmentRequest, context: Context
    ) -> admin_pb2.CreateEnrolmentResponse:
        """Makes a one-time token. Its secret is in the answer and nowhere else."""
        life_s = request.ttl_s or self._facts.token_life_s
        if life_s > MAX_TOKEN_LIFE_S:
            raise SimpulError(
                Code.REQUEST_MALFORMED, f"a token lives {MAX_TOKEN_LIFE_S} s at most: give less"
            )
        now_ms = self._clock_ms()
        wanted = TokenRequest(
            member=MemberId.parse(request.member),
            node=NodeId(self._registrar.federation, request.node_name),
            secret=secrets.token_bytes(SECRET_BYTES),
            expires_at_ms=now_ms + life_s * MS_PER_S,
            legal_name=request.legal_name,
            region_codes=codes(request.region_codes),
            hosts=request.host,
            actor=actor_of(context),
        )
        granted, _ = await self._desk.change(
            lambda: administration.create_enrolment(self._registrar, wanted, now_ms),
            lambda granted: granted.touched,
        )
        token = EnrolmentToken(
            secret=wanted.secret,
            member=wanted.member,
            node=wanted.node,
            root_sha256=sha256(self._trust.show().root).digest(),
            registry_certificate_sha256=self._facts.certificate_sha256,
            has_statement=granted.has_statement,
        )
        return admin_pb2.CreateEnrolmentResponse(
            token=format_token(token),
            member=str(wanted.member),
            node=str(wanted.node),
            expires_at_ms=wanted.expires_at_ms,
        )

    async def ListNodes(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListNodesRequest, _context: Context
    ) -> admin_pb2.ListNodesResponse:
        """All nodes."""
        found = await self._desk.read(lambda: administration.list_nodes(self._registrar))
        return admin_pb2.ListNodesResponse(nodes=[_node(info) for info in found])

    async def RevokeNode(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.RevokeNodeRequest, _context: Context
    ) -> admin_pb2.RevokeNodeResponse:
        """Revokes a node; answers when it is published."""
        node = NodeId.parse(request.node)
        _, version = await self._desk.change(
            lambda: administration.revoke_node(self._registrar, node, self._clock_ms()),
            lambda touched: touched,
        )
        return admin_pb2.RevokeNodeResponse(directory_version=version)

    async def RevokeKey(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.RevokeKeyRequest, _context: Context
    ) -> admin_pb2.RevokeKeyResponse:
        """Revokes a key; answers when it is published."""
        since_ms = request.suspected_since_ms if request.HasField("suspected_since_ms") else None
        member, version = await self._desk.change(
            lambda: administration.revoke_key(
                self._registrar, request.key, since_ms, self._clock_ms()
            ),
            lambda member: Touched(frozenset({member})),
        )
        return admin_pb2.RevokeKeyResponse(directory_version=version, member=str(member))

    async def RemoveNode(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.RemoveNodeRequest, _context: Context
    ) -> admin_pb2.RemoveNodeResponse:
        """Takes a node out of service; answers when it is published."""
        node = NodeId.parse(request.node)
        _, version = await self._desk.change(
            lambda: administration.remove_node(self._registrar, node),
            lambda touched: touched,
        )
        return admin_pb2.RemoveNodeResponse(directory_version=version)

    async def ListChanges(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListChangesRequest, _context: Context
    ) -> admin_pb2.ListChangesResponse:
        """What waits for an operator."""
        found = await self._desk.read(
            lambda: changes.list_waiting(self._registrar, decided=request.all)
        )
        return admin_pb2.ListChangesResponse(changes=map(_waiting, found))

    async def DecideChange(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.DecideChangeRequest, context: Context
    ) -> admin_pb2.DecideChangeResponse:
        """Approves or declines what waits; answers when it is published."""
        act = Act(actor_of(context), self._clock_ms(), request.reason)

        def work() -> tuple[WaitingChange, Touched]:
            if request.approve:
                return changes.approve(self._registrar, request.id, act)
            return changes.decline(self._registrar, request.id, act), Touched()

        (change, _), version = await self._desk.change(work, lambda done: done[1])
        return admin_pb2.DecideChangeResponse(change=_waiting(change), directory_version=version)

    async def ListAudit(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListAuditRequest, _context: Context
    ) -> admin_pb2.ListAuditResponse:
        """A part of the audit trail."""
        store, count = self._registrar.store, request.count or AUDIT_PAGE
        start = request.start if request.HasField("start") else None
        trail = await self._desk.read(lambda: audit.read(store, start, count))
        return admin_pb2.ListAuditResponse(
            entries=[_audited(number, entry) for number, entry in trail.entries],
            size=trail.size,
            root=trail.root,
        )

    async def VerifyAudit(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.VerifyAuditRequest, _context: Context
    ) -> admin_pb2.VerifyAuditResponse:
        """Checks the audit trail."""
        tree = await self._desk.read(lambda: audit.verify(self._registrar.store))
        return admin_pb2.VerifyAuditResponse(size=tree.size, root=tree.root())


def _audited(number: int, entry: audit.Entry) -> admin_pb2.AuditEntry:
    return admin_pb2.AuditEntry(
        number=number,
        at_ms=entry.at_ms,
        actor=entry.actor,
        method=entry.method,
        subject=entry.subject,
        request_sha256=entry.request_sha256,
        stage=entry.stage,
        code=entry.code,
    )


def _waiting(change: WaitingChange) -> admin_pb2.WaitingChange:
    return admin_pb2.WaitingChange(
        id=change.id,
        node=str(change.node),
        number=change.number,
        kind=change.kind,
        summary=summary(parse_change(change.change)),
        received_at_ms=change.received_at_ms,
        state=change.state,
        reason=change.reason,
        decided_at_ms=change.decided_at_ms or 0,
        decided_by=change.decided_by,
    )


def _node(info: NodeInfo) -> admin_pb2.Node:
    node = info.node
    return admin_pb2.Node(
        id=str(node.id),
        member=str(node.owner),
        link_address=node.link_address,
        state=node.state,
        certificate_expires_at_ms=node.certificate_expires_at_ms,
        fingerprint=info.fingerprint,
    )
