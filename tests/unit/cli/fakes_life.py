"""The parts of the fake node and registry that are about keys and about lives."""
# ruff: noqa: N802  (the protos' names)

from collections.abc import Iterator

import grpc

from simpul.node.v1 import admin_pb2 as node_pb
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from simpul.registry.v1 import admin_pb2 as registry_pb
from tests.unit.cli.fakes_trust import FakeTrust
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

MEMBER = "ID/DAERAH/53.15"
NODE = "ID/~labuan-bajo-1"
SECOND = "ID/~labuan-bajo-2"
AT_MS = 1_700_000_000_000


class FakeKeys(node_grpc.NodeAdminServicer):
    """A member with one key here, and a second node that asks."""

    heard: Heard

    def ListKeys(
        self, request: node_pb.ListKeysRequest, context: Context
    ) -> node_pb.ListKeysResponse:
        self.heard.take("ListKeys", request, context)
        listed = node_pb.SealKey(
            key_id=b"k" * 32, node=NODE, valid_from_ms=AT_MS, valid_until_ms=AT_MS,
            fingerprint="AAAA-BBBB",
        )  # fmt: skip
        asked = node_pb.SealKey(key_id=b"q" * 32, node=SECOND, fingerprint="CCCC-DDDD")
        member = node_pb.MemberKeys(
            member=MEMBER, statement=3, identity_here=True, seal_keys=[listed], requests=[asked]
        )
        return node_pb.ListKeysResponse(members=[member])

    def ApproveNode(
        self, request: node_pb.ApproveNodeRequest, context: Context
    ) -> node_pb.ApproveNodeResponse:
        self.heard.take("ApproveNode", request, context)
        return node_pb.ApproveNodeResponse(directory_version=8)

    def DropNode(
        self, request: node_pb.DropNodeRequest, context: Context
    ) -> node_pb.DropNodeResponse:
        self.heard.take("DropNode", request, context)
        return node_pb.DropNodeResponse(directory_version=8)

    def RotateKey(
        self, request: node_pb.RotateKeyRequest, context: Context
    ) -> node_pb.RotateKeyResponse:
        self.heard.take("RotateKey", request, context)
        return node_pb.RotateKeyResponse(key_id=b"n" * 32, directory_version=8, valid_from_ms=AT_MS)

    def SetLinkAddress(
        self, request: node_pb.SetLinkAddressRequest, context: Context
    ) -> node_pb.SetLinkAddressResponse:
        self.heard.take("SetLinkAddress", request, context)
        return node_pb.SetLinkAddressResponse(directory_version=8)

    def WithdrawChange(
        self, request: node_pb.WithdrawChangeRequest, context: Context
    ) -> node_pb.WithdrawChangeResponse:
        self.heard.take("WithdrawChange", request, context)
        return node_pb.WithdrawChangeResponse()


class FakeLife(FakeTrust):
    """A registry whose members and subsystems become what they are told to."""

    heard: Heard

    def ShowMember(
        self, request: registry_pb.ShowMemberRequest, context: Context
    ) -> registry_pb.ShowMemberResponse:
        self.heard.take("ShowMember", request, context)
        return registry_pb.ShowMemberResponse(
            member=registry_pb.Member(id=request.member, legal_name="Mabar", state="active"),
            contacts=[registry_pb.Contact(kind="security", name="Kominfo", email="a@b.id")],
            regions=[registry_pb.Region(code="53.15", valid_from_ms=AT_MS, predecessors=["53.10"])],
            history=[
                registry_pb.LifeEvent(
                    at_ms=AT_MS, subject=request.member, before="applied", after="in review",
                    actor="local administrator", reason="complete",
                )
            ],
        )  # fmt: skip

    def UpdateMember(
        self, request: registry_pb.UpdateMemberRequest, context: Context
    ) -> registry_pb.UpdateMemberResponse:
        self.heard.take("UpdateMember", request, context)
        return registry_pb.UpdateMemberResponse(directory_version=9)

    def ChangeRegions(
        self, request: registry_pb.ChangeRegionsRequest, context: Context
    ) -> registry_pb.ChangeRegionsResponse:
        self.heard.take("ChangeRegions", request, context)
        regions = [
            *(registry_pb.Region(code=code, valid_until_ms=AT_MS) for code in request.end),
            *(registry_pb.Region(code=code) for code in request.begin),
        ]
        return registry_pb.ChangeRegionsResponse(regions=regions, directory_version=9)

    def ImportMembers(
        self, request: registry_pb.ImportMembersRequest, context: Context
    ) -> Iterator[registry_pb.ImportMembersResponse]:
        self.heard.take("ImportMembers", request, context)
        total = len(request.rows)
        bad = [row.line for row in request.rows if row.member.legal_name == "bad"]
        errors = [
            registry_pb.ImportError(line=line, code="CHANGE_INVALID", message="bad name")
            for line in bad
        ]
        stored = not request.dry_run and (request.skip_bad or not bad)
        yield registry_pb.ImportMembersResponse(done=1, total=total)
        yield registry_pb.ImportMembersResponse(
            done=total, total=total, errors=errors, finished=True, listed=total - len(bad),
            directory_version=9 if stored else 0,
        )  # fmt: skip

    def AddSubsystem(
        self, request: registry_pb.AddSubsystemRequest, context: Context
    ) -> registry_pb.AddSubsystemResponse:
        self.heard.take("AddSubsystem", request, context)
        state = "applied" if request.apply else "active"
        return registry_pb.AddSubsystemResponse(
            subsystem=registry_pb.Subsystem(id=request.subsystem, state=state)
        )

    def ListSubsystems(
        self, request: registry_pb.ListSubsystemsRequest, context: Context
    ) -> registry_pb.ListSubsystemsResponse:
        self.heard.take("ListSubsystems", request, context)
        found = registry_pb.Subsystem(id=f"{MEMBER}/pariwisata", name="Pariwisata", state="active")
        return registry_pb.ListSubsystemsResponse(subsystems=[found])

    def SetSubsystemState(
        self, request: registry_pb.SetSubsystemStateRequest, context: Context
    ) -> registry_pb.SetSubsystemStateResponse:
        self.heard.take("SetSubsystemState", request, context)
        subsystem = registry_pb.Subsystem(id=request.subsystem, state=request.state)
        return registry_pb.SetSubsystemStateResponse(subsystem=subsystem, directory_version=9)

    def ListAudit(
        self, request: registry_pb.ListAuditRequest, context: Context
    ) -> registry_pb.ListAuditResponse:
        self.heard.take("ListAudit", request, context)
        entry = registry_pb.AuditEntry(
            number=7, at_ms=AT_MS, actor="local administrator", method="RevokeNode", subject=NODE,
            stage="ended", code="CONFLICT",
        )  # fmt: skip
        return registry_pb.ListAuditResponse(entries=[entry], size=8, root=b"r" * 32)

    def VerifyAudit(
        self, request: registry_pb.VerifyAuditRequest, context: Context
    ) -> registry_pb.VerifyAuditResponse:
        self.heard.take("VerifyAudit", request, context)
        return registry_pb.VerifyAuditResponse(size=8, root=b"r" * 32)

    def RemoveNode(
        self, request: registry_pb.RemoveNodeRequest, context: Context
    ) -> registry_pb.RemoveNodeResponse:
        self.heard.take("RemoveNode", request, context)
        return registry_pb.RemoveNodeResponse(directory_version=9)

    def ListChanges(
        self, request: registry_pb.ListChangesRequest, context: Context
    ) -> registry_pb.ListChangesResponse:
        self.heard.take("ListChanges", request, context)
        change = registry_pb.WaitingChange(
            id=12, node=NODE, number=5, kind="set_link_address", summary="take links at a:1",
            received_at_ms=AT_MS, state="waiting",
        )  # fmt: skip
        return registry_pb.ListChangesResponse(changes=[change])

    def DecideChange(
        self, request: registry_pb.DecideChangeRequest, context: Context
    ) -> registry_pb.DecideChangeResponse:
        self.heard.take("DecideChange", request, context)
        state = "approved" if request.approve else "declined"
        change = registry_pb.WaitingChange(id=request.id, node=NODE, state=state)
        return registry_pb.DecideChangeResponse(change=change, directory_version=9)
