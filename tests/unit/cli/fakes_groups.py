"""The parts of the fake node and registry that are about groups and templates, in memory."""
# ruff: noqa: N802  (the protos' names)

import grpc

from simpul.node.v1 import admin_pb2 as node_pb
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from simpul.registry.v1 import admin_pb2 as registry_pb
from simpul.registry.v1 import admin_pb2_grpc as registry_grpc
from tests.unit.cli.heard import Heard

Context = grpc.ServicerContext

AT_MS = 1_700_000_000_000
OWNER = "ID/DAERAH/53.15"
MINISTRY = "ID/KEMENTERIAN/KOMDIGI"
ENDED = "ef" * 32


class FakeTemplates(node_grpc.NodeAdminServicer):
    """A node with one group of its own, one of the federation's, and one template."""

    heard: Heard

    def ChangeGroup(
        self, request: node_pb.ChangeGroupRequest, context: Context
    ) -> node_pb.ChangeGroupResponse:
        self.heard.take("ChangeGroup", request, context)
        ended = [ENDED] if request.step == "exclude" else []
        return node_pb.ChangeGroupResponse(group=_group(request.group), ended=ended)

    def ListGroups(
        self, request: node_pb.ListGroupsRequest, context: Context
    ) -> node_pb.ListGroupsResponse:
        self.heard.take("ListGroups", request, context)
        wide = node_pb.ConsumerGroup(name="dinas", title="Agencies", retired=True)
        return node_pb.ListGroupsResponse(groups=[_group("mitra"), wide])

    def ApproveTemplate(
        self, request: node_pb.ApproveTemplateRequest, context: Context
    ) -> node_pb.ApproveTemplateResponse:
        self.heard.take("ApproveTemplate", request, context)
        return node_pb.ApproveTemplateResponse(template=_template("in force"))

    def EndTemplate(
        self, request: node_pb.EndTemplateRequest, context: Context
    ) -> node_pb.EndTemplateResponse:
        self.heard.take("EndTemplate", request, context)
        return node_pb.EndTemplateResponse(template=_template("ended"))

    def ListTemplates(
        self, request: node_pb.ListTemplatesRequest, context: Context
    ) -> node_pb.ListTemplatesResponse:
        self.heard.take("ListTemplates", request, context)
        return node_pb.ListTemplatesResponse(templates=[_template("in force")])


class FakeNodeOperators(node_grpc.NodeAdminServicer):
    """A node with one operator."""

    heard: Heard

    def AddOperator(
        self, request: node_pb.AddOperatorRequest, context: Context
    ) -> node_pb.AddOperatorResponse:
        self.heard.take("AddOperator", request, context)
        return node_pb.AddOperatorResponse(operator=_operator())

    def ListOperators(
        self, request: node_pb.ListOperatorsRequest, context: Context
    ) -> node_pb.ListOperatorsResponse:
        self.heard.take("ListOperators", request, context)
        return node_pb.ListOperatorsResponse(operators=[_operator()])

    def RemoveOperator(
        self, request: node_pb.RemoveOperatorRequest, context: Context
    ) -> node_pb.RemoveOperatorResponse:
        self.heard.take("RemoveOperator", request, context)
        return node_pb.RemoveOperatorResponse()


class FakeGroups(registry_grpc.RegistryAdminServicer):
    """A registry with one group."""

    heard: Heard

    def ChangeGroup(
        self, request: registry_pb.ChangeGroupRequest, context: Context
    ) -> registry_pb.ChangeGroupResponse:
        self.heard.take("ChangeGroup", request, context)
        made = registry_pb.Group(
            name=request.group, title="Agencies", members=request.members, number=2,
            retired=request.step == "retire",
        )  # fmt: skip
        return registry_pb.ChangeGroupResponse(group=made, directory_version=9)

    def ListGroups(
        self, request: registry_pb.ListGroupsRequest, context: Context
    ) -> registry_pb.ListGroupsResponse:
        self.heard.take("ListGroups", request, context)
        made = registry_pb.Group(name="dinas", title="Agencies", members=[OWNER], number=2)
        return registry_pb.ListGroupsResponse(groups=[made])


def _operator() -> node_pb.NodeOperator:
    role = node_pb.MemberRole(member=OWNER, role="operator")
    return node_pb.NodeOperator(user="wayan", uid=2001, roles=[role])


def _group(name: str) -> node_pb.ConsumerGroup:
    member = node_pb.ConsumerGroupMember(
        member=MINISTRY, identity_key_id=b"\xab" * 32, added_by="wayan", added_at_ms=AT_MS
    )
    return node_pb.ConsumerGroup(owner=OWNER, name=name, title="Partners", members=[member])


def _template(state: str) -> node_pb.Template:
    return node_pb.Template(
        owner=OWNER,
        name="baca",
        group="dinas",
        federation_wide=True,
        follow=True,
        terms=[node_pb.TermInWords(term="rate", says="10 a second, 10 at once")],
        approved_by="wayan",
        approved_at_ms=AT_MS,
        expires_at_ms=AT_MS,
        ended_by="made" if state == "ended" else "",
        ended_at_ms=AT_MS if state == "ended" else 0,
        state=state,
        members=[MINISTRY],
        agreements=[
            node_pb.TemplateAgreement(agreement=ENDED, member=MINISTRY, state="agreed", at_ms=AT_MS)
        ],
    )
