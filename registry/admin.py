"""What the registry's operator asks, over the Unix socket: thin, like `service`."""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import grpc

from registry import administration
from registry.administration import NodeInfo, TokenRequest
from registry.desk import Desk
from registry.home import Endpoints
from registry.model import Listing, MemberState, Touched
from registry.registrar import Registrar
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, RegionCode
from security.token import SECRET_BYTES, EnrolmentToken, format_token
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

MS_PER_S: Final = 1000
MAX_TOKEN_LIFE_S: Final = 90 * 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class Facts:
    """What a running registry tells of itself, and puts into tokens."""

    endpoints: Endpoints
    root_file: str
    root_sha256: bytes
    certificate_sha256: bytes
    token_life_s: int


class AdminService(admin_pb2_grpc.RegistryAdminServicer):
    """simpul.registry.v1.RegistryAdmin."""

    def __init__(
        self, registrar: Registrar, desk: Desk, facts: Facts, clock_ms: Callable[[], int]
    ) -> None:
        self._registrar = registrar
        self._desk = desk
        self._facts = facts
        self._clock_ms = clock_ms

    async def Status(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.StatusRequest, _context: Context
    ) -> admin_pb2.StatusResponse:
        """Where the registry is, and how much it lists."""
        counts = await self._desk.read(lambda: administration.count(self._registrar))
        return admin_pb2.StatusResponse(
            federation=self._registrar.federation,
            grpc=self._facts.endpoints.grpc,
            directory_url=self._facts.endpoints.directory,
            root_file=self._facts.root_file,
            directory_version=self._desk.schedule.current.version,
            members=counts.members,
            nodes=counts.nodes,
            services=counts.services,
            metrics=self._facts.endpoints.metrics,
        )

    async def AddMember(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.AddMemberRequest, _context: Context
    ) -> admin_pb2.AddMemberResponse:
        """Lists a member."""
        member = MemberId.parse(request.member)
        codes = _codes(request.region_codes)
        listing, _ = await self._desk.change(
            lambda: administration.add_member(
                self._registrar, member, request.legal_name, codes, self._clock_ms()
            ),
            _member_touched,
        )
        return admin_pb2.AddMemberResponse(member=_member(listing))

    async def ListMembers(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListMembersRequest, _context: Context
    ) -> admin_pb2.ListMembersResponse:
        """All members."""
        found = await self._desk.read(lambda: administration.list_members(self._registrar))
        return admin_pb2.ListMembersResponse(members=[_member(listing) for listing in found])

    async def SetMemberState(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.SetMemberStateRequest, _context: Context
    ) -> admin_pb2.SetMemberStateResponse:
        """Suspends, restores or removes a member; answers when it is published."""
        member, state = MemberId.parse(request.member), _state(request.state)
        listing, version = await self._desk.change(
            lambda: administration.set_member_state(self._registrar, member, state),
            _member_touched,
        )
        return admin_pb2.SetMemberStateResponse(member=_member(listing), directory_version=version)

    async def CreateEnrolment(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.CreateEnrolmentRequest, _context: Context
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
            region_codes=_codes(request.region_codes),
        )
        await self._desk.change(
            lambda: administration.create_enrolment(self._registrar, wanted, now_ms),
            lambda touched: touched,
        )
        token = EnrolmentToken(
            secret=wanted.secret,
            member=wanted.member,
            node=wanted.node,
            root_sha256=self._facts.root_sha256,
            registry_certificate_sha256=self._facts.certificate_sha256,
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


def _member_touched(listing: Listing) -> Touched:
    return Touched(frozenset({listing.member.id}))


def _codes(texts: Iterable[str]) -> tuple[RegionCode, ...]:
    return tuple(map(RegionCode.parse, texts))


def _state(text: str) -> MemberState:
    try:
        return MemberState(text)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{text[:40]!a} is no state: write {', '.join(MemberState)}",
        ) from None


def _member(listing: Listing) -> admin_pb2.Member:
    member = listing.member
    return admin_pb2.Member(
        id=str(member.id),
        legal_name=member.legal_name,
        state=member.state,
        region_codes=[str(region.code) for region in member.regions],
        nodes=[str(node.id) for node in listing.nodes],
        services=[str(service.id) for service in listing.services],
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
