"""What operators ask about members and subsystems: thin, like `service`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import grpc

from registry import importing, membership, systems
from registry.desk import Desk
from registry.importing import Imported, Line
from registry.life import Standing
from registry.membership import Act, NewMember, RegionChange
from registry.model import Contact, ContactKind, LifeEvent, Listing, Region, Subsystem, Touched
from registry.operators import actor_of
from registry.registrar import Registrar
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode, SubsystemId
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class MemberAdmin(admin_pb2_grpc.RegistryAdminServicer):
    """The part of simpul.registry.v1.RegistryAdmin that is about members."""

    def __init__(self, registrar: Registrar, desk: Desk, clock_ms: Callable[[], int]) -> None:
        self._registrar = registrar
        self._desk = desk
        self._clock_ms = clock_ms

    async def AddMember(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.AddMemberRequest, context: Context
    ) -> admin_pb2.AddMemberResponse:
        """Lists a member, or takes an application."""
        new, act = new_member(request), self._act(context)
        work = membership.apply if request.apply else membership.add
        listing, _ = await self._desk.change(
            lambda: work(self._registrar, new, act), _member_touched
        )
        return admin_pb2.AddMemberResponse(member=_member(listing))

    async def ListMembers(  # noqa: N802  (the proto's name)
        self, _request: admin_pb2.ListMembersRequest, _context: Context
    ) -> admin_pb2.ListMembersResponse:
        """All members."""
        found = await self._desk.read(lambda: membership.list_members(self._registrar))
        return admin_pb2.ListMembersResponse(members=[_member(listing) for listing in found])

    async def ShowMember(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ShowMemberRequest, _context: Context
    ) -> admin_pb2.ShowMemberResponse:
        """All that is kept of a member."""
        member = MemberId.parse(request.member)
        found = await self._desk.read(lambda: membership.show(self._registrar, member))
        return admin_pb2.ShowMemberResponse(
            member=_member(found.listing),
            contacts=map(_contact, found.contacts),
            regions=map(_region, found.listing.member.regions),
            subsystems=map(_subsystem, found.listing.subsystems),
            history=map(_event, found.history),
        )

    async def UpdateMember(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.UpdateMemberRequest, _context: Context
    ) -> admin_pb2.UpdateMemberResponse:
        """Changes a member's name and contacts."""
        member = MemberId.parse(request.member)
        contacts = tuple(
            _read_contact(item) if item.name else _kind(item.kind) for item in request.contacts
        )
        listing, version = await self._desk.change(
            lambda: membership.update(self._registrar, member, request.legal_name, contacts),
            _member_touched,
        )
        return admin_pb2.UpdateMemberResponse(member=_member(listing), directory_version=version)

    async def ChangeRegions(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ChangeRegionsRequest, _context: Context
    ) -> admin_pb2.ChangeRegionsResponse:
        """Ends and begins a member's region codes."""
        member = MemberId.parse(request.member)
        change = RegionChange(
            at_ms=request.at_ms or self._clock_ms(),
            end=codes(request.end),
            begin=codes(request.begin),
            predecessors=codes(request.predecessors),
            successors=codes(request.successors),
        )
        listing, version = await self._desk.change(
            lambda: membership.change_regions(self._registrar, member, change), _member_touched
        )
        return admin_pb2.ChangeRegionsResponse(
            regions=map(_region, listing.member.regions), directory_version=version
        )

    async def SetMemberState(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.SetMemberStateRequest, context: Context
    ) -> admin_pb2.SetMemberStateResponse:
        """Takes a step in a member's life; answers when it is published."""
        member, state = MemberId.parse(request.member), _state(request.state)
        act = self._act(context, request.reason)
        listing, version = await self._desk.change(
            lambda: membership.set_state(self._registrar, member, state, act), _member_touched
        )
        return admin_pb2.SetMemberStateResponse(member=_member(listing), directory_version=version)

    async def ImportMembers(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ImportMembersRequest, context: Context
    ) -> AsyncIterator[admin_pb2.ImportMembersResponse]:
        """Lists many members; answers last when they are published."""
        lines = [
            Line(row.line, partial(new_member, row.member), tuple(row.subsystems))
            for row in request.rows
        ]
        act, loop = self._act(context), asyncio.get_running_loop()
        told: asyncio.Queue[int | None] = asyncio.Queue()

        def tell(count: int | None) -> None:
            loop.call_soon_threadsafe(told.put_nowait, count)

        def work() -> Imported:
            return importing.import_members(
                self._registrar,
                lines,
                act,
                dry_run=request.dry_run,
                skip_bad=request.skip_bad,
                progress=tell,
            )

        task = asyncio.ensure_future(self._desk.change(work, lambda done: done.touched))
        task.add_done_callback(lambda _: told.put_nowait(None))
        while (count := await told.get()) is not None:
            yield admin_pb2.ImportMembersResponse(done=count, total=len(lines))
        imported, version = await task
        yield admin_pb2.ImportMembersResponse(
            done=len(lines),
            total=len(lines),
            errors=[
                admin_pb2.ImportError(line=item.number, code=item.code, message=item.message)
                for item in imported.errors
            ],
            finished=True,
            listed=len(imported.members),
            directory_version=version if imported.stored else 0,
        )

    async def AddSubsystem(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.AddSubsystemRequest, context: Context
    ) -> admin_pb2.AddSubsystemResponse:
        """Lists a subsystem, or takes an application for one."""
        subsystem = SubsystemId.parse(request.subsystem)
        state = Standing.APPLIED if request.apply else Standing.ACTIVE
        new, act = Subsystem(subsystem, request.name or subsystem.name, state), self._act(context)
        found, _ = await self._desk.change(
            lambda: systems.add(self._registrar, new, act), _subsystem_touched
        )
        return admin_pb2.AddSubsystemResponse(subsystem=_subsystem(found))

    async def ListSubsystems(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.ListSubsystemsRequest, _context: Context
    ) -> admin_pb2.ListSubsystemsResponse:
        """All subsystems, or those of a member."""
        member = MemberId.parse(request.member) if request.member else None
        found = await self._desk.read(lambda: systems.every(self._registrar, member))
        return admin_pb2.ListSubsystemsResponse(subsystems=map(_subsystem, found))

    async def SetSubsystemState(  # noqa: N802  (the proto's name)
        self, request: admin_pb2.SetSubsystemStateRequest, context: Context
    ) -> admin_pb2.SetSubsystemStateResponse:
        """Takes a step in a subsystem's life; answers when it is published."""
        subsystem, state = SubsystemId.parse(request.subsystem), _state(request.state)
        act = self._act(context, request.reason)
        found, version = await self._desk.change(
            lambda: systems.set_state(self._registrar, subsystem, state, act), _subsystem_touched
        )
        return admin_pb2.SetSubsystemStateResponse(
            subsystem=_subsystem(found), directory_version=version
        )

    def _act(self, context: Context, reason: str = "") -> Act:
        return Act(actor_of(context), self._clock_ms(), reason)


def new_member(request: admin_pb2.AddMemberRequest) -> NewMember:
    """What a request says of a new member; raises SimpulError ID_MALFORMED or CHANGE_INVALID."""
    return NewMember(
        MemberId.parse(request.member),
        request.legal_name,
        codes(request.region_codes),
        tuple(map(_read_contact, request.contacts)),
    )


def codes(texts: Iterable[str]) -> tuple[RegionCode, ...]:
    """Region codes; raises SimpulError ID_MALFORMED."""
    return tuple(map(RegionCode.parse, texts))


def _member_touched(listing: Listing) -> Touched:
    return Touched(frozenset({listing.member.id}))


def _subsystem_touched(subsystem: Subsystem) -> Touched:
    return Touched(frozenset({subsystem.id.member}))


def _state(text: str) -> Standing:
    try:
        return Standing(text)
    except ValueError:
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{text[:40]!a} is no state: write {', '.join(Standing)}",
        ) from None


def _kind(text: str) -> ContactKind:
    try:
        return ContactKind(text)
    except ValueError:
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"{text[:40]!a} is no kind of contact: write {', '.join(ContactKind)}",
        ) from None


def _read_contact(item: admin_pb2.Contact) -> Contact:
    return Contact(_kind(item.kind), item.name, item.email, item.phone)


def _contact(contact: Contact) -> admin_pb2.Contact:
    return admin_pb2.Contact(
        kind=contact.kind, name=contact.name, email=contact.email, phone=contact.phone
    )


def _region(region: Region) -> admin_pb2.Region:
    return admin_pb2.Region(
        code=str(region.code),
        valid_from_ms=region.valid_from_ms,
        valid_until_ms=region.valid_until_ms or 0,
        predecessors=map(str, region.predecessors),
        successors=map(str, region.successors),
    )


def _event(event: LifeEvent) -> admin_pb2.LifeEvent:
    return admin_pb2.LifeEvent(
        at_ms=event.at_ms,
        subject=event.subject,
        before=event.before or "",
        after=event.after,
        reason=event.reason,
        actor=event.actor,
    )


def _subsystem(subsystem: Subsystem) -> admin_pb2.Subsystem:
    return admin_pb2.Subsystem(id=str(subsystem.id), name=subsystem.name, state=subsystem.state)


def _member(listing: Listing) -> admin_pb2.Member:
    member = listing.member
    return admin_pb2.Member(
        id=str(member.id),
        legal_name=member.legal_name,
        state=member.state,
        region_codes=[
            str(region.code) for region in member.regions if region.valid_until_ms is None
        ],
        nodes=[str(node.id) for node in listing.nodes],
        services=[str(service.id) for service in listing.services],
    )
