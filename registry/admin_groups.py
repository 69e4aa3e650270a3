"""What operators ask about federation-wide groups: thin, like `service`."""

from registry import groups
from registry.admin_contracts import ContractAdmin
from registry.admin_members import Context
from security.errors import Code, SimpulError
from security.group import GroupView
from security.identifiers import MemberId
from simpul.registry.v1 import admin_pb2


class GroupAdmin(ContractAdmin):
    """The part of simpul.registry.v1.RegistryAdmin that is about groups."""

    async def ChangeGroup(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ChangeGroupRequest, _context: Context
    ) -> admin_pb2.ChangeGroupResponse:
        """Makes one, changes who is in it, or ends it; answers when it is published."""
        named = [MemberId.parse(member) for member in request.members]
        registrar, name = self._registrar, request.group

        def work() -> GroupView:
            match request.step:
                case groups.ADD if not named:
                    return groups.add(registrar, name, request.title)
                case groups.INCLUDE:
                    return groups.include(registrar, name, named)
                case groups.EXCLUDE:
                    return groups.exclude(registrar, name, named)
                case groups.RETIRE if not named:
                    return groups.retire(registrar, name)
                case _:
                    raise SimpulError(
                        Code.REQUEST_MALFORMED,
                        f"{request.step[:40]!a} is no step of a group, or names members: give one "
                        f"of {', '.join(groups.STEPS)}",
                    )

        group, version = await self._desk.change(work, groups.touched)
        return admin_pb2.ChangeGroupResponse(group=_group(group), directory_version=version)

    async def ListGroups(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListGroupsRequest, _context: Context
    ) -> admin_pb2.ListGroupsResponse:
        """All groups, the retired ones too."""
        found = await self._desk.read(lambda: groups.every(self._registrar))
        return admin_pb2.ListGroupsResponse(groups=map(_group, found))


def _group(group: GroupView) -> admin_pb2.Group:
    return admin_pb2.Group(
        name=group.name,
        title=group.title,
        members=sorted(map(str, group.members)),
        number=group.number,
        retired=group.retired,
    )
