"""What operators ask about groups of consumers and templates for them: thin, like `admin`."""
# ruff: noqa: N802 - the methods bear the names of the service's methods

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from google.protobuf.message import Message
from grpc import aio

from node.caller import CALLER
from node.operations import templates
from node.operations.desk import Desk
from node.operations.purposes import own_member
from node.operations.templates import NewTemplate, Shown
from node.store.agreements import pinned_key_ids
from node.store.groups import LocalGroup, list_groups
from security.group import GroupView
from security.identifiers import MemberId
from simpul.node.v1 import admin_pb2, admin_pb2_grpc

Context = aio.ServicerContext[Message, Message]


class TemplateAdmin(admin_pb2_grpc.NodeAdminServicer):
    """The part of simpul.node.v1.NodeAdmin that is about groups and templates."""

    _desk: Desk

    async def ChangeGroup(
        self, request: admin_pb2.ChangeGroupRequest, context: Context
    ) -> admin_pb2.ChangeGroupResponse:
        """Make a group, change who is in it, or drop it."""
        del context
        group, ended = await templates.change_group(
            self._desk,
            own_member(self._desk, request.member),
            request.group,
            request.step,
            request.title,
            [MemberId.parse(member) for member in request.members],
        )
        (shown,) = await asyncio.to_thread(_local, self._desk, [group])
        return admin_pb2.ChangeGroupResponse(
            group=shown, ended=[agreement.hex() for agreement in ended]
        )

    async def ListGroups(
        self, request: admin_pb2.ListGroupsRequest, context: Context
    ) -> admin_pb2.ListGroupsResponse:
        """The hosted members' groups, and the federation-wide ones."""
        del request, context
        local = await asyncio.to_thread(list_groups, self._desk.store)
        wide = sorted(self._desk.directory.groups.values(), key=lambda group: group.name)
        own = [group for group in local if CALLER.get().sees(group.owner)]
        shown = await asyncio.to_thread(_local, self._desk, own)
        return admin_pb2.ListGroupsResponse(groups=[*shown, *map(_federation_wide, wide)])

    async def ApproveTemplate(
        self, request: admin_pb2.ApproveTemplateRequest, context: Context
    ) -> admin_pb2.ApproveTemplateResponse:
        """Approve terms for a group."""
        del context
        new = NewTemplate(
            name=request.template,
            group=request.group,
            federation_wide=request.federation_wide,
            follow=request.follow,
            terms=request.terms,
            answers_days=request.answers_days,
        )
        made = await templates.approve(self._desk, new)
        return admin_pb2.ApproveTemplateResponse(template=_template(made))

    async def EndTemplate(
        self, request: admin_pb2.EndTemplateRequest, context: Context
    ) -> admin_pb2.EndTemplateResponse:
        """Have one answer nothing more."""
        del context
        owner = own_member(self._desk, request.member)
        ended = await templates.end(self._desk, owner, request.template)
        return admin_pb2.EndTemplateResponse(template=_template(ended))

    async def ListTemplates(
        self, request: admin_pb2.ListTemplatesRequest, context: Context
    ) -> admin_pb2.ListTemplatesResponse:
        """Those in force, or all."""
        del context
        found = await asyncio.to_thread(
            templates.shown, self._desk, request.template, every=request.all
        )
        sees = CALLER.get().sees
        return admin_pb2.ListTemplatesResponse(
            templates=[_template(item) for item in found if sees(item.template.owner)]
        )


def _local(desk: Desk, groups: Sequence[LocalGroup]) -> list[admin_pb2.ConsumerGroup]:
    """Groups as they are shown, with the keys by which their owners know who is in them."""
    known = {owner: pinned_key_ids(desk.store, owner) for owner in {each.owner for each in groups}}
    return [
        admin_pb2.ConsumerGroup(
            owner=str(group.owner),
            name=group.name,
            title=group.title,
            members=[
                admin_pb2.ConsumerGroupMember(
                    member=str(item.member),
                    identity_key_id=known[group.owner].get(str(item.member), b""),
                    added_by=item.added_by,
                    added_at_ms=item.added_at_ms,
                )
                for item in group.members
            ],
        )
        for group in groups
    ]


def _federation_wide(group: GroupView) -> admin_pb2.ConsumerGroup:
    return admin_pb2.ConsumerGroup(
        name=group.name,
        title=group.title,
        members=[
            admin_pb2.ConsumerGroupMember(member=text) for text in sorted(map(str, group.members))
        ],
        retired=group.retired,
    )


def _template(shown: Shown) -> admin_pb2.Template:
    template = shown.template
    return admin_pb2.Template(
        owner=str(template.owner),
        name=template.name,
        group=template.group,
        federation_wide=template.federation_wide,
        follow=template.follow,
        terms=[admin_pb2.TermInWords(term=name, says=says) for name, says in shown.terms],
        approved_by=template.approved_by,
        approved_at_ms=template.approved_at_ms,
        expires_at_ms=template.expires_at_ms,
        ended_by=template.ended_by,
        ended_at_ms=template.ended_at_ms,
        state=shown.state,
        members=map(str, shown.members),
        agreements=[
            admin_pb2.TemplateAgreement(
                agreement=item.agreement.hex(),
                member=str(item.member),
                state=item.life,
                at_ms=item.at_ms,
            )
            for item in shown.agreements
        ],
    )
